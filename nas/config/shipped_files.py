"""Finds the data files that travel with the package: `search_spaces/*.yaml` and `studies/*.yaml`.

In a checkout they lie beside `nas/`; a wheel carries them inside it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from nas import version
from nas.errors import NasError, nearest
from nas.text.sanitize import expanded

MOST_NAMES = 12
"""Shipped files up to which a message lists them all."""

_PACKAGE = Path(version.__file__).resolve().parent


def folder(kind: str) -> Path:
    """The folder that holds the shipped files of `kind`, such as ``"search_spaces"``."""
    inside = _PACKAGE / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def every(kind: str) -> list[Path]:
    """All shipped files of `kind`, by name."""
    return sorted(folder(kind).glob("*.yaml"))


def find(kind: str, name: str | Path, error: type[NasError] = NasError) -> Path:
    """The file that `name` means: a path that exists, or the name of a shipped file with or without folder and ending.

    Raises `error` that lists the shipped names, unless there are too many, when there is no such file.
    """
    path = expanded(name)
    if path.is_file():
        return path
    looks_like_path = path.is_absolute() or path.parent not in (Path(), Path(kind))
    shipped = {file.stem: file for file in every(kind)}
    stem = path.name.removesuffix(".yaml").removesuffix(".yml")
    if not looks_like_path and stem in shipped:
        return shipped[stem]
    if path.is_dir():
        raise error(f"{name}: this is a folder, not a YAML file")
    if path.exists():
        raise error(f"{name}: a named pipe or device is no file")
    hint = "" if looks_like_path else nearest(stem, shipped)
    if len(shipped) > MOST_NAMES:
        raise error(f"{name}: no such file, and none of the {len(shipped)} that are shipped{hint}")
    raise error(f"{name}: no such file, and no shipped one of {', '.join(shipped) or 'none'}{hint}")


def commit() -> str | None:
    """The git commit of the checkout that this package runs from, with ``+`` when files changed; None in a wheel."""
    checkout = _PACKAGE.parent
    if not (checkout / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, timeout=10)
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
