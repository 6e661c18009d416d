"""What has no end is refused at once: spaces without bound, batches beyond memory, images without size, pipes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from nas.architecture.cost import cost
from nas.config.shipped_files import every
from nas.data import Task, load
from nas.errors import DataError, NasError, SearchError, SpaceError
from nas.space import feasibility
from nas.space.feasibility import check_feasible
from nas.space.space import Space
from nas.system import memory
from tests.conftest import Run

HEAD = "  head: {block: classifier, pool: average}\n"


def graphs(levels: int, body: str) -> str:
    """Graphs g0, g1, … each of which stands in the next: `body` is that of one, {} the name of the one before."""
    first = "graphs:\n  g0:\n    n: {block: conv}\n"
    rest = "".join(f"  g{level}:\n" + body.replace("{}", f"g{level - 1}") for level in range(1, levels))
    return f"{first}{rest}graph:\n  b: {{graph: g{levels - 1}}}\n{HEAD}"


SPACES = {
    "nested repeats": (
        graphs(13, "    n: {graph: {}, repeat: 10}\n"),
        r"line:15: graph 'g5' makes up to 100,000 nodes",
    ),
    "nested repeats of a choice": (
        graphs(13, "    n: {graph: {}, repeat: {choose: [0, 1, 10]}}\n"),
        r"graph 'g5' makes up to 100,000 nodes; an architecture has at most 10,000",
    ),
    "used twice": (graphs(40, "    n: {graph: {}}\n    m: {graph: {}, repeat: 0}\n"), r"graph 'g14' has 16,384 nodes"),
    "nested deep": (graphs(500, "    n: {graph: {}}\n"), "graph 'g33': graphs are nested 33 deep; at most 32"),
    "options": (
        f"graph:\n  a: {{block: conv, channels: {{choose: [{', '.join(map(str, range(1, 20_001)))}]}}}}\n{HEAD}",
        "line:4: node 'a': channels: a choice has at most 1,000 options, not 20,000",
    ),
    "labels": (
        "graph:\n  a:\n    choose:\n" + "".join(f"      l{n}: {{block: conv}}\n" for n in range(1_001)) + HEAD,
        "line:5: node 'a': a choice has at most 1,000 options, not 1,001",
    ),
    "bytes": ("graph:\n" + "# nothing\n" * 30_000 + HEAD, "larger than 256 KiB"),
}


@pytest.mark.parametrize("kind", list(SPACES))
def test_a_space_without_bound_is_refused_with_its_line(kind: str, tmp_path: Path) -> None:
    text, message = SPACES[kind]
    path = tmp_path / "space.yaml"
    path.write_text(f"name: s\ninput: [3, 8, 8]\n{text}")
    with pytest.raises(SpaceError, match=message.replace("line", "space.yaml")):
        Space.load(path)


@pytest.mark.parametrize("grows", ["block: conv, channels: x2", "block: concat, inputs: [BEFORE, BEFORE]"])
def test_channels_that_double_without_end_fit_no_input(grows: str, tmp_path: Path) -> None:
    """2^60 of them are more bytes than PyTorch can count."""
    body = "".join(f"  n{n}: {{{grows.replace('BEFORE', f'n{n - 1}' if n else 'input')}}}\n" for n in range(60))
    (tmp_path / "s.yaml").write_text(f"name: s\ninput: [3, 8, 8]\ngraph:\n{body}{HEAD}")
    with pytest.raises(SpaceError, match=r"node '\w+': block '\w+'.*; no architecture fits the input \[3, 8, 8\]"):
        Space.load(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    "shape", ["[3, 1000000000, 1000000000]", "[0, 8, 8]", "[3, 8]", "[3, true, 8]", "[3, 65537, 1]"]
)
def test_an_image_that_is_none(shape: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"name: s\ninput: {shape}\ngraph:\n{HEAD}")
    with pytest.raises(
        SpaceError, match=r"space.yaml:2: input: must be \[channels, height, width\], whole and from 1 to 65,536"
    ):
        Space.load(path)


def test_a_thousand_options_and_a_number_of_thousands_of_digits_are_answered(tmp_path: Path, run: Run) -> None:
    options = ", ".join(map(str, range(1, 1_001)))
    nodes = "".join(f"  n{n}: {{block: conv, channels: {{choose: [{options}]}}}}\n" for n in range(3))
    many = f"graphs:\n  g:\n    n: {{block: {{choose: [conv, identity]}}}}\ngraph:\n  b: {{graph: g, repeat: 1000}}\n{nodes}"
    for body in (f"graph:\n{nodes}", many, many.replace("repeat: 1000", "repeat: 1000, share: false")):
        (tmp_path / "s.yaml").write_text(f"name: s\ninput: [3, 8, 8]\n{body}{HEAD}")
        for command in ("check", "count"):
            code, out, err = run("space", command, "s.yaml", *(["--samples", "10"] if command == "count" else []))
            assert (code, err) == (0, "")
            assert "assignments" in out
    space = Space.load(tmp_path / "s.yaml")
    assert space.size == 1_000**3 * 2**1_000
    (tmp_path / "t.yaml").write_text(
        f"name: s\ninput: [3, 8, 8]\ngraphs:\n  g:\n    n: {{block: {{choose: [{', '.join(['conv', 'identity'])}]}}, norm: "
        f"{{choose: [none, batch]}}, kernel_size: {{choose: [1, 3, 5, 7]}}}}\ngraph:\n"
        + "".join(f"  b{n}: {{graph: g, repeat: 1000}}\n" for n in range(5))
        + HEAD
    )
    code, out, err = run("space", "check", "t.yaml")
    assert (code, err) == (0, "")
    assert "about 1" in out or "e+" in out


@pytest.mark.parametrize("command", ["space sample attn_cnn --input 1,16,16", "search --space attn_cnn --trials 1"])
def test_a_limit_that_nothing_meets_is_refused_soon_with_the_smallest_cost(command: str, run: Run) -> None:
    code, out, err = run(*command.split(), "--max-parameters", "5")
    assert (code, out) == (2, "")
    found = re.search(
        r"none of 50 random architectures, nor of (\d+) made from the closest of them, meets the constraints: parameters at "
        r"most 5 \(smallest seen: (\d+)\)\n\Z",
        err,
    )
    assert found, err
    assert int(found[1]) < 300
    assert int(found[2]) < 1_000  # of a thousand random ones the smallest has 7,649


def test_a_limit_that_few_meet_is_not_said_to_be_met_by_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feasibility, "PROBES", 100)
    monkeypatch.setattr(feasibility, "ENUMERABLE", 0)
    body = "".join(f"  n{n}: {{block: conv, kernel_size: {{choose: [1, 5]}}, norm: none}}\n" for n in range(20))
    (tmp_path / "s.yaml").write_text(f"name: s\ninput: [3, 8, 8]\ngraph:\n{body}{HEAD}")
    space = Space.load(tmp_path / "s.yaml")
    smallest = space.from_assignment({f"n{n}.kernel_size": 1 for n in range(20)})
    least = cost(smallest, space.input, 10).parameters
    with pytest.raises(SearchError, match=rf"none of 100 random architectures .*; one .* does \({least} parameters\)"):
        check_feasible(space.limit(parameters=least), space.input, 10)
    with pytest.raises(SearchError, match=rf"nor of \d+ made .* at most {least - 1} \(smallest seen: {least}\)"):
        check_feasible(space.limit(parameters=least - 1), space.input, 10)


def test_a_least_cost_that_nothing_has_is_refused_with_the_largest(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        f"name: s\ninput: [3, 8, 8]\nconstraints: {{parameters: {{min: 1e9}}}}\ngraph:\n"
        f"  n: {{block: conv, channels: {{choose: [8, 16, 32]}}}}\n{HEAD}"
    )
    with pytest.raises(
        SearchError, match=r"none of its 3 .* parameters at least 1,000,000,000 \(largest seen: 1,258\)"
    ):
        check_feasible(Space.load(tmp_path / "s.yaml"), (3, 8, 8), 10)


def test_a_long_wait_has_a_sign_of_life(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feasibility, "QUIET_SECONDS", 0.0)
    _, _, err = run("space", "sample", "nas_bench_macro", "--max-parameters", "5")
    assert err.splitlines()[0] == "space nas_bench_macro: no architecture fits so far; trying 1,000"


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0", "1e400", "many"])
@pytest.mark.parametrize("option", ["--max-parameters", "--max-macs"])
def test_a_limit_is_a_number(option: str, value: str, run: Run) -> None:
    for command in (["space", "count"], ["space", "sample"], ["search", "--space"]):
        code, _, err = run(*command, "nas_bench_macro", option, value)
        assert code == 2
        assert f"must be a number above 0 such as 500000, 1e6 or 1.5M, not '{value}'" in err


def test_a_batch_beyond_memory_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run("latency", "kong_baseline", "--batch", "1000000000")
    assert code == 2
    assert "at most 65,536" in err
    monkeypatch.setattr(memory, "free_bytes", lambda: 2**30)
    code, _, err = run("latency", "kong_baseline", "--batch", "65536", "--threads", "1")
    assert code == 2
    assert "batches of 65,536 images of 3×32×32 need" in err
    assert "but 1.0 GiB are free; name a smaller --batch" in err


@pytest.mark.parametrize("value", ["²", "9" * 5_000, "1,2,3,4", "-3,32,32", "3,65537,1", ""])
def test_a_shape_that_is_none(value: str, run: Run) -> None:
    code, _, err = run("space", "count", "nas_bench_macro", "--input", value)
    assert code == 2
    assert "up to 65,536, such as 3,32,32" in err


def test_images_beyond_memory_are_refused_before_they_are_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 2**30)
    with pytest.raises(DataError, match=r"1,43\d images of 1024×1024 pixels.* need 2.8 GiB .*smaller --image-size"):
        load(Task("digits", image_size=1024))


def test_resizing_takes_the_memory_of_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    import nas.data.sources as sources

    whole = load(Task("digits", image_size=40))
    monkeypatch.setattr(sources, "CHUNK_BYTES", 40_000)
    parts = load(Task("digits", image_size=40))
    assert np.array_equal(whole.train.x, parts.train.x)
    assert whole.fingerprint == parts.fingerprint


@pytest.mark.parametrize("what", ["space", "weights", "database", "output"])
def test_a_named_pipe_is_not_waited_for(what: str, run: Run, tmp_path: Path) -> None:
    endings = {"space": "yaml", "weights": "safetensors", "database": "db", "output": "svg"}
    os.mkfifo(tmp_path / f"pipe.{endings[what]}")
    arguments = {
        "space": ["space", "check", "pipe.yaml"],
        "weights": ["export", "kong_baseline", "--weights", "pipe.safetensors"],
        "database": ["study", "list", "--storage", "sqlite:///pipe.db"],
        "output": ["space", "draw", "nas_bench_macro", "-o", "pipe.svg"],
    }[what]
    code, _, err = run(*arguments)
    assert code == 2
    assert "is no file" in err


def test_free_memory_is_known_here() -> None:
    free = memory.free_bytes()
    assert free is None or free > 2**20
    with pytest.raises(NasError, match=r"x need 8,388,608.0 GiB of memory, but .* are free; do y"):
        memory.check_memory(2**53, "x", "do y")
    memory.check_memory(1, "x", "do y")


@pytest.mark.parametrize("share", ["0.99999", "0.91", "1"])
def test_a_search_keeps_images_to_train_on(share: str, run: Run) -> None:
    code, _, err = run("search", "--space", "attn_cnn", "--trials", "1", "--validation", share)
    assert (code, err) == (
        2,
        f"nas: error: validation share: must be above 0 and at most 0.9, not {float(share)}\n",
    )


def test_a_network_is_not_timed_with_more_threads_than_there_are_cores(run: Run) -> None:
    cores = os.cpu_count()
    code, out, err = run("latency", "kong_baseline", "--threads", "1024")
    assert (code, out) == (2, "")
    assert err == f"nas: error: threads: must be at most {cores}, the cores of this machine, not 1024\n"


def test_a_mistake_in_a_file_of_ones_own_is_no_fault_of_a_shipped_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("space: attn_cnn\nassignmnt: {}\n")
    code, _, err = run("replay", "kong_baseline", "bad.yaml", "--check")
    assert (code, err) == (
        2,
        "nas: error: bad.yaml:2: published config: unknown key 'assignmnt'; did you mean 'assignment'?\n",
    )
    good = next(file for file in every("studies") if file.stem == "kong_baseline").read_text()
    (tmp_path / "good.yaml").write_text(good.replace("kong_baseline", "good", 1))
    assert run("replay", "good.yaml", "--check")[0] == 0
    (tmp_path / "wrong.yaml").write_text(good.replace("kong_baseline", "wrong", 1).replace("4705866", "4705867"))
    assert run("replay", "wrong.yaml", "--check")[0] == 1
