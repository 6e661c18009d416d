"""What has been counted over all bytes of images, remembered beside the cache: a second start reads none of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nas.data.cache_folder import cache_folder

_known: dict[str, Any] = {}


def remembered(what: str, identity: str, count: Callable[[], Any]) -> Any:
    """What `count` gives, plain data for JSON, of images with this identity; counted once, where it can be written down."""
    key = hashlib.sha256(f"{what} {identity}".encode()).hexdigest()[:32]
    if key in _known:
        return _known[key]
    path = cache_folder() / "facts" / f"{key}.json"
    try:
        _known[key] = json.loads(path.read_text(encoding="utf-8"))["value"]
    except (OSError, ValueError, KeyError, TypeError):
        _known[key] = count()
        with suppress(OSError):  # it is counted again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}")
            part.write_text(json.dumps({"value": _known[key]}), encoding="utf-8")
            part.replace(path)
    return _known[key]
