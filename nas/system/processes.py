"""Processes of this machine: whether one with this number is there, and since when."""

from __future__ import annotations

import os
from pathlib import Path


def process_begin(pid: int) -> str | None:
    """When a process of this machine began: two that had the same number one after the other differ. None off Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        # The name of the program, in brackets, may hold blanks and brackets; the 20th word behind it is the time.
        return f"{boot}-{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return None


def process_exists(pid: int) -> bool:
    """Whether a process of this number is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
