"""Names, reasons and messages that others wrote are shown as they are: no styles, no formulas, no commands to a terminal."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import example, given, settings
from rich.table import Table

from nas.architecture.cost import Cost
from nas.commands.search import next_commands
from nas.config.yaml_document import Document
from nas.errors import NasError, SpaceError, StorageError
from nas.searches.progress import EndedTrial, Lines, LiveView
from nas.store import Store
from nas.text.markup import tag
from nas.text.sanitize import file_stem, one_line, problem_of_name, read_json, visible
from nas.text.terminal import Terminal, styled
from tests.conftest import Run
from tests.store.filling import fill, make_study

TASK = {"dataset": "digits", "root": None, "validation": 0.2, "seed": 0, "input": [3, 32, 32], "classes": 10}
HOSTILE = [
    "a [/red] b",
    "[enforce fail at alloc_cpu.cpp:127] . [bold]x",
    "=cmd|' /C calc'!A0",
    "\x1b[2J\x1b]0;gone\x07",
    "\u202egnp.exe",
    "../../x",
    "<script>alert(1)</script>\" onload='x' &amp;",
    "$\\frac{1$ `x` ${HOME} $(touch ran)",
    "nul\x00 bell\x07 return\rover",
]
TERMINAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def hostile_study(folder: Path, text: str) -> None:
    """A study whose name, space, published names, reasons and devices are `text`, as another program may have written them."""
    with Store.open(f"sqlite:///{folder / 'nas.db'}", create=True) as store:
        make_study(store, task=TASK)
        fill(store, "first", 8)
    with sqlite3.connect(folder / "nas.db") as database:
        database.execute("UPDATE nas_studies SET name = ?, space_name = ?", (text, text))
        database.execute("UPDATE studies SET study_name = ?", (text,))
        database.execute("UPDATE nas_trials SET device = ?, published = ?", (text, text))
        database.execute("UPDATE nas_trials SET reason = ? WHERE state != 'complete'", (text,))
    database.close()


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_study_of_hostile_text_is_read_by_every_command(text: str, run: Run, tmp_path: Path) -> None:
    hostile_study(tmp_path, text)
    for arguments in (
        ["study", "list"],
        ["study", "show"],
        ["study", "pareto"],
        ["study", "pareto", "-o", "front.png", "-o", "front.html"],
        ["study", "export", "-o", "trials.csv"],
        ["why"],
        ["why", "--all"],
    ):
        code, out, err = run(*arguments)
        assert (code, err) == (0, ""), (arguments, out, err)
        assert not TERMINAL.search(out), arguments
        if arguments[-1] in ("show", "why"):
            assert visible(text)[:30].strip() in " ".join(out.split("\n")), arguments
    for name in ("reason", "device", "published"):
        for cell in pd.read_csv("trials.csv")[name].dropna():
            assert not str(cell).startswith(("=", "+", "-", "@"))
    assert not (tmp_path.parent.parent / "x.html").exists()


def test_a_page_of_hostile_text_has_the_elements_of_a_plain_one(run: Run, tmp_path: Path) -> None:
    found = []
    for place, text in enumerate(["plain", " ".join(HOSTILE)]):
        (tmp_path / str(place)).mkdir()
        hostile_study(tmp_path / str(place), text)
        code, out, err = run("report", "--storage", f"sqlite:///{tmp_path / str(place) / 'nas.db'}")
        assert (code, err) == (0, ""), err
        path = tmp_path / out.strip()
        assert path.parent == tmp_path
        found.append(_elements(path.read_text()))
    assert found[0] == found[1]


def _elements(page: str) -> set[tuple[str, tuple[str, ...]]]:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: set[tuple[str, tuple[str, ...]]] = set()

        def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
            self.found.add((name, tuple(key for key, _ in attributes if key not in ("textlength", "lengthadjust"))))

    reader = Reader()
    reader.feed(page)
    return reader.found


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
@example("[/red]")
@example("[bold")
@example(":smile: \\[x]")
@example("\ud800")
def test_a_terminal_shows_any_text_as_it_is(text: str) -> None:
    shown = io.StringIO()
    console = Terminal(file=shown, width=10_000, force_terminal=True, color_system=None)
    console.print(text, soft_wrap=True)
    console.print(styled((text, "bold"), " rest"), soft_wrap=True)
    table = Table(text, title=text, box=None)
    table.add_row(text)
    console.print(table)
    assert not TERMINAL.search(shown.getvalue())
    if text.strip() and "\n" not in text and "\t" not in text:
        assert shown.getvalue().startswith(visible(text))
    shown.getvalue().encode()
    assert "\n" not in one_line(text)


def test_the_live_view_survives_any_name_and_reason() -> None:
    shown = io.StringIO()
    view = LiveView(Terminal(file=shown, width=200, force_terminal=True, color_system=None))
    past = pd.DataFrame({"state": [], "source": [], "accuracy": [], "parameters": [], "macs": []})
    view.begin("a [/red]", past, ("accuracy", "parameters"), 9, None)
    trial = EndedTrial(0, "h", Cost(10, 20, 5), "p [/y]", "complete", 0.5)
    view.note("a note [/x]")
    view.finished(trial, 1)
    view.finished(replace(trial, state="failed", accuracy=None, published=None, reason="[/z] \x1b[2J"), 1)
    assert view.live is not None
    view.live.refresh()
    view.end()
    for word in ("a [/red]", "a note [/x]", "p [/y]", "[/z] \\x1b[2J"):
        assert word in shown.getvalue()


def test_lines_of_a_log_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().note("first\nsecond \x1b[31m")
    assert capsys.readouterr().err == "first\\nsecond \\x1b[31m\n"


def test_errors_control_no_terminal(run: Run) -> None:
    code, _, err = run("study", "show", "a\x1b[2J\nb", "--storage", "sqlite:///\x1b[31m.db")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "\x1b" not in err


def test_a_password_is_never_part_of_what_to_type_next(monkeypatch: pytest.MonkeyPatch) -> None:
    url, shown = "postgresql://nas:s3cret@db/nas", "postgresql+psycopg://nas:***@db/nas"
    lines = next_commands("a b; rm -rf x", shown, url)
    assert "s3cret" not in " ".join(lines)
    assert lines[0] == f"look closer  nas study show 'a b; rm -rf x' --storage '{shown}'"
    monkeypatch.setenv("NAS_STORAGE", url)
    assert next_commands("s", shown, url)[0] == "look closer  nas study show s"
    assert next_commands("s", "sqlite:///nas.db", None)[1] == "dashboard    nas dashboard --study s"


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=300))
@example("../../x")
@example("...")
@example("a" * 5_000)
@example("\ud83d")
def test_a_name_becomes_one_part_of_a_path(name: str) -> None:
    stem = file_stem(name)
    assert stem
    assert len(f"{stem}-123456-gradcam.png".encode()) < 255
    assert Path(stem).name == stem
    assert not stem.startswith((".", "-"))
    assert not TERMINAL.search(stem)


@pytest.mark.parametrize(
    "name",
    ["", "  ", "../../x", "a/b", "a\\b", "a\x00b", "a\ud800", "\x1b[31m", "a" * 201, "-x", ".x", "x\u202ey", "a\n"],
)
def test_a_new_study_has_a_name_that_files_and_terminals_take(name: str, tmp_path: Path, run: Run) -> None:
    with (
        Store.open(f"sqlite:///{tmp_path / 'a.db'}", create=True) as store,
        pytest.raises(StorageError, match="study .*: a name") as problem,
    ):
        make_study(store, name)
    assert str(problem.value).isprintable()
    import nas

    with pytest.raises(NasError, match="study .*: a name|is no text"):
        nas.search("nas_bench_macro", study=name, storage=f"sqlite:///{tmp_path / 'a.db'}", trials=1)


@pytest.mark.parametrize("name", ["attn_cnn-digits", "hünde 🐱", "a [b] (c) 50 %", "名前", "a:b", "a" * 200])
def test_ordinary_names_are_taken(name: str) -> None:
    assert problem_of_name(name) is None


def test_where_nothing_can_be_written_is_said_before_the_work(run: Run, tmp_path: Path) -> None:
    hostile_study(tmp_path, "s")
    (tmp_path / "folder.html").mkdir()
    for arguments in (
        ["report", "-o", "/proc/x.html"],
        ["report", "-o", "folder.html"],
        ["study", "pareto", "-o", "/proc/x.png"],
        ["study", "export", "-o", "/proc/x.csv"],
        ["search", "--space", "nas_bench_macro", "--plot", "/proc/x.png"],
        ["export", "best", "-o", "/proc/x.py"],
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), arguments
        assert re.search(r"(proc/x|folder)\.\w+: cannot be written", err), err


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_leaves_its_element(child: str, value: str) -> None:
    page = tag("p", child, title=value)
    assert _elements(page) == {("p", ("title",))}
    page.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\\n a'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\', max_size=3), inner, max_size=3)
    ),
)


@given(value=JSON, around=st.integers(0, 99), brackets=st.text(alphabet="[]{}", min_size=101, max_size=120))
def test_json_is_read_to_a_hundred_levels_whatever_its_texts_hold(value: object, around: int, brackets: str) -> None:
    text = "[" * around + json.dumps([value, brackets]) + "]" * around
    levels = around + 1 + depth(value)
    if levels <= 100:
        assert read_json(text) == json.loads(text)
    else:
        with pytest.raises(ValueError, match="nested deeper than 100 levels"):
            read_json(text)


def depth(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


@pytest.mark.parametrize(
    "text", ["[" * 500_000, '{"a":' * 500_000, '"' + '\\"' * 500_000, "[" * 101 + '"' + '\\"' * 500_000]
)
def test_json_that_is_damaged_at_length_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested deeper|Unterminated"):
        read_json(text)


@pytest.mark.parametrize("level", ["[\n", "{a:\n ", "- "])
def test_yaml_nested_too_deep_is_one_error(level: str, tmp_path: Path) -> None:
    Document(tmp_path / "flat.yaml", level.strip("\n") * 60 + "1" + {"[": "]", "{": "}", "-": ""}[level[0]] * 60)
    with pytest.raises(SpaceError, match=r"deep.yaml:\d+: not valid YAML: nested deeper than 64 levels"):
        Document(tmp_path / "deep.yaml", level * 20_000)


@pytest.mark.parametrize("text", ["a: \ud800", "a: \x00", "a: [1,", "a: '"])
def test_what_is_no_yaml_is_one_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"x.yaml.*: not valid YAML: [^\n]+\Z"):
        Document(tmp_path / "x.yaml", text)
