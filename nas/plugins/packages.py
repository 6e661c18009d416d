"""Packages that only some of what nas does needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

from nas.errors import NasError

ONNX: Final = ("onnx", "onnxruntime", "onnxscript")
"""What a network as an ONNX graph needs; PyTorch writes it by means of onnxscript."""


def require(what: str, packages: Sequence[str], extra: str, error: type[NasError] = NasError) -> None:
    """Raises `error` that names the remedy where `what` lacks one of the packages. Nothing is imported."""
    for name in packages:
        if find_spec(name) is None:
            raise error(f"{what} needs the package {name}: pip install 'nas-attn-cnn[{extra}]'")
