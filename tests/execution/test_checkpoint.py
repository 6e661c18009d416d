"""The file that a killed training goes on from: whole or not there, of one training, read without running anything."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.errors import NasError
from nas.execution import checkpoint
from nas.execution.checkpoint import Checkpoint, Ending, Foreign, Kept, load, save

STATE = {"weights": torch.arange(1000.0), "epochs": [{"epoch": 1, "loss": 0.5}], "place": (1, None, "x")}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    for one in list(Ending.looking):
        one.close()


def opened(folder: Path, **identity: str | int) -> Checkpoint:
    return Checkpoint(Kept(folder / "a.checkpoint", identity))


def test_what_is_saved_is_the_state_of_that_moment(tmp_path: Path) -> None:
    mine = opened(tmp_path, network="a")
    weights = torch.zeros(3)
    assert not mine.written
    assert mine.save({"weights": weights}, wait=True)
    assert mine.written
    mine.save({"weights": weights})
    weights += 1  # the training goes on while the thread writes
    mine.close()
    state = opened(tmp_path, network="a").load()
    assert state is not None
    assert state["weights"].tolist() == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.checkpoint"]


def test_of_states_that_wait_for_the_disk_the_last_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, written = threading.Event(), []

    def slow(path: Path, state: dict[str, Any]) -> None:
        free.wait()
        written.append(state["number"])
        save(path, state)

    monkeypatch.setattr(checkpoint, "save", slow)
    mine = opened(tmp_path)
    for number in range(4):
        mine.save({"number": number})
    assert not mine.written
    free.set()
    mine.close()
    assert written[-1] == 3
    assert len(written) <= 2
    assert load(mine.path) == {"number": 3}


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.9])
def test_a_damaged_file_is_refused(tmp_path: Path, place: float) -> None:
    path = tmp_path / "a.checkpoint"
    save(path, STATE)
    whole = path.read_bytes()
    at = int(place * len(whole))
    path.write_bytes(whole[:at])
    with pytest.raises(NasError, match="no checkpoint that can be read"):
        load(path)
    if 0.2 < place < 0.8:  # in the numbers: PyTorch alone would read it
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(NasError, match="is damaged"):
            load(path)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    for write in (lambda path: torch.save(Evil(), path), lambda path: path.write_bytes(pickle.dumps(Evil()))):
        write(tmp_path / "a.checkpoint")
        with pytest.raises(NasError, match="no checkpoint that can be read"):
            load(tmp_path / "a.checkpoint")
    assert not (tmp_path / "ran").exists()


def test_the_checkpoint_of_another_training_is_foreign(tmp_path: Path) -> None:
    theirs = opened(tmp_path, network="a", recipe="b")
    theirs.save(STATE, wait=True)
    with pytest.raises(Foreign) as found:
        opened(tmp_path, network="a", recipe="c").load()
    assert (found.value.differs, found.value.theirs) == ("recipe", "b")


def test_nothing_is_written_that_fills_the_disk_and_it_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = opened(tmp_path)
    mine.save(STATE, wait=True)
    before = mine.path.read_bytes()
    monkeypatch.setattr(checkpoint, "RESERVE_BYTES", 1 << 60)
    assert not mine.save({"other": 1}, wait=True)
    assert mine.note() == f"{tmp_path}: the disk is nearly full, so that no checkpoint is written"
    assert not mine.save({"other": 2}, wait=True)
    assert mine.note() == ""
    assert not mine.written
    assert mine.path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_one_is_due_after_a_while(tmp_path: Path) -> None:
    patient = Checkpoint(Kept(tmp_path / "a", {}))
    patient.after_batch(lambda: STATE)
    patient.close()
    assert not patient.path.exists()
    hasty = Checkpoint(Kept(tmp_path / "b", {}, seconds=0.0))
    hasty.after_batch(lambda: STATE)
    hasty.close()
    assert load(hasty.path) is not None


def test_a_process_that_has_to_end_saves_first(tmp_path: Path) -> None:
    mine = opened(tmp_path)
    lines: list[str] = []

    def told_to_end() -> None:
        with Ending.on_sigterm(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
            lines.append("the batch is done")
            mine.after_batch(lambda: STATE)
            lines.append("the next one")

    with pytest.raises(SystemExit):
        told_to_end()
    assert lines == ["the batch is done"]
    assert load(mine.path) is not None
    mine.close()
    with pytest.raises(SystemExit):  # nobody trains here
        told_to_end()
    assert lines == ["the batch is done"]
