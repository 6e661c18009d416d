from __future__ import annotations

import json
from pathlib import Path

from nas.store import Store
from tests.conftest import Run
from tests.store.filling import fill, make_study

EARLY = ("--scheduler", "none,pareto_asha", "--min-epochs", "1")


def test_a_finished_study_is_a_table_of_its_complete_trials(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'nas.db'}"
    with Store.open(url, create=True) as store:
        fill(store, make_study(store, "mine"), 18)
    words = ("--table", "mine", "--storage", url, "--seeds", "1", "--trials", "20")
    code, out, err = run("bench", "--space", "nas_bench_macro", *words, "--samplers", "evolution", "--json", *EARLY)
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["rows"] == data["networks"] == 15  # three of 18 diverged
    assert data["columns"]["seconds"] == "seconds"
    assert data["samplers"]["evolution"]["regret"]["20"] == 0
    stopped = data["samplers"]["evolution"]["schedulers"]["pareto_asha"]  # by the learning curves of the study
    assert stopped["completed"] < stopped["begun"] == 15
    assert stopped["steps"] < 15
    code, out, err = run("bench", "--space", "plain", *words)
    assert (code, out) == (2, "")
    assert "study 'mine' searched the space nas_bench_macro, not this plain" in err
