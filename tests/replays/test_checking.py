"""Published configs against their papers, without training."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from nas.config import shipped_files
from nas.errors import StudyError
from nas.replays import Check, check, check_all
from nas.replays.checking import compare
from nas.space.published import Claim, PublishedConfig


def one(name: str) -> Check:
    return check(PublishedConfig.load(name))


@pytest.mark.parametrize(
    ("name", "size", "built"),
    [("kong_baseline", "17.95", 17.9515), ("kong_aim", "41.88", 41.8760), ("kong_aim_cam", "43.39", 43.3921)],
)
def test_kong_reproduces_to_the_printed_digit(name: str, size: str, built: float) -> None:
    claim = next(claim for claim in one(name).claims if claim.metric == "size")
    assert (claim.printed, claim.unit, claim.verdict) == (size, "MiB", "reproduced")
    assert claim.built == pytest.approx(built, abs=1e-4)


@pytest.mark.parametrize(
    ("value", "digits", "built", "verdict"),
    [
        (25.6, None, 25.557, "reproduced"),
        (25.6, None, 25.549, "within 1 %"),
        (28.0, None, 28.04, "reproduced"),
        (28.0, None, 28.06, "within 1 %"),
        (28.0, 2, 28.04, "within 1 %"),  # printed as 28.00
        (28.0, 0, 28.4, "reproduced"),  # printed as 28
        (27.5, None, 26.06, "off"),
        (100.0, None, 101.0, "within 1 %"),
        (100.0, None, 101.1, "off"),
        (4.0, None, None, "not checked"),
    ],
)
def test_the_verdict_counts_the_printed_digits(
    value: float, digits: int | None, built: float | None, verdict: str
) -> None:
    assert compare(Claim("parameters", value, "M", "Table 5", digits), built).verdict == verdict


def test_what_a_paper_does_not_print_is_not_claimed() -> None:
    verdicts = {claim.metric: claim.verdict for claim in one("kong_aim").claims}
    assert verdicts == {
        "accuracy": "not checked",
        "size": "reproduced",
        "parameters": "not claimed",
        "macs": "not claimed",
    }


def test_the_record_is_the_contract() -> None:
    record = json.loads(json.dumps(one("kong_baseline").record()))
    assert list(record) == [
        "name",
        "paper",
        "data",
        "problem",
        "without_network",
        "builds",
        "parameters",
        "macs",
        "size_mib",
        "claims",
        "assumptions",
    ]
    assert record["problem"] is record["without_network"] is None
    assert record["parameters"] == 4_705_866
    assert record["builds"] == {"parameters": 4_705_866, "macs": 209_408_000}
    assert record["size_mib"] == pytest.approx(4_705_866 * 4 / 2**20)
    for claim in record["claims"]:
        assert list(claim) == ["metric", "claimed", "unit", "table", "built", "deviation", "verdict"]
    size = next(claim for claim in record["claims"] if claim["metric"] == "size")
    assert size["deviation"] == pytest.approx((size["built"] - 17.95) / 17.95)
    assert [claim["table"] for claim in record["claims"]] == ["Table 2", "Table 2", None, None]


OPEN = {
    "kong_aim_cam": [
        r"Where the residual connection starts is not said .* at the output of the stage's convolution",
        r"Whether the plain convolutions have a norm is not said",
        r"align_corners=False",
    ],
    "kong_vgg16_aim": [r"no bias and batch norm after each", r"align_corners=False"],
    "mandalika_resnet18": [
        r"one map for all channels, and a sigmoid follows",
        r"3×3 neighbourhoods",
        r'"Avg\. Accuracy" and "Avg\. Loss" without saying over what',
        r"align_corners=False",
    ],
    "balashov_aicnn_imagenet": [r'"FLOPS \(G\)"; read as multiply-accumulates'],
    "davis_attention_cnn": [
        r'"a single attention module at the end of the network" in section 7\.2',
        r'"a fixed attention map during both training and testing"',
    ],
    "jiang_amsra_net": [r"more than CCT .* the claim does not hold for CCT"],
}
"""Of a config, choices that its text forces upon whoever builds it."""


@pytest.mark.parametrize(("name", "choices"), OPEN.items())
def test_what_a_text_leaves_open_is_told(name: str, choices: list[str]) -> None:
    told = one(name).record()["assumptions"]
    for choice in choices:
        assert any(re.search(choice, line) for line in told), choice


def test_every_claim_of_operations_says_how_it_is_read() -> None:
    claiming = [found for found in check_all() if any(one.metric == "macs" and one.table for one in found.claims)]
    assert len(claiming) == 6
    for found in claiming:
        assert any("read as multiply-accumulates" in line for line in found.record()["assumptions"]), found.name


def test_claims_without_a_network_say_why_and_are_no_problem() -> None:
    record = one("kong_creinn").record()
    assert "interval" in record["without_network"]
    assert record["problem"] is record["parameters"] is record["builds"] is None
    assert [(claim["claimed"], claim["built"], claim["verdict"]) for claim in record["claims"]] == [
        (85.03, None, "no network"),
        (47.21, None, "no network"),
    ]
    with pytest.raises(StudyError, match="kong_creinn: no network is built for these claims: .*interval"):
        PublishedConfig.load("kong_creinn").architecture()


def test_a_config_has_a_network_or_says_why_not(studies: Path) -> None:
    file = studies / "kong_creinn.yaml"
    text = file.read_text()
    file.write_text(text + "classes: 10\n")
    with pytest.raises(StudyError, match=r"kong_creinn.yaml:\d+: classes: a config that says without_network has none"):
        PublishedConfig.load("kong_creinn")
    file.write_text("".join(line for line in text.splitlines(True) if not line.startswith("without_network")))
    with pytest.raises(StudyError, match=r"kong_creinn.yaml:1: published config: the key 'assignment' is missing"):
        PublishedConfig.load("kong_creinn")


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of published configs that a test may change, instead of the shipped one."""
    folder = tmp_path / "studies"
    shutil.copytree(shipped_files.folder("studies"), folder)
    true = shipped_files.folder
    monkeypatch.setattr(shipped_files, "folder", lambda kind: folder if kind == "studies" else true(kind))
    return folder


def test_every_shipped_config_builds_what_it_states() -> None:
    checks = check_all()
    assert len(checks) == len(shipped_files.every("studies"))
    assert [check.problem for check in checks if check.problem] == []


def test_a_config_that_builds_something_else_is_named(studies: Path) -> None:
    file = studies / "kong_baseline.yaml"
    text = "".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith("builds:"))
    file.write_text(text + "builds: {parameters: 4705866, macs: 1}\n")
    broken = [check for check in check_all() if check.problem]
    assert [check.name for check in broken] == ["kong_baseline"]
    assert broken[0].problem == (
        "builds 4,705,866 parameters and 209,408,000 MACs, but its file states 4,705,866 and 1"
    )


def test_one_file_that_cannot_be_read_does_not_hide_the_others(studies: Path) -> None:
    (studies / "kong_aim.yaml").write_text("name: kong_aim\nspace: attn_cnn\n")
    checks = {check.name: check for check in check_all()}
    assert len(checks) == len(list(studies.glob("*.yaml")))
    assert checks["kong_aim"].problem is not None
    record = checks["kong_aim"].record()
    assert record["parameters"] is None
    assert record["problem"] == checks["kong_aim"].problem
    assert checks["kong_baseline"].problem is None
