"""What every format does alike: a file is written whole or not at all, and what it computes is compared."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.network.weights import Card

BATCHES = (1, 5)
"""Sizes of the batches that a file is checked with; neither is the one it was traced with."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked."""

    files: tuple[Path, ...]
    check: str


def dynamic_batch() -> tuple[dict[int, Any], ...]:
    """How an exporter is told that batches have any size."""
    from torch.export import Dim

    return ({0: Dim("batch", min=1)},)


def random_images(card: Card, batch: int) -> Tensor:
    """Images (batch, C, H, W) as a network takes them, the same for each size of a batch."""
    import torch

    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, *card.input, generator=generator)


def worst_difference(model: nn.Module, card: Card, run: Callable[[Tensor], Tensor]) -> float:
    """Largest difference of the logits, as a share of the largest of them or of 1."""
    import torch

    worst = 0.0
    for batch in BATCHES:
        x_BCHW = random_images(card, batch)
        with torch.no_grad():
            wanted = model(x_BCHW)
        found = run(x_BCHW)
        if found.shape != wanted.shape:
            raise ExportError(f"a batch of {batch} images gives {list(found.shape)}, not {list(wanted.shape)}")
        difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1))
        worst = max(worst, difference if difference == difference else float("inf"))  # NaN is never less than a bound
    return worst


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside `path` that becomes it when the block ends well, and goes when it does not."""
    part = path.with_name(f".part-{path.name}")
    try:
        yield part
        part.replace(path)
    except OSError as problem:
        raise ExportError(f"{path}: cannot be written: {problem.strerror or problem}") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def quiet() -> Iterator[None]:
    """In the block the exporters of PyTorch say nothing."""
    # They tell of their own insides, such as operators that torchvision lacks here.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def first_line(problem: Exception) -> str:
    """The first line of what it says; else its kind."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0] if lines else type(problem).__name__
