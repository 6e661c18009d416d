"""Processor time of a command and of all processes that it starts, while it runs; ended when it has had its share."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY_SECONDS = 0.5
SAY_SECONDS = 30.0
PATIENCE_SECONDS = 300.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Watched:
    """How a command ended."""

    code: int
    core_seconds: float
    """Of all its processes, and of earlier runs of it that were killed."""
    wall_seconds: float
    """Of this run alone."""


class Meter:
    """Processor time of a process and its descendants, those that have ended among them."""

    def __init__(self, root: psutil.Process) -> None:
        self.root = root
        self.seen: dict[tuple[int, float], float] = {}

    def read(self) -> float:
        """Core seconds so far. What a process did after the last look at it is missed, half a second at most."""
        try:
            processes = [self.root, *self.root.children(recursive=True)]
        except psutil.NoSuchProcess:
            processes = []
        # The workers of Ray are no longer descendants once its own process has ended.
        alive = {(process.pid, process.create_time()): process for process in processes if _runs(process)}
        for key, process in alive.items():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            self.seen[key] = max(self.seen.get(key, 0.0), times.user + times.system)
        return sum(self.seen.values())


def _runs(process: psutil.Process) -> bool:
    try:
        return process.create_time() > 0
    except psutil.NoSuchProcess:
        return False


def run_watched(
    command: Sequence[str],
    folder: Path,
    name: str,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    limit: float | None = None,
) -> Watched:
    """Runs a command in `folder`; what it prints goes to NAME.out and NAME.log there, its time to NAME.seconds.

    At `limit` core seconds, with those of earlier runs, it gets the signal of Ctrl-C once. A second run goes on counting
    where one that was killed stopped, and is not begun past the limit. The command does not outlive this process.
    """
    counted = folder / f"{name}.seconds"
    before = float(json.loads(counted.read_text())) if counted.exists() else 0.0
    if limit is not None and before >= limit:
        return Watched(0, before, 0.0)
    start = time.monotonic()
    with (folder / f"{name}.out").open("w") as out, (folder / f"{name}.log").open("a") as log:
        child = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdout=out, stderr=log, preexec_fn=_heed_ctrl_c
        )
        meter = Meter(psutil.Process(child.pid))
        asked: float | None = None
        shown = start
        try:
            while child.poll() is None:
                time.sleep(EVERY_SECONDS)
                total = before + meter.read()
                counted.write_text(json.dumps(total))
                now = time.monotonic()
                if limit is not None and total >= limit and asked is None:
                    asked = now
                    child.send_signal(signal.SIGINT)
                if asked is not None and now - asked > PATIENCE_SECONDS:
                    child.kill()
                if now - shown > SAY_SECONDS:
                    shown = now
                    of = "" if limit is None else f" of {limit:,.0f}"
                    say(f"{name}: {total:,.0f}{of} core seconds; {last_line(folder, name)}")
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                child.wait()
    return Watched(child.returncode, before + sum(meter.seen.values()), time.monotonic() - start)


def _heed_ctrl_c() -> None:
    """Ctrl-C works, which a shell has its background jobs ignore, and comes by itself when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def last_line(folder: Path, name: str) -> str:
    """What a command said last: on its output, else where it complains."""
    for ending in ("out", "log"):
        lines = (folder / f"{name}.{ending}").read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        if said:
            return said[-1][:110]
    return "nothing said yet"
