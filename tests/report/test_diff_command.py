"""`nas diff` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Run


def test_lines_name_what_is_added_and_what_it_costs(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "d.svg"
    code, out, _ = run("diff", "kong_aim", "kong_aim_cam", "-o", str(picture))
    assert code == 0
    assert "+397,440 (+3.6%)" in out  # 11,374,986 - 10,977,546
    assert out.count("+ body.") == 8  # attention and merge of four stages
    assert "~" not in out
    assert picture.is_file()


def test_equal_changes_in_a_row_are_one_line(run: Run) -> None:
    _, out, _ = run("diff", "davis_resnet110", "davis_se_resnet110")
    assert "(× 54)" in out
    assert "gate none → se" in out


def test_json(run: Run) -> None:
    code, out, _ = run("diff", "kong_aim", "kong_aim", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["same_network"]
    assert {entry["status"] for entry in data["nodes"]} == {"same"}


def test_a_mistake_is_one_line(run: Run) -> None:
    code, out, err = run("diff", "kong_aim", "kong_ami")
    assert code == 2
    assert not out
    assert err.strip().endswith("did you mean 'kong_aim'?")
    assert err.count("\n") == 1
