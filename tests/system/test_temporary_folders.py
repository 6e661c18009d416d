"""Temporary folders of processes that ended, that were killed, and that run; and folders of others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from nas.system.temporary_folders import LOCK, MARK, scratch_folder, sweep

HOLD = """
import time
from nas.system.temporary_folders import scratch_folder
with scratch_folder("test") as folder:
    (folder / "inside").mkdir()
    (folder / "inside" / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_goes_at_its_end(folder: Path) -> None:
    with suppress(ZeroDivisionError), scratch_folder("test") as made:
        assert made.parent == folder
        assert made.name.startswith("nas-test-")
        (made / "file").write_text("x")
        assert sweep() == 0
        raise ZeroDivisionError
    assert not list(folder.iterdir())


def test_the_folder_of_a_killed_process_is_swept_and_that_of_a_running_one_is_not(
    folder: Path, repository: Path
) -> None:
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(repository)}
    with subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        made = Path(process.stdout.readline().strip())
        assert (made / "inside" / "file").exists()
        assert sweep() == 0
        assert (made / "inside" / "file").exists()
        os.kill(process.pid, signal.SIGKILL)
    assert made.exists()
    assert sweep() == 1
    assert not made.exists()
    assert sweep() == 0


def test_what_is_not_provably_ours_is_left_alone(folder: Path) -> None:
    (folder / "nas-search-unmarked").mkdir()
    (folder / "nas-search-empty").mkdir()
    (folder / "nas-search-empty" / LOCK).touch()  # of a process that is about to write its mark
    (folder / "nas-search-other").mkdir()
    (folder / "nas-search-other" / LOCK).write_bytes(MARK + b"x")
    (folder / "nas-search-pipe").mkdir()
    os.mkfifo(folder / "nas-search-pipe" / LOCK)
    target = folder / "photos"
    target.mkdir()
    (target / LOCK).write_bytes(MARK)
    (folder / "nas-search-link").symlink_to(target)
    (folder / "nas-search-inside").mkdir()
    (folder / "nas-search-inside" / LOCK).symlink_to(target / LOCK)
    (folder / "nas-ray-7.json").write_text("{}")
    before = sorted(folder.rglob("*"))
    assert sweep() == 0
    assert sorted(folder.rglob("*")) == before
    assert (target / LOCK).read_bytes() == MARK
