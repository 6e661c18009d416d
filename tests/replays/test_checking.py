"""Published configs against their papers, without training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nas import resources
from nas.replays import Check, check, check_all
from nas.replays.checking import compare
from nas.study import Claim, PublishedConfig


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
    assert list(record) == ["name", "paper", "parameters", "macs", "size_mib", "claims", "assumptions"]
    assert record["parameters"] == 4_705_866
    assert record["size_mib"] == pytest.approx(4_705_866 * 4 / 2**20)
    for claim in record["claims"]:
        assert list(claim) == ["metric", "claimed", "unit", "built", "deviation", "verdict"]
    size = next(claim for claim in record["claims"] if claim["metric"] == "size")
    assert size["deviation"] == pytest.approx((size["built"] - 17.95) / 17.95)


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of published configs that a test may change, instead of the shipped one."""
    folder = tmp_path / "studies"
    shutil.copytree(resources.folder("studies"), folder)
    true = resources.folder
    monkeypatch.setattr(resources, "folder", lambda kind: folder if kind == "studies" else true(kind))
    return folder


def test_every_shipped_config_builds_what_it_states() -> None:
    checks = check_all()
    assert len(checks) == len(resources.every("studies"))
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
    assert checks["kong_aim"].record()["parameters"] is None
    assert checks["kong_baseline"].problem is None
