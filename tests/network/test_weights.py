"""Files of weights: what was saved comes back to the bit, and another network's weights are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from nas.architecture.compile import compile_model
from nas.errors import WeightsError
from nas.network.weights import Card, fill, read_weights, save_weights
from nas.space.published import PublishedConfig

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


DAMAGE = {
    "classes": [1e999, 10**30, 0, True, "10", None, 7.5],
    "input": [[3, 32], [3, 1e999, 32], [3, 10**9, 32], [3, 0, 32], "3,32,32", None, [True, 32, 32]],
    "mean": [[1e999] * 3, [float("nan")] * 3, [0.5] * 2, ["x"] * 3, 5],
    "std": [[0, 1, 1], [1e999] * 3],
    "class_names": [["a"], 5],
    "facts": [5, [1]],
    "architecture": [5, None, {"nodes": []}, {"nodes": 5, "output": "a"}],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in DAMAGE.items() for value in values])
def test_a_damaged_card_is_one_line(key: str, value: object, tmp_path: Path) -> None:
    architecture = PublishedConfig.load("kong_baseline").architecture()
    card = Card(architecture, INPUT, 10, tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3).to_dict()
    write_card(tmp_path / "w.safetensors", json.dumps({**card, key: value}).replace("Infinity", "1e999"))
    with pytest.raises(WeightsError, match=r"w.safetensors: its card is damaged: ") as problem:
        read_weights(tmp_path / "w.safetensors")
    assert len(str(problem.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{", "5", "null", '"' + "9" * 10_000, "9" * 10_000])
def test_a_card_of_any_text_is_one_line(text: str, tmp_path: Path) -> None:
    write_card(tmp_path / "w.safetensors", text)
    with pytest.raises(WeightsError, match=r"w.safetensors: its card is damaged: ") as problem:
        read_weights(tmp_path / "w.safetensors")
    assert len(str(problem.value).splitlines()) == 1


def write_card(path: Path, text: str) -> None:
    path.write_bytes(save({"a": torch.zeros(1)}, metadata={"nas": text}))
