"""What every benchmark shares: interleaved timing and an honest header."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path


def interleaved(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each call, A B A B …, after one call of each that is not counted: machines drift, pairs do not."""
    ours()
    theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for action, seconds in ((ours, times[0]), (theirs, times[1])):
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
    return times


def environment_line() -> str:
    """Processor, cores and versions."""
    name = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            name = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), name)
    except OSError:
        pass
    packages = ", ".join(f"{package} {version(package)}" for package in ("torch", "torchvision", "optuna", "ray"))
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def report(
    title: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    unit: str = "",
    digits: int = 0,
    lower_is_better: bool = False,
    as_json: bool = False,
    notes: Sequence[str] = (),
) -> float:
    """Prints medians with their spread, and the ratio in our favour, pair by pair. Returns the median ratio."""
    ratios = [b / a if lower_is_better else a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    if as_json:
        print(
            json.dumps(
                {"title": title, "ours": list(ours), "theirs": list(theirs), "ratio": ratio, "notes": list(notes)}
            )
        )
        return ratio
    print(title)
    for name, values in (("ours", ours), ("theirs", theirs)):
        middle, low, high = statistics.median(values), min(values), max(values)
        print(
            f"  {name:<7} {middle:>14,.{digits}f} {unit} (from {low:,.{digits}f} to {high:,.{digits}f}, n = {len(values)})"
        )
    print(f"  ratio   {ratio:>14,.2f} (from {min(ratios):,.2f} to {max(ratios):,.2f})")
    for note in notes:
        print(f"  {note}")
    return ratio
