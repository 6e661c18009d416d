"""Decodes many image files at once, in as many processes as there are cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from nas import version
from nas.errors import DataError

END_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Block:
    """Images that one process decodes together."""

    number: int
    start: int
    """Row of the first."""
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Decoded:
    """What came of a block."""

    block: Block
    crc: int
    """CRC-32 of its bytes."""
    unusable: dict[str, str]
    """Why, by file."""
    other_sizes: dict[str, str]


class NoSpace(Exception):
    """What was decoded could not be written, and why."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_into(
    file: Path, blocks: Iterable[Block], shape: tuple[int, ...], processes: int, *, resized: bool, reduced: bool
) -> Iterator[Decoded]:
    """Decodes blocks of images (C, H, W) of `shape` to their rows in `file`, as each is done, in any order.

    Raises NoSpace where the file cannot be written, and DataError where a process dies.
    """
    order = {"file": str(file), "shape": shape, "resized": resized, "reduced": reduced}
    waiting = iter(blocks)
    lock = threading.Lock()
    done: list[Decoded] = []
    told = threading.Condition()
    running = processes
    problems: list[BaseException] = []

    def work() -> None:
        nonlocal running
        try:
            with _process(order) as ask:
                while not problems:
                    with lock:
                        block = next(waiting, None)
                    if block is None:
                        break
                    found = ask({"start": block.start, "paths": block.paths})
                    with told:
                        done.append(Decoded(block, found["crc"], found["unusable"], found["other_sizes"]))
                        told.notify()
        except BaseException as problem:
            problems.append(problem)
        finally:
            with told:
                running -= 1
                told.notify()

    if not processes:
        return
    with ThreadPoolExecutor(processes) as pool:
        for _ in range(processes):
            pool.submit(work)
        try:
            while True:
                with told:
                    told.wait_for(lambda: done or not running)
                    found, done[:] = list(done), []
                    over = not running
                yield from found
                if over and not done:
                    break
        except BaseException as problem:  # whoever asked is interrupted: the processes end
            problems.append(problem)
            raise
    if problems:
        raise problems[0]


@contextmanager
def _process(order: dict[str, Any]) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """A process that decodes, and what asks it for a block."""
    home = str(Path(version.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "nas.data.decode_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="ascii",
        env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
        start_new_session=True,  # Ctrl-C is for this process, which then ends that one
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to, back = process.stdin, process.stdout
    try:
        _send(to, order)

        def ask(what: dict[str, Any]) -> dict[str, Any]:
            _send(to, what)
            answer = back.readline()
            if not answer:
                code = process.wait()
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise DataError(
                    f"a process that decodes images has ended ({how}), at {what['paths'][0]} or one of the "
                    f"{len(what['paths']) - 1} files behind it; start again, or with --no-data-cache"
                )
            found: dict[str, Any] = json.loads(answer)
            if "problem" in found:
                raise NoSpace(found["problem"])
            return found

        yield ask
    finally:
        for pipe in (to, back):
            with suppress(OSError):  # it has ended already
                pipe.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _send(pipe: IO[str], what: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # that it has ended is seen where its answer is read
        pipe.write(json.dumps(what) + "\n")
        pipe.flush()
