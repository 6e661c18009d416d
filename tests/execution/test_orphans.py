"""Ray of a driver that is killed, and Ray that is killed under a driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.execution import ray_watch
from nas.execution.orphans import descendants, end_leftovers, forget, remember
from nas.execution.ray_watch import _name
from nas.execution.stop import Stop
from nas.store import Store
from nas.system.processes import process_begin
from tests.small_search import training_process

pytestmark = pytest.mark.skipif(process_begin(os.getpid()) is None, reason="needs /proc")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory in which no other driver has written anything."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def note(
    folder: Path, driver: tuple[int, str | None], *processes: tuple[int, str | None], session: Path | None = None
) -> Path:
    path = folder / "nas-ray-7.json"
    written = {"driver": driver, "processes": processes, "session": session and str(session)}
    path.write_text(json.dumps(written))
    return path


def test_what_a_driver_that_was_killed_has_left_is_ended(folder: Path, orphan: subprocess.Popen[bytes]) -> None:
    path = note(folder, (os.getpid(), "another boot"), (orphan.pid, process_begin(orphan.pid)))
    assert end_leftovers() == 1
    assert orphan.wait(10) == -9
    assert not path.exists()


def test_nothing_of_a_driver_that_runs_is_ended(folder: Path, orphan: subprocess.Popen[bytes]) -> None:
    path = remember(descendants(os.getpid()))
    assert path is not None
    assert [orphan.pid, process_begin(orphan.pid)] in json.loads(path.read_text())["processes"]
    assert end_leftovers() == 0
    assert orphan.poll() is None
    assert path.exists()


def test_a_process_that_got_the_number_of_another_is_left_alone(folder: Path, orphan: subprocess.Popen[bytes]) -> None:
    note(folder, (os.getpid(), "another boot"), (orphan.pid, "another moment"))
    assert end_leftovers() == 0
    assert orphan.poll() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"driver": [1, "x"], "processes": []}',
        '{"driver": [5, "x"], "processes": [["2", "x"], [true, 1]]}',
    ],
)
def test_a_file_of_something_else_is_left_alone(folder: Path, text: str) -> None:
    path = folder / "nas-ray-7.json"
    path.write_text(text)
    assert end_leftovers() == 0
    assert path.exists()


def test_a_link_or_a_pipe_in_its_place_is_not_followed(folder: Path) -> None:
    target = note(folder, (5, "x"))
    target.rename(folder / "target")
    (folder / "nas-ray-8.json").symlink_to(folder / "target")
    os.mkfifo(folder / "nas-ray-9.json")
    assert end_leftovers() == 0
    assert (folder / "nas-ray-8.json").is_symlink()


def session(folder: Path, driver: int) -> Path:
    path = folder / "ray" / f"session_2026-11-25_04-30-01_179057_{driver}"
    (path / "logs").mkdir(parents=True)
    (path / "logs" / "raylet.out").write_text("of Ray")
    return path


def test_the_session_of_a_driver_goes_with_it(folder: Path) -> None:
    ended, killed, running = (session(folder, pid) for pid in (os.getpid(), 5, 6))
    path = remember([], str(ended))
    assert path is not None
    note(folder, (5, "x"), session=killed)
    assert end_leftovers() == 0
    assert [one.exists() for one in (ended, killed, running)] == [True, False, True]
    forget(path)
    assert [one.exists() for one in (ended, killed, running)] == [False, False, True]
    assert not list(folder.glob("nas-ray-*"))


@pytest.mark.parametrize("name", ["photos", "ray/session_2026-11-25_04-30-01_179057_6", "link_5", "../x", ""])
def test_no_other_folder_is_removed_for_a_session(folder: Path, name: str) -> None:
    kept = session(folder, 6)
    (folder / "photos").mkdir()
    link = kept.parent / "session_2026-11-25_04-30-01_179057_5"
    link.symlink_to(kept)
    note(folder, (5, "x"), session=link if name == "link_5" else folder / name)
    assert end_leftovers() == 0
    assert (kept / "logs" / "raylet.out").exists()
    assert (folder / "photos").exists()


LONG = ["--trials", "50", "--epochs", "4000", "--max-concurrent", "1", "--sampler", "random"]


@pytest.fixture
def driver(folder: Path, space_file: Path, storage: str, repository: Path) -> Iterator[subprocess.Popen[str]]:
    """A search with a Ray of its own that has begun to train."""
    with subprocess.Popen(
        [sys.executable, "-m", "nas", "search", "--space", str(space_file), "--storage", storage, *LONG],
        env={
            **os.environ,
            "PYTHONPATH": str(repository),
            "RAY_ADDRESS": "",
            "TMPDIR": str(folder),
            "RAY_TMPDIR": "/tmp",
        },
        cwd=folder,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            training_process(process)
            yield process
        finally:
            process.kill()


def _of_ray(driver: int) -> dict[str, int]:
    """The processes of its Ray by their names, as far as they have names of their own."""
    names = {}
    for pid in descendants(driver):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:
            continue
        names[Path(command).name] = pid
    return names


@pytest.mark.slow
def test_what_a_killed_driver_leaves_is_cleared_by_the_next_start(
    driver: subprocess.Popen[str], folder: Path, space_file: Path, storage: str, repository: Path
) -> None:
    processes = _of_ray(driver.pid)
    agents = [processes["ray::DashboardAgent"], processes["ray::RuntimeEnvAgent"]]
    # What trains gets as much of a busy machine as what the user starts: Ray's default is a tenth of it.
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in descendants(driver.pid)} == {os.nice(0)}
    [written] = folder.glob("nas-ray-*.json")
    session = Path(json.loads(written.read_text())["session"])
    driver.kill()
    driver.wait()
    assert None not in [_name(pid) for pid in agents]  # Ray leaves them for minutes
    assert session.is_dir()
    assert [path.name[:11] for path in sorted(folder.glob("nas-*-*"))] == [f"nas-ray-{driver.pid}"[:11], "nas-search-"]
    others = [folder / "nas-search-other", folder / "nas-ray-other.json"]
    others[0].mkdir()
    others[1].write_text("{}")
    again = [sys.executable, "-m", "nas", "search", "--space", str(space_file), "--storage", storage]
    environment = {
        **os.environ,
        "PYTHONPATH": str(repository),
        "RAY_ADDRESS": "",
        "TMPDIR": str(folder),
        "RAY_TMPDIR": "/tmp",
    }
    subprocess.run(
        [*again, "--study", "second", "--trials", "1", "--epochs", "1"], env=environment, check=True, cwd=folder
    )
    assert [_name(pid) for pid in agents] == [None, None]
    assert not session.exists()
    assert sorted(folder.glob("nas-*-*")) == sorted(others)  # and nothing of the second search


def test_a_process_of_ray_that_dies_is_seen_at_once(
    orphan: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = _name(orphan.pid)
    assert name is not None
    monkeypatch.setattr(ray_watch, "VITAL", (name,))
    monkeypatch.setattr(ray_watch, "LOOK_SECONDS", 0.05)
    run = Stop()
    with ray_watch.watched(run, {orphan.pid}):
        assert not run.now()
        orphan.kill()  # its parent, this process, has not asked yet how it ended
        deadline = time.monotonic() + 60
        while not run.now() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert f"Ray's process {name} on this machine died" in str(run.problem)
    assert "run the same command again to resume" in str(run.problem)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_ray_that_dies_ends_the_search_with_one_line_and_fails_no_trial(
    driver: subprocess.Popen[str], storage: str, name: str
) -> None:
    os.kill(_of_ray(driver.pid)[name], 9)
    _, said = driver.communicate(timeout=30)
    assert driver.returncode == 2
    lines = [line for line in said.splitlines() if line.startswith("nas: error: ")]
    assert lines == [
        f"nas: error: Ray's process {name} on this machine died (killed, or out of memory); nothing finished is lost; run the same "
        "command again to resume"
    ]
    with Store.open(storage) as store, store.claim("tiny-digits"):
        trials, paused = store.trials("tiny-digits"), store.paused("tiny-digits")
    assert set(trials["state"]) <= {"complete", "interrupted"}  # what has no checkpoint yet begins again
    assert len(paused) + (trials["state"] == "interrupted").sum()
