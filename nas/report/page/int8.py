"""What networks are worth in 8-bit integers, where that was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.analysis.evidence import Evidence
from nas.export.int8 import Quantized, kept
from nas.network.model_selection import references_of_study
from nas.text.formatting import difference_text, words
from nas.text.markup import Child, Html, section, table

if TYPE_CHECKING:
    import pandas as pd

HEAD = ("float32", "8-bit integers", "difference", "images", "bytes, float32", "bytes, 8-bit")


def int8_section(evidence: Evidence, measurements: pd.DataFrame) -> Html:
    """One row for each network and part of the data, as it was measured last; nothing where nothing was."""
    names = {way.hash: name for name, way in references_of_study(measurements, evidence.study.name).items()}
    names |= {str(row["hash"]): f"trial {row['trial']}" for row in evidence.complete.to_dict("records")}
    asked = evidence.study.task.input, evidence.study.task.classes
    latest: dict[tuple[str, str], Quantized] = {}
    for reading in evidence.int8:
        found = kept(reading)
        if found is not None and reading.hash in names and (reading.input, reading.classes) == asked:
            latest.setdefault((names[reading.hash], found.part), found)
    if not latest:
        return Html("")
    rows = [(name, *columns(found)) for (name, _), found in latest.items()]
    return section(
        "In 8-bit integers",
        table(("network", *HEAD), rows, numbers=range(1, len(HEAD) + 1)),
        id="int8",
        lead="The same weights in float32 and quantized by ONNX Runtime, calibrated with training images, on the same images. "
        "± is a standard error of each; both see the same images, so that the difference is surer than these.",
    )


def columns(found: Quantized) -> tuple[Child, ...]:
    """What stands under `HEAD`."""
    after, before = found.both()
    metric = "" if found.metric == "accuracy" else f", {words(found.metric)}"
    sizes = [f"{size:,}" if size else "" for size in (found.bytes_before, found.bytes_after)]
    gap = found.after - found.before
    difference = f"{'-' if gap < 0 else '+'}{difference_text(found.metric, abs(gap)).removesuffix(' points')}"
    return (before, after, difference, f"{found.images:,} {found.part}{metric}", *sizes)
