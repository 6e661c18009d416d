"""Files of weights: what was saved comes back to the bit, and another network's weights are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.compile import compile_model
from nas.errors import WeightsError
from nas.study import PublishedConfig
from nas.weights import Card, fill, read_weights, save_weights

INPUT = (3, 32, 32)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    architecture = PublishedConfig.load("kong_aim").architecture()
    model = compile_model(architecture, INPUT, 10)
    card = Card(architecture, INPUT, 10, tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3, {"study": "s", "trial": 3})
    path = tmp_path / "w.safetensors"
    save_weights(path, model, card)
    state, read = read_weights(path)
    assert read == card
    other = compile_model(architecture, INPUT, 10)
    fill(other, state, path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    aim, plain = (PublishedConfig.load(name).architecture() for name in ("kong_aim", "kong_baseline"))
    path = tmp_path / "w.safetensors"
    save_weights(path, compile_model(aim, INPUT, 10), Card(aim, INPUT, 10))
    state, _ = read_weights(path)
    with pytest.raises(WeightsError, match=r"w.safetensors: weights of another network: .* is missing"):
        fill(compile_model(plain, INPUT, 10), state, path)
    with pytest.raises(WeightsError, match=r"'head.layers.1.weight' is \[10, 2048\], not \[7, 2048\]"):
        fill(compile_model(aim, INPUT, 7), state, path)


@pytest.mark.parametrize("content", [b"", b"some text that is no safetensors file", None])
def test_a_file_that_is_none_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w.safetensors: no ") as problem:
        read_weights(path)
    assert len(str(problem.value).splitlines()) == 1
