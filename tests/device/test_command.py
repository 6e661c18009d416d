"""Latency by a command of the user's: what it may print, how it may fail, and that another one is another measure."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from nas.architecture.architecture import Architecture
from nas.cli import main
from nas.device import command
from nas.device.command import Command, CommandLatency
from nas.errors import NasError, SearchError, Unmeasured
from nas.searches.measuring import MOST_FAILED, Measurer
from nas.space.space import Space
from nas.store import Store
from tests.conftest import Run
from tests.small_search import QUICK

SIZE = """
import sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="np") as file:
    count = sum(file.get_tensor(name).size for name in file.keys())
print("reading", sys.argv[1])
print(f"{count / 1e6} ms")
"""
"""Says the millions of parameters: of a network always the same, and of a smaller one less."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PAUSES", (0.0, 0.0))


def _script(folder: Path, text: str, name: str = "measure it.py") -> str:
    (folder / name).write_text(text)
    return f"'{sys.executable}' -I '{folder / name}' {{file}}"


def test_a_script_measures_and_the_database_keeps_it(run: Run, tmp_path: Path) -> None:
    words = ("latency", "kong_baseline", "kong_aim", "--format", "state-dict", "--json")
    script = _script(tmp_path, SIZE + f"open({str(tmp_path / 'calls')!r}, 'a').write('x')\n")
    Store.open(f"sqlite:///{tmp_path / 'nas.db'}", create=True).close()
    code, out, err = run(*words, "--command", script)
    assert code == 0, err
    first = json.loads(out)
    assert first[0]["milliseconds"] == pytest.approx(4.707, abs=0.01), "4,705,866 parameters, and statistics"
    assert (first[0]["command"], first[0]["runtime"], first[0]["batch"]) == (script, None, 1)
    assert json.loads(run(*words, "--command", f"  {script} ")[1]) == first
    assert (tmp_path / "calls").read_text() == "xx", "each network once"
    run(*words, "--command", script.replace(" -I", " -I -B"))
    assert len((tmp_path / "calls").read_text()) == 4, "another command measures anew"


@pytest.mark.parametrize(
    ("prints", "wanted"),
    [
        ("4.25", [4.25]),
        ("4.25 ms", [4.25]),
        ("warm\\n3ms, 1e1, 2 ms\\n\\n", [3.0, 10.0, 2.0]),
    ],
)
def test_the_last_line_has_milliseconds(prints: str, wanted: list[float], tmp_path: Path) -> None:
    found = Command(_script(tmp_path, f"print('{prints}')")).milliseconds(tmp_path / "a b.onnx")
    assert found == wanted


def test_runs_become_a_median_with_quartiles() -> None:
    spread = command.spread_of([5, 1, 2, 4, 3])
    assert (spread.low, spread.value, spread.high, spread.runs) == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "import sys; sys.exit('error: device \\x1b[1moffline')",
            r"exit code 1, 3 times: error: device \\x1b\[1moffline",
        ),
        ("print('done')", "the last line that it prints must be milliseconds, such as 4.2, .* not 'done'"),
        ("print('12 13 fast')", "must be milliseconds"),
        ("print('-1')", "must be milliseconds"),
        ("print('nan')", "must be milliseconds"),
        ("pass", "must be milliseconds, .* not nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "signal SIGTERM, 3 times: it said nothing"),
    ],
)
def test_a_failure_is_one_line_with_what_was_said(script: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(Unmeasured, match=said) as problem:
        Command(_script(tmp_path, script)).milliseconds(tmp_path / "network.onnx")
    assert len(str(problem.value).splitlines()) == 1


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(Unmeasured, match="gave no answer in 2 s; --latency-timeout allows it more"):
        Command(_script(tmp_path, script), timeout=2.0).milliseconds(tmp_path / "network.onnx")
    status = Path("/proc") / (tmp_path / "child").read_text() / "status"
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_command_that_comes_right_is_tried_again(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = (
        f"import pathlib, sys\np = pathlib.Path({str(seen)!r})\nif not p.exists(): p.touch(); sys.exit(1)\nprint(7)"
    )
    assert Command(_script(tmp_path, script)).milliseconds(tmp_path / "network.onnx") == [7.0]


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    script = _script(tmp_path, "import sys; print(len(sys.argv))", "count.py")
    assert Command(f"{script} '$HOME' ; echo 3 > {tmp_path / 'made'}").milliseconds(tmp_path / "a; b") == [8.0]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--latency-command", "true"), r"latency_command: must have \{file\} where the file of a network stands"),
        (("--latency-command", "no-such-program {file}"), "there is no program 'no-such-program'"),
        (("--latency-command", "true '{file}"), "cannot be parted into arguments: No closing quotation"),
        (("--latency-command", ""), "latency_command: must not be empty"),
        (("--latency-command", "true {file}", "--latency-format", "onx"), "no format 'onx'.*did you mean 'onnx'"),
        (("--latency-command", "true {file}", "--latency-timeout", "soon"), "latency_timeout: must be like"),
        (("--latency-command", "true {file}", "--latency-runtime", "onnx"), "one or the other"),
        (("--latency-runtime", "onx"), "no runtime 'onx'.*did you mean 'onnx'"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    options: tuple[str, ...], said: str, run: Run, tmp_path: Path
) -> None:
    code, _, err = run("search", "--space", "attn_cnn", "--objectives", "accuracy,latency", *options)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert re.search(said, err)
    assert list(tmp_path.iterdir()) == []


def _networks(count: int) -> tuple[Space, list[Architecture]]:
    space = Space.load("nas_bench_macro")
    found = []
    for assignment in space.enumerate():
        found.append(space.from_assignment(assignment))
        if len(found) == count:
            break
    return space, found


def test_a_network_that_cannot_be_measured_is_left_out_and_several_end_the_search(tmp_path: Path) -> None:
    space, networks = _networks(MOST_FAILED + 2)
    broken = tmp_path / "broken"
    script = f"import os, sys\nif os.path.exists({str(broken)!r}): sys.exit('lost')\nprint(2)"
    notes: list[str] = []
    with Store.open(f"sqlite:///{tmp_path / 'nas.db'}", create=True) as store:

        def measurer() -> Measurer:
            probe = CommandLatency(Command(_script(tmp_path, script), "state-dict"))
            return Measurer([probe], store, space.input, 10, "cpu", note=notes.append)

        broken.touch()
        with pytest.raises(SearchError, match="latency of network .*: lost; run the same command again to resume"):
            measurer()(networks[0])  # the first one: nothing is right yet
        broken.unlink()
        measure = measurer()
        assert measure(networks[0])[0].value == 2
        broken.touch()
        for network in networks[1:MOST_FAILED]:
            with pytest.raises(Unmeasured):
                measure(network)
        with pytest.raises(SearchError, match="lost"):
            measure(networks[MOST_FAILED])
    assert len(notes) == MOST_FAILED - 1
    assert notes[0].startswith(f"left out: latency of network {networks[1].hash[:8]}")


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_a_study_goes_on_with_the_command_it_was_begun_with(
    space_file: Path, storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import nas

    script = _script(tmp_path, SIZE)
    given = {
        "storage": storage,
        "recipe": QUICK,
        "epochs": 2,
        "objectives": ("accuracy", "latency"),
        "latency_format": "state-dict",
    }
    first = nas.search(space_file, trials=2, latency_command=script, limits={"latency": 1.0}, **given)  # type: ignore[arg-type]
    assert first.states == {"complete": 2}
    assert (first.trials["latency"] > 0).all()
    with pytest.raises(NasError, match="latency was measured with batch 1, command .*, and now would be with batch 1,"):
        nas.search(space_file, trials=3, latency_command=script + " more", limits={"latency": 1.0}, **given)  # type: ignore[arg-type]
    with pytest.raises(NasError, match="latency was measured with batch 1, command .*, and now would be with cpu: "):
        nas.search(space_file, trials=3, limits={"latency": 1.0}, **given)  # type: ignore[arg-type]
    with pytest.raises(SystemExit):
        main(
            [
                "choose",
                "--storage",
                storage,
                "--max-latency",
                "1ms",
                "--latency-command",
                script,
                "--latency-format",
                "state-dict",
            ]
        )
    out = capsys.readouterr().out
    assert " ms" in out
    assert f"latency    measured by '{script}'" in out
