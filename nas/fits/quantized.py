"""Candidates in 8-bit integers: measured on the validation images that chose among their seeds. The test set chooses nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from nas.errors import ExportError, SearchError
from nas.export.int8 import INT8_ACCURACY, Quantized, digest_of, keep, kept, write_int8
from nas.fits.choice import Candidate
from nas.network.load import build
from nas.network.lookup import find_network
from nas.plugins.packages import ONNX, require
from nas.replays.options import TrainingOptions
from nas.replays.plan import StudyData, study_data
from nas.store import Store, StudyRow


def quantizer(
    store: Store, study: StudyRow, storage: str, training: TrainingOptions, note: Callable[[str], None]
) -> Callable[[Candidate], Quantized | None]:
    """Measures candidates, each once, and keeps what it measures in the database at `storage`.

    What cannot be quantized is None, and `note` hears why. Raises ExportError where packages are missing, SearchError for a
    candidate that was retrained with other validation images than `training` says.
    """
    require("--int8", ONNX, "onnx", ExportError)
    data: list[StudyData] = []

    def quantized(one: Candidate) -> Quantized | None:
        assert one.retrained is not None
        network = find_network(one.word, storage=storage)
        trained = build(network, storage=storage)
        if trained.weights is None:
            note(f"{one.word}: left out: {trained.note}")
            return None
        weights = digest_of(trained)
        for reading in store.readings(network.architecture.hash, INT8_ACCURACY):
            known = kept(reading) if reading.settings.get("weights") == weights else None
            if known is not None and known.part == "validation":
                return known
        if not data:
            data.append(study_data(study, training, note))
        images = data[0].dataset
        held_out = one.retrained.validation
        if held_out is None or held_out.images != len(images.validation):
            raise SearchError(
                f"int8: {one.word} was retrained with another --validation share than nas retrain takes by itself, so that its "
                "validation images are not known any more"
            )
        with tempfile.TemporaryDirectory(prefix="nas-int8-") as folder:
            try:
                _, found = write_int8(
                    trained, images, images.validation, Path(folder, "network.onnx"), "validation", one.metric
                )
            except ExportError as problem:
                note(f"{one.word}: left out: {problem}")
                return None
        keep(found, network, trained, storage)
        return found

    return quantized
