"""A README.md beside a model: what it is worth and how it came about, with the front matter that Hugging Face's hub reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nas.data.task_type import Classification
from nas.errors import NasError
from nas.export.inference import can_say
from nas.report.accuracy_tables import class_text, estimate_text, metric_name, shown_metrics
from nas.report.verdict import seen_lines, verdict
from nas.text.formatting import short, words
from nas.text.markdown import block, code, plain
from nas.text.sanitize import one_line, visible

if TYPE_CHECKING:
    from nas.data import Dataset
    from nas.data.overview import Overview
    from nas.export.int8 import Quantized
    from nas.fits.choice import Candidate, Choice

MAKER = "nas"
HUB_NAMES = {"macro_f1": "f1", "auc": "roc_auc", "balanced_accuracy": "accuracy"}
"""What the hub calls metrics that have another name here."""
NAME = "README.md"
BEGINNING = "---\nlibrary_name: pytorch\n"
"""What every card begins with: a README.md that does not is none, and stays as it is."""


def card_path(folder: Path) -> Path:
    """Where the card of a folder stands: README.md, or MODEL_CARD.md beside one that a person wrote."""
    path = folder / NAME
    try:
        with path.open(encoding="utf-8") as file:
            return path if file.read(len(BEGINNING)) == BEGINNING else folder / "MODEL_CARD.md"
    except (OSError, UnicodeDecodeError):
        return folder / "MODEL_CARD.md" if path.exists() else path


def write_card(
    path: Path,
    study: str,
    seen: Overview,
    choice: Choice,
    offered: Sequence[Candidate],
    data: Dataset,
    files: Sequence[Path],
    notes: Sequence[str],
    int8: Quantized | None = None,
) -> None:
    """Writes the card of the chosen network. `data` is what it was trained on. Raises NasError where it cannot be written."""
    text = model_card(study, seen, choice, offered, data, [file.name for file in files], notes, int8)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None


def model_card(
    study: str,
    seen: Overview,
    choice: Choice,
    offered: Sequence[Candidate],
    data: Dataset,
    files: Sequence[str],
    notes: Sequence[str],
    int8: Quantized | None = None,
) -> str:
    """The card as text: YAML between dashes, then Markdown."""
    chosen = choice.chosen
    front = yaml.safe_dump(_front_matter(study, chosen, files), sort_keys=False, allow_unicode=True)
    shape = "×".join(map(str, data.input))
    lines = [
        f"# {plain(study)}",
        "",
        f"{_what(data)} for images of {shape}: {chosen.parameters:,} parameters, "
        f"{short(chosen.macs)} multiply-accumulates for one image. {plain(chosen.caption or chosen.name)}.",
        "",
        "## What it is worth",
        "",
        *_accuracies(chosen, data),
        "",
        *(f"- {plain(line)}" for line in verdict(choice, offered)),
        *([f"- {plain(int8.sentence())}"] if int8 is not None else []),
        "",
        "± is a standard error. Validation images chose among seeds and networks; test images chose nothing.",
        "",
        "## How to use it",
        "",
        *_use(files, data),
        "",
        "## What it was trained on",
        "",
        *(f"- {plain(line)}" for line in seen_lines(seen)),
        "",
        "## How it was trained",
        "",
        *_recipe(chosen),
        *(["", "## Remarks", "", *(f"- {plain(note)}" for note in notes)] if notes else []),
    ]
    return f"---\n{visible(front)}---\n\n" + "\n".join(lines) + "\n"


def _front_matter(study: str, chosen: Candidate, files: Sequence[str]) -> dict[str, Any]:
    onnx = any(name.endswith(".onnx") for name in files)
    found: dict[str, Any] = {
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "neural-architecture-search", MAKER, *(["onnx"] if onnx else [])],
        "metrics": [HUB_NAMES.get(chosen.metric, chosen.metric)],
    }
    test = None if chosen.retrained is None else chosen.retrained.test
    if test is not None:
        values = [
            (HUB_NAMES.get(metric, metric), f"test {words(metric)}", test.value(metric))
            for metric in shown_metrics(test, chosen.metric)
        ]
        found["model-index"] = [
            {
                "name": one_line(study),
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"type": "imagefolder", "name": one_line(study), "split": "test"},
                        "metrics": [
                            {"type": kind, "name": name, "value": round(value, 4)} for kind, name, value in values
                        ],
                    }
                ],
            }
        ]
    return found


def _accuracies(chosen: Candidate, data: Dataset) -> list[str]:
    """One row for all images, one for each class."""
    if chosen.retrained is None or chosen.retrained.test is None:
        return ["It was not measured on test images."]
    validation, test = chosen.retrained.validation, chosen.retrained.test
    first = "class" if test.classes else "metric"
    rows = [f"| {first} | validation | test | test images |", "|---|---:|---:|---:|"]
    for metric in shown_metrics(test, chosen.metric):
        images = f"{test.images:,} " if metric == chosen.metric and test.images is not None else ""
        name = metric_name(metric, chosen.metric)
        rows.append(f"| {name} | {estimate_text(validation, metric)} | {estimate_text(test, metric)} | {images}|")
    for place, name in enumerate(data.class_names[: len(test.classes)]):
        held = "" if validation is None else class_text(validation, place)
        rows.append(f"| {plain(name)} | {held} | {class_text(test, place)} | {test.classes[place].images:,} |")
    if test.classes and test.class_metric != chosen.metric:
        rows += ["", f"Of each class: {words(test.class_metric)}."]
    return rows


def _what(data: Dataset) -> str:
    if isinstance(data.type, Classification):
        return f"An image classifier with {data.classes} classes"
    return f"A network for {data.type.name} with {data.classes} classes"


def _use(files: Sequence[str], data: Dataset) -> list[str]:
    python = next((name for name in files if name.endswith(".py")), None)
    lines = [f"Files: {', '.join(code(name) for name in files)}."]
    if python is not None:
        stem = python.removesuffix(".py")
        predicts = [f'{stem}.predict("photo.jpg")  # the classes with their probabilities']
        if data.type.bound is not None:
            predicts.append(f'{stem}.labels("photo.jpg")  # those above THRESHOLD')
        text = [f"import {stem}", "", *(predicts if can_say(data.type) else ()), f"{stem}.load()"]
        lines += ["", *block("python", "\n".join(text))]
        lines += ["", f"{code(python)} needs torch, safetensors and Pillow."]
    return lines


def _recipe(chosen: Candidate) -> list[str]:
    if chosen.retrained is None:
        return ["It was trained by a search alone, for a short time."]
    kept = chosen.retrained.kept
    seeds = len(chosen.retrained.tested)
    text = yaml.safe_dump(kept["recipe"].to_dict(), sort_keys=False, default_flow_style=None)
    lines = [f"Seed {chosen.retrained.seed}, of {seeds} {'seed' if seeds == 1 else 'seeds'}; the recipe:"]
    return [*lines, "", *block("yaml", text)]
