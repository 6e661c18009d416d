"""How much memory is free, before somebody else's program is killed for want of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nas.errors import NasError


def free_bytes() -> int | None:
    """What this process can still have: of the machine, of its container and of its own limit; None where nobody says."""
    known = [amount for amount in (_of_machine(), _of_container(), _of_process()) if amount is not None]
    return max(0, min(known)) if known else None


def total_bytes() -> int | None:
    """Memory of the machine or of the container, whoever has it now: the same at each start. None where nobody says."""
    known = []
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal")))
    with suppress(OSError, ValueError):
        known.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))  # the word "max" where there is no limit
    return min(known, default=None)


def check_memory(needed: int, what: str, remedy: str, error: type[NasError] = NasError) -> None:
    """Raises `error`, saying `what` needs so many bytes and the `remedy`, when they are not free."""
    free = free_bytes()
    if free is not None and needed > free:
        raise error(f"{what} need {byte_size(needed)} of memory, but {byte_size(free)} are free; {remedy}")


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _of_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())  # the word "max" where there is none
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        # Pages of files are given back when they are needed.
        return limit - int((folder / "memory.current").read_text()) + int(statistics["inactive_file"])
    except (OSError, ValueError, KeyError):
        return None


def _of_process() -> int | None:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return limit - pages * resource.getpagesize()
    except (ImportError, OSError, ValueError, IndexError):
        return None


def byte_size(count: int) -> str:
    """``12 MiB``, ``1.5 GiB``."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**29 else f"{count / 2**20:,.0f} MiB"
