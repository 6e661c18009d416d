"""What a killed training goes on from: one file, written whole or not at all, read without pickle's powers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from nas.errors import NasError


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors and plain values) to `path`: whoever reads it sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, RuntimeError) as problem:  # PyTorch's writer turns a full disk into a RuntimeError
        raise NasError(f"{path}: cannot be written: {getattr(problem, 'strerror', None) or problem}") from None
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any] | None:
    """What `save` wrote, on the CPU; None when there is no file. Raises NasError when it is damaged."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # whatever a damaged file makes of PyTorch's reader
        reason = f"{type(problem).__name__}: {problem}".partition("\n")[0][:100]
        raise NasError(
            f"{path}: no checkpoint that can be read ({reason}); remove it to train from the start"
        ) from None
    if not isinstance(state, dict):
        raise NasError(f"{path}: no checkpoint of nas; remove it to train from the start")
    return state
