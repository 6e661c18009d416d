from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from nas.architecture.compile import compile_model
from nas.errors import DataError, NasError, StudyError
from nas.network.pretrained import fill, load_pretrained
from nas.space.published import PublishedConfig


def _published(make: str) -> nn.Module:
    """A network of torchvision with random weights and random statistics."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, make)().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize(
    ("config", "make"),
    [
        ("mandalika_resnet18_baseline", "resnet18"),
        ("balashov_resnet50", "resnet50"),
        ("balashov_densenet121", "densenet121"),
    ],
)
def test_a_network_of_torchvision_and_ours_say_the_same_on_its_weights(config: str, make: str) -> None:
    published = PublishedConfig.load(config)
    theirs = _published(make)
    ours = compile_model(published.architecture(), (3, 64, 64), 1000).eval()
    filled = fill(ours, theirs.state_dict(), make)
    own = [key for key in ours.state_dict() if "num_batches_tracked" not in key]
    assert own[filled:] == ["head.layers.1.weight", "head.layers.1.bias"]
    head, classifier = ours.get_submodule("head"), list(theirs.children())[-1]
    head.layers[1].load_state_dict(classifier.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_what_comes_after_the_backbone_keeps_its_own_weights() -> None:
    config = PublishedConfig.load("mandalika_resnet18")
    model = compile_model(config.architecture(), config.input, config.classes)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    filled = fill(model, _published("resnet18").state_dict(), "resnet18")
    after = model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert filled == 100  # 20 convolutions, 20 norms with two weights and two statistics
    assert changed
    assert not any(key.startswith(("neck", "head")) for key in changed)


def test_weights_of_another_network_are_refused() -> None:
    config = PublishedConfig.load("balashov_resnet50")
    model = compile_model(config.architecture(), config.input, config.classes)
    with pytest.raises(StudyError, match="of another network: .* has the shape"):
        fill(model, _published("resnext50_32x4d").state_dict(), "resnext50")
    with pytest.raises(StudyError, match="resnet101 has"):
        fill(model, _published("resnet101").state_dict(), "resnet101")
    with pytest.raises(StudyError, match="did you mean 'ResNet18_Weights.IMAGENET1K_V1'"):
        load_pretrained(model, "ResNet18_Weights.IMAGENET1K_V9")


def test_weights_that_cannot_be_had_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **options: object) -> dict[str, Tensor]:
        assert options["weights_only"] is True
        raise OSError("<urlopen error [Errno -2] Name or service not known>")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", unreachable)
    with pytest.raises(DataError, match="--no-pretrained") as caught:
        load_pretrained(nn.Linear(1, 1), "ResNet18_Weights.IMAGENET1K_V1")
    assert isinstance(caught.value, NasError)
    assert "\n" not in str(caught.value)
    assert "resnet18-f37072fd.pth" in str(caught.value)
