"""`nas why` as a user meets it."""

from __future__ import annotations

import json

import pytest

from nas.store import Store
from tests.conftest import Run
from tests.store.filling import fill, make_study


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = f"sqlite:///{tmp_path_factory.mktemp('why')}/nas.db"
    with Store.open(found, create=True) as store:
        make_study(store, "macro")
        fill(store, "macro", 24)
    return found


def test_states_and_reasons(run: Run, url: str) -> None:
    code, out, _ = run("why", "--storage", url)
    assert code == 0
    assert "20 complete, 4 diverged" in out
    assert "the loss was nan in epoch …" in out
    assert "beyond chance" in out


def test_everything_on_request(run: Run, url: str) -> None:
    _, out, _ = run("why", "--storage", url, "--all", "--by", "choice")
    assert "stage1.first.layer" in out.replace("\n", "")


def test_json(run: Run, url: str) -> None:
    _, out, _ = run("why", "--storage", url, "--json", "--by", "block")
    data = json.loads(out)
    assert data["states"] == {"complete": 20, "diverged": 4}
    for cause in data["causes"]:
        assert cause["kind"] == "block"
        assert cause["bad"] <= cause["trials"]
        assert 0 <= cause["p"] <= cause["q"] <= 1


def test_a_mistake_is_one_line(run: Run, url: str) -> None:
    code, _, err = run("why", "--storage", url, "--state", "divrged")
    assert code == 2
    assert err.strip().endswith("did you mean 'diverged'?")
    code, _, err = run("why", "--storage", url, "--study", "macr")
    assert code == 2
    assert "did you mean 'macro'?" in err
