"""Where decoded images, and what was counted over them, are kept."""

from __future__ import annotations

import os
from pathlib import Path

from nas.text.sanitize import expanded


def cache_folder() -> Path:
    """Where decoded images are kept: `NAS_CACHE`, or ``nas`` in the user's cache folder."""
    if named := os.environ.get("NAS_CACHE"):
        return expanded(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else expanded("~/.cache")) / "nas"  # noqa: PTH117
