"""References: as wide as the limits allow, the same for everybody, and refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import SearchError
from nas.fits.references import REFERENCES, check_references, default_references, fine_tuned, widest
from nas.network.pretrained import parts_of
from nas.searches.options import RANDOM
from nas.space.grammar import Bounds
from tests.pretrained import write_files


@pytest.mark.parametrize("name", [*REFERENCES])
@pytest.mark.parametrize("most", [30_000, 100_000, 500_000, 2_000_000])
def test_a_reference_is_as_wide_as_the_limit_allows(name: str, most: int) -> None:
    found = widest(name, {"parameters": Bounds(max=most)}, (3, 32, 32), 10)
    assert found is not None
    assert most / 2.2 < found.cost.parameters <= most, "the next width has up to twice as many parameters"


def test_every_limit_counts() -> None:
    both = widest("resnet8", {"parameters": Bounds(max=1e6), "macs": Bounds(max=5e6)}, (3, 32, 32), 10)
    assert both is not None
    assert both.cost.macs <= 5e6
    assert both.cost.parameters < 100_000


def test_no_reference_where_even_the_narrowest_is_too_large() -> None:
    assert widest("resnet20", {"parameters": Bounds(max=1_000)}, (3, 32, 32), 10) is None


def test_resnet8_of_16_channels_is_the_published_one() -> None:
    found = widest("resnet8", {"parameters": Bounds(max=80_000)}, (3, 32, 32), 10)
    assert found is not None
    assert found.cost.parameters == 78_042, "MLPerf Tiny's, as studies/banbury_resnet8.yaml builds it"
    assert found.caption == "ResNet-8, 16 channels"


def test_large_images_are_halved_at_once() -> None:
    small, large = (widest("resnet8", {"parameters": Bounds(max=80_000)}, (3, side, side), 10) for side in (64, 128))
    assert small is not None
    assert large is not None
    assert large.cost.macs == small.cost.macs, "four times the pixels, a quarter of which is left behind the stem"


def test_an_unknown_reference_is_told_the_nearest_one() -> None:
    with pytest.raises(SearchError, match=r"no reference 'resnet80'; known: .* did you mean 'resnet8'"):
        check_references(["resnet80"])
    assert check_references(["mobile", "mobile"]) == ("mobile",)


def test_a_whole_network_is_a_reference_where_its_config_names_weights(tmp_path: Path) -> None:
    _, config, weights = write_files(tmp_path)
    assert check_references([str(config), "mandalika_resnet18"]) == (str(config), "mandalika_resnet18")
    with pytest.raises(SearchError, match="no reference 'kong_aim'"):
        check_references(["kong_aim"])
    found = fine_tuned(str(config), None, (3, 16, 16), 3)
    assert (found.name, found.caption) == ("whole", "whole, fine-tuned")
    assert parts_of(found.pretrained)[:2] == (str(config), f"file:{weights}")


def test_networks_of_trained_weights_are_compared_with_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    space, config, _ = write_files(tmp_path)
    assert default_references(space) == (str(config),)
    plain = default_references(space, RANDOM)
    assert plain[: len(REFERENCES)] == tuple(REFERENCES)
    assert "resnet18" not in plain, "its weights are not at hand"
    assert default_references("attn_cnn") == plain
