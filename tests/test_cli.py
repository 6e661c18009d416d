"""The command line as a user meets it: output, exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from click.shell_completion import ShellComplete
from torch import Tensor, nn

from blocks.base import BLOCKS, block
from nas.architecture.compile import compile_model
from nas.architecture.cost import Cost, cost
from nas.cli import cli
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.space.space import Space
from nas.store import Store, TrialResult
from tests.conftest import REPOSITORY, Run


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A study of six finished trials of nas_bench_macro, two of which did not end well."""
    space = Space.load("nas_bench_macro")
    path = tmp_path / "nas.db"
    with Store.open(f"sqlite:///{path}", create=True) as store:
        store.create_study(
            "macro",
            space=space,
            task=LoadedTask("digits", input=(3, 32, 32), classes=10),
            recipe=Recipe(epochs=1, batch_size=64),
            objectives=["accuracy", "parameters"],
        )
        with store.claim("macro"):
            for number, assignment in enumerate(list(space.enumerate())[:600:100]):
                architecture = space.from_assignment(assignment)
                met = {}
                space.walk(lambda name, options, met=met, a=assignment: met.setdefault(name, options) and a[name])
                price = cost(architecture, space.input, 10)
                row = store.start_trial(
                    "macro",
                    assignment=assignment,
                    options=met,
                    architecture=architecture,
                    cost=price,
                    published="known" if number == 2 else None,
                )
                good = number < 4
                store.finish_trial(
                    row,
                    "complete" if good else "diverged",
                    TrialResult(
                        reason=None if good else "training loss is nan at iteration 1 of epoch 1",
                        values={"accuracy": 0.5 + number / 10 if good else None},
                        seconds=1.5,
                        device="cpu: test",
                        environment={"nas": "test"},
                    ),
                )
    return path


def test_help_answers_without_heavy_imports() -> None:
    code = (
        "import sys\ntry:\n    from nas.cli import main\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'ray', 'pandas', 'numpy', 'optuna', 'sqlalchemy', 'rich') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "search" in output
    assert output.splitlines()[-1] == "[]"


READING = [
    ["blocks"],
    ["blocks", "aim", "--json"],
    ["space", "show", "attn_cnn"],
    ["completion", "bash"],
    ["replay", "--list"],
    ["study", "list"],
    ["study", "show", "--json"],
    ["study", "pareto"],
    ["why", "--all"],
    ["choose"],
]
"""Commands that build no network."""
WITHOUT_DATABASE = READING[:4]
HEAVY = ("torch", "ray", "optuna", "sklearn", "matplotlib", "scipy", "networkx", "sqlalchemy", "pandas", "numpy")


def imported(commands: list[list[str]], folder: Path, **environment: str) -> list[str]:
    """The heavy packages that these commands, run one after the other, have imported."""
    code = (
        f"import sys\nfrom nas.cli import main\nfor command in {commands!r}:\n    try:\n        main(command)\n"
        "    except SystemExit as end:\n        assert not end.code, command\n"
        f"print('\\n' + ' '.join(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()


def test_what_only_reads_imports_no_torch(filled: Path) -> None:
    assert imported(READING, filled.parent) == ["sqlalchemy", "pandas", "numpy"]
    assert imported(WITHOUT_DATABASE, filled.parent) == []
    assert imported([["study", "list"], ["replay", "--list"]], filled.parent) == ["sqlalchemy", "numpy"]


@pytest.mark.parametrize(
    ("words", "heavy"),
    [("nas blocks a", []), ("nas space show a", []), ("nas study show m", ["sqlalchemy", "numpy"])],
)
def test_completion_imports_no_torch(words: str, heavy: list[str], filled: Path) -> None:
    count = str(len(words.split()) - 1)
    environment = {"_NAS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    assert imported([[]], filled.parent, **environment) == heavy


def test_a_space_file_with_a_fault_is_answered_without_torch(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: s\ninput: [3, 8, 8]\ngraph:\n  stem: {block: cnov}\n")
    code = (
        "import sys\nfrom nas.cli import main\ntry:\n    main(['space', 'check', 's.yaml'])\n"
        "except SystemExit:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    fault = "node 'stem': no block 'cnov'; did you mean 'conv'?"
    assert done.stderr == f"nas: error: s.yaml:4: {fault} (a block of your own is given with --blocks FILE)\n"
    assert done.stdout == "False\n"


def test_space_count(run: Run) -> None:
    code, out, _ = run("space", "count", "nas_bench_macro", "--json")
    assert code == 0
    found = json.loads(out)
    assert {key: found[key] for key in ("size", "exact", "feasible_share")} == {
        "size": 6561,
        "exact": True,
        "feasible_share": 1.0,
    }
    code, out, _ = run("space", "count", "attn_cnn", "--samples", "20", "--json")
    found = json.loads(out)
    assert (code, found["exact"]) == (0, False)
    assert found["size"] == Space.load("attn_cnn").size
    assert 0 <= found["interval"][0] <= found["feasible_share"] <= found["interval"][1] <= 1


def test_space_cost_of_a_published_network(run: Run) -> None:
    code, out, _ = run("space", "cost", "attn_cnn", "--assignment", "kong_aim_cam", "--json")
    assert code == 0
    found = json.loads(out)
    assert found.keys() == {"parameters", "macs", "activation_bytes"}
    assert found["parameters"] == 11_374_986
    code, out, _ = run("space", "cost", "attn_cnn", "--assignment", "kong_aim_cam")
    assert "43.39 MiB" in out


def test_space_sample_gives_assignments_that_cost_takes(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("space", "sample", "attn_cnn", "-n", "3", "--seed", "5", "--json", "--max-parameters", "2M")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, len(lines)) == (0, 3)
    for line in lines:
        assert line.keys() == {"assignment", "hash", "parameters", "macs"}
        assert line["parameters"] <= 2e6
        code, out, _ = run("space", "cost", "attn_cnn", "--assignment", json.dumps(line["assignment"]), "--json")
        assert json.loads(out)["parameters"] == line["parameters"]
    (tmp_path / "a.json").write_text(json.dumps(lines[0]))
    code, out, _ = run("space", "cost", "attn_cnn", "--assignment", "a.json", "--json")
    assert json.loads(out)["macs"] == lines[0]["macs"]
    again = run("space", "sample", "attn_cnn", "-n", "3", "--seed", "5", "--json", "--max-parameters", "2M")[1]
    assert [json.loads(line)["hash"] for line in again.splitlines()] == [line["hash"] for line in lines]


def test_space_cost_for_another_input(run: Run) -> None:
    code, out, _ = run(
        "space", "cost", "attn_cnn", "--assignment", "kong_aim", "--input", "1,28,28", "--classes", "7", "--json"
    )
    space = Space.load("attn_cnn")
    from nas.space.published import PublishedConfig

    architecture = space.from_assignment(PublishedConfig.load("kong_aim").assignment, (1, 28, 28), 7)
    model = compile_model(architecture, (1, 28, 28), 7)
    assert json.loads(out)["parameters"] == sum(p.numel() for p in model.parameters())
    assert code == 0


@pytest.mark.parametrize("name", ["network.svg", "network.png"])
def test_space_draw(name: str, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("space", "draw", "attn_cnn", "--assignment", "kong_aim_cam", "-o", name)
    assert (code, out.strip()) == (0, name)
    content = (tmp_path / name).read_bytes()
    if name.endswith("svg"):
        for word in (b"kong_aim_cam", b"aim", b"cam", b"max_pool"):
            assert word in content
    else:
        assert content.startswith(b"\x89PNG")


def test_space_check_and_show(run: Run) -> None:
    assert run("space", "check", "nas_bench_macro")[0] == 0
    code, out, _ = run("space", "show", "nas_bench_macro")
    assert code == 0
    assert "mb5_e6: inverted_residual" in out


def test_blocks(run: Run) -> None:
    code, out, _ = run("blocks", "--json")
    blocks = {block["name"]: block for block in json.loads(out)}
    assert code == 0
    assert {"conv", "aim", "cam", "attention_conv", "se", "cbam", "eca", "inverted_residual"} <= blocks.keys()
    assert all(block["source"] and block["summary"] for block in blocks.values())
    assert "Kong" in run("blocks", "aim")[1]


def test_study_commands_read_what_is_there(run: Run, filled: Path, tmp_path: Path) -> None:
    code, out, _ = run("study", "list", "--json")
    assert (code, json.loads(out)[0]["study"], json.loads(out)[0]["complete"]) == (0, "macro", 4)
    code, out, _ = run("study", "show", "macro")
    assert code == 0
    assert "training loss is nan" in out
    assert json.loads(run("study", "show", "--json")[1])["states"] == {"complete": 4, "diverged": 2}
    code, out, _ = run("study", "pareto", "--json")
    front = json.loads(out)
    assert code == 0
    assert front
    keys = {"trial", "hash", "accuracy", "parameters", "macs", "state", "assignment", "published"}
    assert all(row.keys() >= keys and row["state"] == "complete" for row in front)
    costs = [(row["parameters"], row["accuracy"]) for row in front]
    assert costs == sorted(costs)
    assert [accuracy for _, accuracy in costs] == sorted(accuracy for _, accuracy in costs)


def test_study_plots_and_exports(run: Run, filled: Path, tmp_path: Path) -> None:
    code, _, _ = run("study", "pareto", "-o", "front.png", "-o", "front.html")
    assert code == 0
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "front.html").read_text()
    assert "known" in page
    assert 'src="http' not in page  # self-contained
    assert run("study", "export", "macro", "-o", "trials.csv")[0] == 0
    assert run("study", "export", "macro", "-o", "trials.parquet")[0] == 0
    for frame in (pd.read_csv(tmp_path / "trials.csv"), pd.read_parquet(tmp_path / "trials.parquet")):
        assert len(frame) == 6
        assert {"trial", "accuracy", "parameters", "choice.stage1.first.layer"} <= set(frame.columns)


BAD_SPACE = "name: s\ninput: [3, 8, 8]\ngraph:\n  a: {block: cnv}\n"
CYCLE = "name: s\ninput: [3, 8, 8]\ngraph:\n  a: {block: add, inputs: [b]}\n  b: {block: conv, inputs: [a]}\n"
EMPTY = "name: s\ninput: [3, 8, 8]\ngraph: {}\n"
SHAPE = "name: s\ninput: [3, 2, 2]\ngraph:\n  a: {block: max_pool, stride: 4}\n  head: {block: classifier}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serach"], "no command 'serach'; known: .*; did you mean 'search'?"),
        (["search"], "Missing option '--space'"),
        (["search", "--space", "attn_cnn", "--trails", "3"], "No such option"),
        (["search", "--space", "absent.yaml"], "absent.yaml: no such file"),
        (["search", "--space", "atn_cnn"], "did you mean 'attn_cnn'?"),
        (["search", "--space", "bad.yaml"], "bad.yaml:4: node 'a': no block 'cnv'; did you mean 'conv'?"),
        (["space", "check", "bad.yaml"], "bad.yaml:4: node 'a': no block 'cnv'; did you mean 'conv'?"),
        (
            ["space", "check", "cycle.yaml"],
            "cycle.yaml:4: node 'a': no node 'b' in this graph|cyclic graph: a -> b -> a",
        ),
        (["space", "check", "empty.yaml"], "empty.yaml:3: graph 'graph' is empty"),
        (["space", "check", "shape.yaml"], "shape.yaml:4: node 'a'"),
        (["space", "cost", "attn_cnn", "--assignment", "{"], "--assignment: not valid JSON"),
        (
            ["space", "cost", "attn_cnn", "--assignment", "nothing"],
            "is neither JSON, nor a file, nor a published config",
        ),
        (["space", "cost", "attn_cnn", "--assignment", "{}"], "the choice 'stem.*' is missing; options: "),
        (["space", "cost", "attn_cnn", "--assignment", "kong_aim", "--input", "3,32"], "must be channels,height,width"),
        (
            ["space", "cost", "attn_cnn", "--assignment", "kong_aim", "--input", "3,2,2"],
            "cannot be built for the input",
        ),
        (["space", "draw", "attn_cnn", "-o", "a.gif"], "a.gif: must end with .svg or .png"),
        (["space", "draw", "attn_cnn", "-o", "absent/a.svg"], "absent does not exist"),
        (["space", "sample", "attn_cnn", "-n", "0"], "0 is not in the range"),
        (
            ["space", "sample", "nas_bench_macro", "--max-parameters", "10"],
            r"none of 50 random architectures, nor of .* meets the constraints: parameters at most 10 \(smallest seen: ",
        ),
        (
            ["space", "count", "attn_cnn", "--max-parameters", "few"],
            "must be a number above 0 such as 500000, 1e6 or 1.5M",
        ),
        (["search", "--space", "attn_cnn", "--trials", "0"], "trials: must be at least 1, not 0"),
        (["search", "--space", "attn_cnn", "--data", "digit"], "no data set 'digit'; known: .*did you mean 'digits'?"),
        (["search", "--space", "attn_cnn", "--data", "imagefolder:absent"], "imagefolder:absent: no such folder"),
        (["search", "--space", "attn_cnn", "--sampler", "tpee"], "no sampler 'tpee'; .*did you mean 'tpe'?"),
        (["search", "--space", "attn_cnn", "--objectives", "acc"], "no objective 'acc'"),
        (["search", "--space", "attn_cnn", "--time", "soon"], "time: must be like 90s, 30m or 1h30m, not 'soon'"),
        (
            ["search", "--space", "nas_bench_macro", "--max-parameters", "5"],
            "meets the constraints: parameters at most 5",
        ),
        (["search", "--space", "attn_cnn", "--recipe", "absent.yaml"], "absent.yaml: no such recipe file"),
        (["search", "--space", "attn_cnn", "--storage", "nas.db"], "did you mean 'sqlite:///nas.db'?"),
        (["search", "--space", "attn_cnn", "--storage", "sqlite:///absent/nas.db"], "does not exist; make it first"),
        (
            ["search", "--space", "attn_cnn", "--storage", "postgresql://me:secret@127.0.0.1:1/x"],
            r"me:\*\*\*@127.0.0.1:1",
        ),
        (["search", "--space", "attn_cnn", "--storage", "sqlite:///foreign.db"], "foreign.db"),
        (["search", "--space", "attn_cnn", "--storage", "sqlite:///text.db"], "is not an SQLite database"),
        (["study", "list"], "no such file nas.db; `nas search` makes it"),
        (["study", "list", "--storage", "sqlite:///a\udcffb.db"], r"is no name of a database"),
        (["study", "list", "--storage", f"postgresql://{'a' * 300}/x"], r"is no name of a host"),
        (["predict", "kong_aim", "a" * 5_000], "'a{59}…: File name too long|a{60}…: File name too long"),
        (["space", "check", "a" * 5_000], r"a{60}…: no path \(File name too long\)"),
        (["space", "check", "~nobody_of_this_name/s.yaml"], "~nobody_of_this_name/s.yaml: no such file"),
        (
            ["bench", "--space", "nas_bench_macro", "--table", "t.csv", "--workers", "²"],
            "--workers: must be whole numbers",
        ),
        (["latency", "kong_aim", "--batch", "x\ny"], "must be sizes of batches such as 1,64, not 'x y'"),
        (["study", "show", "--storage", "mysql://me:secret@host/x"], "there are sqlite and postgresql"),
        (
            ["study", "show", "--storage", "mysql://host/x?user=me&password=secret"],
            "'mysql://host/x': no database 'mysql'",
        ),
        (
            ["study", "show", "--storage", "postgresql://127.0.0.1:1/x?user=me&password=secret&sslpassword=secret"],
            r"127.0.0.1:1/x\?password=\*\*\*&sslpassword=\*\*\*&user=me",
        ),
        (["blocks", "cbma"], "no block 'cbma'; did you mean 'cbam'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, run: Run, tmp_path: Path) -> None:
    import re

    for name, text in (("bad", BAD_SPACE), ("cycle", CYCLE), ("empty", EMPTY), ("shape", SHAPE)):
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "text.db").write_text("this is not a database, only some text that is long enough to be one" * 20)
    with sqlite3.connect(tmp_path / "foreign.db") as connection:
        connection.execute("create table something (id integer)")
    code, out, err = run(*arguments)
    assert code == 2, out + err
    # A look for a network that fits says so after some seconds: a sign of life, no second error.
    said = [line for line in err.strip().splitlines() if "no architecture fits so far" not in line]
    assert len(said) == 1, err
    assert re.search(message, said[0]), err
    assert "Traceback" not in err
    assert "secret" not in err
    assert out == ""


def test_a_study_that_is_not_there_is_answered_with_the_nearest(run: Run, filled: Path) -> None:
    for command in (["show", "marco"], ["pareto", "marco"], ["export", "marco", "-o", "x.csv"]):
        code, _, err = run("study", *command)
        assert code == 2
        assert "did you mean 'macro'?" in err


def test_a_fault_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    code = (
        "import nas.architecture.cost\nnas.architecture.cost._sum = None\nfrom nas.cli import main\n"
        "main(['space', 'cost', 'attn_cnn', '--assignment', 'kong_aim'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={**os.environ}
    )
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_cost_is_plain_data() -> None:
    assert Cost(1, 2, 3).macs == 2


@pytest.mark.parametrize(
    ("words", "begun", "offered"),
    [
        ([], "se", ["search"]),
        (["space", "show"], "nas_bench_m", ["nas_bench_macro"]),
        (["search", "--space"], "nas_bench_m", ["nas_bench_macro"]),
        (["replay"], "kong_aim_cam", ["kong_aim_cam", "kong_aim_cam_literal", "kong_aim_cam_residual_aim"]),
        (["blocks"], "attention_c", ["attention_conv"]),
        (["search", "--data"], "cifar", ["cifar10", "cifar100"]),
        (["report", "--study"], "no", []),  # there is no database
        (["completion"], "z", ["zsh"]),
    ],
)
def test_the_shell_completes_names(
    words: list[str], begun: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    completer = ShellComplete(cli, {}, "nas", "_NAS_COMPLETE")
    assert [item.value for item in completer.get_completions(words, begun)] == offered
    assert list(tmp_path.iterdir()) == []


def test_studies_are_completed_from_the_database_that_is_named(filled: Path) -> None:
    completer = ShellComplete(cli, {}, "nas", "_NAS_COMPLETE")
    (item,) = completer.get_completions(["report", "--storage", f"sqlite:///{filled}", "--study"], "")
    assert item.value == "macro"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, run: Run) -> None:
    assert f"_NAS_COMPLETE={shell}_complete" in run("completion", shell)[1]


def test_a_shell_without_completion_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/tcsh")
    code, out, error = run("completion")
    assert (code, out) == (2, "")
    assert "'tcsh'; name one of bash, zsh, fish" in error


@pytest.mark.parametrize(
    "arguments", [["space", "check", "own.yaml"], ["space", "cost", "own.yaml", "--assignment", "{}"], ["search"]]
)
def test_a_block_that_cannot_be_counted_is_one_line(arguments: list[str], run: Run, tmp_path: Path) -> None:
    class Pairs(nn.Module):
        """x (B, C, H, W) -> (B, C, H, W)

        A product that nobody has a formula for.
        """

        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(in_channels, in_channels, in_channels))

        def forward(self, x: Tensor) -> Tensor:
            y = x.movedim(1, 3)
            return F.bilinear(y, y, self.weight).movedim(3, 1)

    block("pairs", source="none")(Pairs)
    try:
        (tmp_path / "own.yaml").write_text(
            "name: own\ninput: [1, 16, 16]\ngraph:\n  a: {block: pairs}\n  head: {block: classifier}\n"
        )
        more = ["--space", "own.yaml", "--trials", "1"] if arguments == ["search"] else []
        code, out, err = run(*arguments, *more)
        assert (code, out, len(err.strip().splitlines())) == (2, "", 1), err
        assert "node 'a': block 'pairs': operation 'aten::_trilinear' multiplies matrices" in err
        assert "so its cost is not known" in err
    finally:
        BLOCKS.remove("pairs")
