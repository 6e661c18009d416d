"""What a killed training goes on from: one file, written whole or not at all by a thread, read without pickle's powers.

A training takes its state after a batch or an epoch and goes on at once: the state is copied, and a thread writes the copy. The
file says of which training it is, and is refused for any other.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import torch
from torch import Tensor

from nas.errors import NasError

EVERY_SECONDS = 60.0
"""A training loses at most so much; networks of a search are a few MB, and many of them may share a disk."""

RESERVE_BYTES = 256 << 20
"""No checkpoint is written that would leave less of a disk: what a search must write are its results."""

State = dict[str, Any]
"""Tensors and plain values."""


@dataclass(frozen=True)
class Kept:
    """Where the checkpoint of a training lies, plain data for the process that trains."""

    path: Path
    identity: Mapping[str, str | int]
    """Which training it is: a file that says otherwise in one of these is of another."""
    seconds: float = EVERY_SECONDS
    """At most so often a checkpoint is taken beside those that are asked for."""


class Foreign(NasError):
    """The checkpoint of another training."""

    def __init__(self, path: Path, differs: str, theirs: object) -> None:
        super().__init__(f"{path}: a checkpoint of another training; remove it to train from the start")
        self.differs, self.theirs = differs, theirs


class Ending:
    """Whether this process has been told to end, and trainings that have a checkpoint save their state first."""

    looking: ClassVar[WeakSet[Checkpoint]] = WeakSet()
    """The checkpoints of trainings that have begun and look."""
    _asked: ClassVar[type[BaseException] | None] = None

    @classmethod
    def asked(cls) -> bool:
        """Whether the process is to end."""
        return cls._asked is not None

    @classmethod
    def follow(cls) -> None:
        """Ends the process, by an exception."""
        problem, cls._asked = cls._asked, None
        assert problem is not None
        raise problem

    @classmethod
    @contextmanager
    def on_sigterm(cls, problem: type[BaseException]) -> Iterator[None]:
        """Inside, SIGTERM raises `problem`: after the next batch where a training looks, at once elsewhere or the second time."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def told(number: int, frame: object) -> None:
            if not cls.looking or cls._asked is not None:
                raise problem
            cls._asked = problem

        before = signal.signal(signal.SIGTERM, told)
        try:
            yield
        finally:
            asked, cls._asked = cls._asked, None
            signal.signal(signal.SIGTERM, before)
        if asked is not None:
            raise asked


class Checkpoint:
    """The checkpoint of one training, in the process that does it."""

    def __init__(self, kept: Kept) -> None:
        self.path, self.identity, self.seconds = kept.path, dict(kept.identity), kept.seconds
        self._failed = False
        self._notes: dict[str, bool] = {}
        self._last = time.monotonic()
        self._saved = False
        self._pending: State | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        Ending.looking.add(self)

    def load(self) -> State | None:
        """What was saved last, on the CPU; None when there is nothing. Raises NasError when it is damaged or `Foreign`."""
        state = load(self.path)
        if state is not None:
            for name, value in self.identity.items():
                if state.get(name) != value:
                    raise Foreign(self.path, name, state.get(name))
        return state

    def after_batch(self, state: Callable[[], State]) -> None:
        """Saves the state when one is due. When the process has to end it is saved, and does."""
        if Ending.asked():
            self.save(state(), wait=True)
            Ending.follow()
        if time.monotonic() - self._last >= self.seconds:
            self.save(state())

    def save(self, state: State, *, wait: bool = False) -> bool:
        """Saves a copy of `state`; `wait`: before it returns. Returns whether it was written, as far as that is known."""
        copy = {**self.identity, **copied(state)}
        self._last = time.monotonic()
        with self._lock:
            self._pending, self._saved = copy, True
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name=f"checkpoint {self.path.name}")
                self._thread.start()
        if wait:
            self._join()
        return self.written

    @property
    def written(self) -> bool:
        """Whether what was saved last is in the file."""
        with self._lock:
            return self._saved and self._thread is None and not self._failed

    def tell(self, problem: str) -> None:
        """Keeps what the user should know for the next report, once."""
        self._notes.setdefault(problem, True)

    def note(self) -> str:
        """What is to be told now."""
        news = [problem for problem, new in self._notes.items() if new]
        self._notes.update(dict.fromkeys(news, False))
        return "; ".join(news)

    def close(self) -> None:
        """Waits until what was saved is written."""
        self._join()
        Ending.looking.discard(self)

    def _write(self) -> None:
        while True:
            with self._lock:
                state, self._pending = self._pending, None
                if state is None:
                    self._thread = None
                    return
            try:
                save(self.path, state)
                self._failed = False
            except NasError as problem:
                self._failed = True
                self.tell(str(problem))

    def _join(self) -> None:
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()


def copied(value: Any) -> Any:
    """A copy of tensors and plain values that lasts while a training goes on; tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    return value


def save(path: Path, state: State) -> None:
    """Writes `state` to `path`: whoever reads it sees the old file or the new one. Raises NasError where there is no room."""
    beside = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.part")
    try:
        if shutil.disk_usage(path.parent).free < RESERVE_BYTES + size(state):
            raise NasError(f"{path.parent}: the disk is nearly full, so that no checkpoint is written")
        with beside.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, RuntimeError) as problem:  # PyTorch's writer turns a full disk into a RuntimeError
        raise NasError(f"{path}: cannot be written: {getattr(problem, 'strerror', None) or problem}") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def load(path: Path) -> State | None:
    """What `save` wrote, on the CPU; None when there is no file. Raises NasError when it is damaged."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # PyTorch's reader does not look at the check sums of what it loads
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} is damaged")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # whatever a damaged file makes of PyTorch's reader
        reason = f"{type(problem).__name__}: {problem}".partition("\n")[0][:100]
        raise NasError(
            f"{path}: no checkpoint that can be read ({reason}); remove it to train from the start"
        ) from None
    if not isinstance(state, dict):
        raise NasError(f"{path}: no checkpoint of nas; remove it to train from the start")
    return state


def size(value: Any) -> int:
    """Bytes of the tensors in it."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(size(item) for item in value.values())
    return sum(size(item) for item in value) if isinstance(value, list | tuple) else 0
