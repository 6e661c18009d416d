"""The generators of random numbers that a training draws from: seeded, and kept in a checkpoint."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and PyTorch: call it before a model is built."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generators(device: torch.device) -> dict[str, Any]:
    """States of PyTorch's, Python's and NumPy's, by name, as tensors and plain values."""
    return {
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "random_python": random.getstate(),
        "random_numpy": _numpy_state(),
    }


def set_generators(state: Mapping[str, Any], device: torch.device) -> None:
    """Sets them to what `generators` gave, or to those of PyTorch alone that an older checkpoint has."""
    torch.set_rng_state(state["random"].cpu())
    if device.type == "cuda" and state["random_cuda"] is not None:
        torch.cuda.set_rng_state(state["random_cuda"].cpu(), device)
    if "random_python" in state:
        random.setstate(state["random_python"])
        _set_numpy_state(state["random_numpy"])


def drawn_from(before: Mapping[str, Any], after: Mapping[str, Any], device: torch.device) -> list[str]:
    """The generators that were drawn from between two calls of `generators`, as a user calls them; but not the device's own."""
    old, new = before["random_numpy"], after["random_numpy"]
    changed = {
        "PyTorch's generator of the CPU": device.type != "cpu" and not torch.equal(before["random"], after["random"]),
        "Python's random": before["random_python"] != after["random_python"],
        "NumPy's random": old["pos"] != new["pos"] or not torch.equal(old["key"], new["key"]),
    }
    return [name for name, is_changed in changed.items() if is_changed]


def _numpy_state() -> dict[str, Any]:
    """State of NumPy's generator, as tensors and plain values."""
    state = np.random.get_state(legacy=False)
    inner = state["state"]
    return {
        "key": torch.from_numpy(inner["key"].astype(np.int64)),
        "pos": int(inner["pos"]),
        "has_gauss": int(state["has_gauss"]),
        "gauss": float(state["gauss"]),
    }


def _set_numpy_state(state: dict[str, Any]) -> None:
    inner = {"key": state["key"].numpy().astype(np.uint32), "pos": state["pos"]}
    np.random.set_state(
        {"bit_generator": "MT19937", "state": inner, "has_gauss": state["has_gauss"], "gauss": state["gauss"]}
    )
