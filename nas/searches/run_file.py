"""A search as a file: what `nas search -c FILE` takes, written beside each study.

It holds the options that are not at their defaults, by their names in `SearchOptions`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from nas.config.own_functions import noted
from nas.searches.options import SearchOptions
from nas.store import Store
from nas.text.sanitize import file_stem, one_line

ENDING = ".run.yaml"


def write_run(options: SearchOptions, study: str, store: Store) -> Path | None:
    """Writes the search of `study` beside its SQLite database, in the working directory where that is a server.

    Returns the file; None where an option is an object of Python, which no file can hold. Raises OSError when it cannot be
    written.
    """
    values = {option.name: _plain(getattr(options, option.name)) for option in fields(options)}
    functions = [*noted("metric", options.metrics), *noted("loss", [str(options.loss)])]
    if isinstance(options.space, Mapping) or any(one.handed for one in functions):
        return None
    if any(value is _NOT_PLAIN for value in values.values()):
        return None
    values["study"] = study
    secret = store.url.password is not None
    if secret:
        del values["storage"]
    defaults = {option.name: _plain(option.default) for option in fields(options)}
    chosen = {name: value for name, value in values.items() if value != defaults[name]}
    folder = Path() if store.file is None else store.file.parent
    path = folder / f"{file_stem(study)}{ENDING}"
    path.write_text(_text(chosen, path, secret=secret), encoding="utf-8")
    return path


_NOT_PLAIN = object()


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value if value is None or isinstance(value, str | int | float) else _NOT_PLAIN


def _text(values: Mapping[str, Any], path: Path, *, secret: bool) -> str:
    import yaml

    lines = [
        f"# Resumes the search, or repeats it elsewhere: nas search -c {one_line(shlex.quote(path.name))}",
        f"# It was started in {one_line(str(Path.cwd()))}, from where its paths lead.",
    ]
    if secret:
        lines.append("# The database has a password, so that it is not named here: say --storage or set NAS_STORAGE.")
    return "\n".join([*lines, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=120)])
