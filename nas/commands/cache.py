"""`nas cache`: the decoded images of data sets that are kept on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import json_option, print_json, say

if TYPE_CHECKING:
    from nas.data.image_cache import Entry


@click.command(name="cache")
@click.option("--clear", is_flag=True, help="Remove all that no process uses.")
@json_option
def command(clear: bool, as_json: bool) -> None:
    """List the decoded images of data sets that are kept on this machine, or remove them.

    Folders and tables of many files are decoded once, and mapped from here by every process and at every further start. They are
    in NAS_CACHE, or else in ~/.cache/nas; what is removed is made again when it is wanted.

    \b
    nas cache
    nas cache --clear
    """
    from nas.data.cache_folder import cache_folder
    from nas.data.image_cache import entries, remove

    found = entries()
    removed = [entry for entry in found if clear and remove(entry.folder)]
    left = [entry for entry in found if entry not in removed]
    if as_json:
        print_json(
            {"folder": str(cache_folder()), "removed": len(removed), "entries": [_record(entry) for entry in left]}
        )
        return
    from nas.system.memory import byte_size

    if clear:
        say(f"removed from {cache_folder()}: {_sum(removed)}{'; in use, or not to be written:' if left else ''}")
    for entry in left:
        size = "×".join(map(str, entry.shape[::-1][:2]))
        state = "" if entry.complete else "not finished; "
        what = f"{entry.images:,} images of {size}, {entry.data}" if entry.complete else "images"
        use = "in use" if entry.in_use else f"used {time.strftime('%Y-%m-%d', time.localtime(entry.used))}"
        say(f"{byte_size(entry.nbytes):>10}  {what}  ({state}{use})\n            {entry.folder}")
    if not clear:
        say(f"in {cache_folder()}: {_sum(left)}")


def _sum(entries: list[Entry]) -> str:
    from nas.system.memory import byte_size

    number = "1 part" if len(entries) == 1 else f"{len(entries)} parts"
    return f"{byte_size(sum(entry.nbytes for entry in entries))}, {number} of data sets"


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "folder": str(entry.folder),
        "data": entry.data,
        "images": entry.images,
        "shape": list(entry.shape),
        "bytes": entry.nbytes,
        "used": entry.used,
        "complete": entry.complete,
        "in_use": entry.in_use,
    }
