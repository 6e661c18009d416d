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

from nas.driver import watch
from nas.driver.leftovers import descendants, end_leftovers, remember
from nas.driver.link import Link
from nas.driver.watch import _name
from nas.store import Store
from nas.store.claim import process_begin

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


def note(folder: Path, driver: tuple[int, str | None], *processes: tuple[int, str | None]) -> Path:
    path = folder / "nas-ray-7.json"
    path.write_text(json.dumps({"driver": driver, "processes": processes}))
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
    (folder / f"nas-ray-{os.getpid()}.json").symlink_to(folder / "made")
    assert end_leftovers() == 0
    assert remember([]) is None
    assert not (folder / "made").exists()


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
        deadline = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline and not _training(storage):
            time.sleep(0.3)
        yield process
        process.kill()


def _training(storage: str) -> bool:
    path = Path(storage.removeprefix("sqlite:///"))
    if not path.exists():
        return False
    try:
        with Store.open(storage) as store:
            return len(store.epochs("tiny-digits")) > 0
    except Exception:  # it is being made
        return False


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
def test_the_agents_of_a_killed_driver_are_ended_by_the_next_start(driver: subprocess.Popen[str], folder: Path) -> None:
    processes = _of_ray(driver.pid)
    agents = [processes["ray::DashboardAgent"], processes["ray::RuntimeEnvAgent"]]
    driver.kill()
    driver.wait()
    assert None not in [_name(pid) for pid in agents]  # Ray leaves them for minutes
    assert end_leftovers() >= 2
    deadline = time.monotonic() + 10
    while [_name(pid) for pid in agents] != [None, None] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [_name(pid) for pid in agents] == [None, None]
    assert not list(folder.glob("nas-ray-*"))


def test_a_process_of_ray_that_dies_is_seen_at_once(
    orphan: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = _name(orphan.pid)
    assert name is not None
    monkeypatch.setattr(watch, "VITAL", (name,))
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    link = Link()
    with watch.watched(link, {orphan.pid}):
        assert not link.ended()
        orphan.kill()  # its parent, this process, has not asked yet how it ended
        deadline = time.monotonic() + 60
        while not link.ended() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert f"Ray's process {name} on this machine died" in str(link.problem)
    assert "the same command goes on" in str(link.problem)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_ray_that_dies_ends_the_search_with_one_line_and_interrupts_its_trials(
    driver: subprocess.Popen[str], storage: str, name: str
) -> None:
    os.kill(_of_ray(driver.pid)[name], 9)
    _, said = driver.communicate(timeout=30)
    assert driver.returncode == 2
    lines = [line for line in said.splitlines() if line.startswith("nas: error: ")]
    assert lines == [
        f"nas: error: Ray's process {name} on this machine died (killed, or out of memory); nothing finished is lost, the same "
        "command goes on"
    ]
    with Store.open(storage) as store, store.claim("tiny-digits"):
        trials = store.trials("tiny-digits")
    assert set(trials["state"]) <= {"interrupted", "complete"}
    assert "interrupted" in set(trials["state"])
