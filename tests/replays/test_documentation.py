"""The tables of docs/replay.md are what `nas replay --all --check` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.replays import Check, check_all
from nas.replays.checking import NOT_CHECKED, NOT_CLAIMED, CheckedClaim
from nas.replays.plan import obstacle


def network_row(check: Check) -> str:
    """A network with its costs, and the accuracies that only training can tell of."""
    assert check.config is not None
    assert check.parameters is not None
    assert check.macs is not None
    trained = [f"{_named(claim)}{claim.printed} {claim.unit}" for claim in check.claims if claim.verdict == NOT_CHECKED]
    data = check.config.data + (" \\*" if obstacle(check.config) else "")
    costs = f"{check.parameters:,} | {check.macs / 1e9:.3f} | {check.size_mib:.2f}"
    return f"| `{check.name}` | {data} | {', '.join(trained) or 'none printed'} | {costs} |"


def unbuilt_row(check: Check) -> str:
    """Claims of a network that is not built, and why."""
    assert check.config is not None
    claims = [f"{_named(claim)}{claim.printed} {claim.unit}" for claim in check.claims]
    return f"| `{check.name}` | {check.config.data} | {', '.join(claims)} | {check.config.without_network} |"


def _named(claim: CheckedClaim) -> str:
    return "" if claim.metric == "accuracy" else claim.metric + " "


def claim_rows(check: Check) -> list[str]:
    """Every cost that the paper prints, beside what is built."""
    return [
        f"| `{check.name}` | {claim.metric} | {claim.printed} {claim.unit} | {claim.built:.4g} | {claim.deviation:+.2%} | "
        f"{claim.verdict} |"
        for claim in check.claims
        if claim.verdict not in (NOT_CHECKED, NOT_CLAIMED) and claim.built is not None and claim.deviation is not None
    ]


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    return check_all()


def test_every_network_and_every_claimed_cost_is_in_the_tables(checks: list[Check], repository: Path) -> None:
    lines = (repository / "docs" / "replay.md").read_text().splitlines()
    ours = [line for line in lines if line.startswith("| `")]
    built = [check for check in checks if check.parameters is not None]
    unbuilt = [unbuilt_row(check) for check in checks if check.parameters is None]
    expected = (
        [network_row(check) for check in built] + unbuilt + [row for check in checks for row in claim_rows(check)]
    )
    assert [row for row in expected if row not in ours] == []
    names = {row.split("`")[1] for row in ours}
    assert names == {check.name for check in checks}
