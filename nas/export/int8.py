"""A network in 8-bit integers: ONNX Runtime's static quantization, calibrated with images that it was trained on.

Weights have one scale for each channel, activations one for each tensor, which the smallest and the largest value that the
calibration images give decide. Pairs of QuantizeLinear and DequantizeLinear around the operators (QDQ) say it in the graph, so that
other runtimes read it too (Jacob et al. 2018, Quantization and Training of Neural Networks, section 3).
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nas.errors import ExportError
from nas.export.onnx_graph import to_onnx
from nas.export.writing import Exported, first_line, random_images, whole
from nas.objectives import ACCURACY
from nas.plugins.packages import ONNX, require
from nas.statistics.proportion import standard_error
from nas.statistics.scores import Estimate
from nas.text.formatting import metric_text, words

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnx import ModelProto

    from blocks.base import Scalar
    from nas.data import Dataset, Split
    from nas.network.load import Trained
    from nas.network.lookup import Network
    from nas.store import Reading

    Floats = npt.NDArray[np.float32]

CALIBRATION: Final = 256
"""Training images whose activations decide the scales."""
BATCH: Final = 32
ERRORS: Final = ("error", "error_before")
"""Fields that a reading keeps under their names, where they are known."""
INT8_ACCURACY: Final = "int8_accuracy"
"""Name of the reading that a study database keeps."""


@dataclass(frozen=True)
class Quantized:
    """What a network is worth in 8-bit integers, on images of its study that it was not trained on."""

    metric: str
    before: float
    """What the same weights are worth in float32, in PyTorch."""
    after: float
    images: int
    calibration: int
    """Training images that it was calibrated with."""
    bytes_before: int
    bytes_after: int
    """Sizes of the ONNX files."""
    part: str = "test"
    """Whose the images are: ``test`` or ``validation``."""
    error: float | None = None
    """Standard error of `after`, where it is known."""
    error_before: float | None = None
    """The same of `before`."""

    def __post_init__(self) -> None:
        """Fills in the errors of accuracies, which older versions did not keep."""
        if self.metric == ACCURACY.name:
            for name, value in (("error", self.after), ("error_before", self.before)):
                if getattr(self, name) is None:
                    object.__setattr__(self, name, standard_error(value, self.images))

    def both(self) -> tuple[str, str]:
        """As people read them: in 8-bit integers, in float32."""
        after, before = (self.after, self.error), (self.before, self.error_before)
        return metric_text(self.metric, *after), metric_text(self.metric, *before)

    def sentence(self) -> str:
        """Both in one line."""
        after, before = self.both()
        return (
            f"INT8: {words(self.metric)} {after} on {self.images:,} {self.part} images, {before} in float32; "
            f"{self.bytes_after:,} bytes, {self.bytes_before:,} in float32"
        )


def quantize(proto: ModelProto, batches: Iterable[Floats]) -> ModelProto:
    """The graph in 8-bit integers, calibrated with batches (B, C, H, W) as the network takes them. Raises ExportError."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Gives the batches one by one."""

        def __init__(self) -> None:
            self.batches: Iterator[Floats] = iter(batches)

        def get_next(self) -> dict[str, Floats] | None:
            """The next batch by the name of the input; None when all are given."""
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    with tempfile.TemporaryDirectory(prefix="nas-int8-") as name, _silent():
        given, folded, made = (Path(name, f"{part}.onnx") for part in ("given", "folded", "made"))
        onnx.save(proto, given)
        try:
            quant_pre_process(str(given), str(folded), skip_symbolic_shape=True)
            quantize_static(
                str(folded),
                str(made),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
            )
            return onnx.load(made)
        except Exception as problem:  # whatever the quantizer meets in a graph
            raise ExportError(f"onnxruntime cannot quantize this network: {first_line(problem)}") from problem


def export_int8(network: Network, trained: Trained, path: Path) -> tuple[Exported, Quantized]:
    """Writes the network as ONNX in 8-bit integers, and measures it on the test images of its study.

    Raises ExportError where there are no images to calibrate with, or the weights are random.
    """
    require("--int8", ONNX, "onnx", ExportError)
    from nas.data import load, load_test

    if network.task is None:
        raise ExportError(
            f"{network.title}: --int8 needs images to calibrate with, and they come from the study of a trial: name one, such "
            "as STUDY:23"
        )
    if trained.weights is None:
        raise ExportError(f"{network.title}: --int8 needs trained weights: {trained.note}")
    task = network.task.unread(network.task.root)
    dataset, test = load(task), load_test(task)
    dataset = replace(dataset, type=dataset.type.reporting((network.metric,)))
    return write_int8(trained, dataset, test, path, metric=network.metric)


def keep(found: Quantized, network: Network, trained: Trained, storage: str | None) -> None:
    """Keeps what was measured in the study database."""
    from nas.store import Reading, Store

    settings: dict[str, Scalar] = {
        "metric": found.metric,
        "float32": found.before,
        f"{found.part}_images": found.images,
        "calibration_images": found.calibration,
        "weights": digest_of(trained),
        **{name: value for name in ERRORS if (value := getattr(found, name)) is not None},
        "bytes": found.bytes_after,
        "float32_bytes": found.bytes_before,
    }
    asked = network.architecture.hash, network.input, network.classes
    url = network.database(storage)
    if url is None:
        return
    with Store.open(url) as store:
        store.add_reading(
            Reading(INT8_ACCURACY, *asked, "", settings, found.after, version=f"onnxruntime {version('onnxruntime')}")
        )


def digest_of(trained: Trained) -> str:
    """The begin of the SHA-256 of its file of weights."""
    assert trained.weights is not None
    return hashlib.sha256(trained.weights.read_bytes()).hexdigest()[:16]


def kept(reading: Reading) -> Quantized | None:
    """What `keep` has written; None for a reading that lacks something, such as one of an earlier version."""
    known = reading.settings
    part = next((part for part in ("test", "validation") if f"{part}_images" in known), None)
    counts = [known.get(name) for name in (f"{part}_images", "calibration_images", "float32_bytes", "bytes")]
    before, metric = known.get("float32"), known.get("metric")
    if part is None or not isinstance(before, float) or not isinstance(metric, str):
        return None
    images, calibration, bytes_before, bytes_after = (count if isinstance(count, int) else 0 for count in counts)
    errors = [value if isinstance(value := known.get(name), float) else None for name in ERRORS]
    return Quantized(metric, before, reading.value, images, calibration, bytes_before, bytes_after, part, *errors)


def write_int8(
    trained: Trained, dataset: Dataset, test: Split, path: Path, part: str = "test", metric: str = ACCURACY.name
) -> tuple[Exported, Quantized]:
    """Writes the model in 8-bit integers, calibrated with training images, and measures both by `metric` on the images `test`,
    which are that `part` of the data.
    """
    import onnx
    import torch

    from nas.train.scoring import score

    card, model = trained.card, trained.model
    floats = to_onnx(model, random_images(card, 2), any_batch=True)
    places = np.random.default_rng(0).permutation(len(dataset.train))[:CALIBRATION]
    images = dataset.train.x[np.sort(places)]
    mean, std = card.mean or dataset.mean, card.std or dataset.std

    def scaled(x_BCHW: Any) -> Floats:
        shift, scale = (np.asarray(values, np.float32).reshape(1, -1, 1, 1) for values in (mean, std))
        found: Floats = (x_BCHW.astype(np.float32) / 255 - shift) / scale
        return found

    proto = quantize(floats, (scaled(images[start : start + BATCH]) for start in range(0, len(images), BATCH)))

    def worth(run: Any) -> Estimate:
        starts = range(0, len(test), BATCH)
        outputs = torch.cat([run(scaled(test.x[start : start + BATCH])).float() for start in starts])
        return score(dataset.type, outputs, torch.from_numpy(test.y)).metrics[metric]

    with torch.no_grad():
        before = worth(lambda x: model(torch.from_numpy(x)))
    with whole(path) as file:
        onnx.save(_described(proto, trained), file)
        run = _session(file)
        after = worth(run)
        size = file.stat().st_size
    facts = len(test), len(images), floats.ByteSize(), size, part, after.error, before.error
    found = Quantized(metric, before.value, after.value, *facts)
    return Exported((path,), f"run with onnxruntime on {len(test):,} {part} images"), found


def _session(path: Path) -> Any:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(["logits"], {"images": x})[0])


def _described(proto: ModelProto, trained: Trained) -> ModelProto:
    """The graph with the card that other ONNX files have too."""
    for key, value in {"nas": json.dumps(trained.card.to_dict()), "trained": "true", "int8": "true"}.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    return proto


@contextmanager
def _silent() -> Iterator[None]:
    # The quantizer advises about steps that are done here, through the root of all loggers.
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
