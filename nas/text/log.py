"""What a run says: to a file, with times, and in more words on standard error.

Everything goes through `LOG`, a logger of Python's own: INFO is what people see anyway, DEBUG what helps to understand a run that
is slow or fails. Nobody hears it unless a command, or a program around nas, asks for it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nas.errors import NasError
from nas.text.sanitize import expanded, one_line, visible

LOG: Final = logging.getLogger("nas")

_IN_URL: Final = re.compile(r"(\w://[^\s/:@]*):\S+@")
_NAMED: Final = re.compile(
    r"((?:password|passwd|token|secret|api_?key)[\"']?\s?[=:]\s?)(\"[^\"]*\"|'[^']*'|[^\s&,;]+)", re.IGNORECASE
)
_AS_WORD: Final = re.compile(r"(--?(?:password|passwd|token|secret|api-?key)\s+)\S+", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with ``***`` in the place of passwords: in URLs, and behind words that announce one."""
    return _AS_WORD.sub(r"\1***", _NAMED.sub(r"\1***", _IN_URL.sub(r"\1:***@", text)))


class _Stamped(logging.Formatter):
    """Each line with its time; no character controls a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        return "\n".join(f"{stamp} {line.rstrip()}" for line in _text(record).splitlines() if line.strip())


class _Shown(logging.Handler):
    """Shows what no view shows: details of ours, and whatever is said by others."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self.show = show

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.INFO or not record.name.startswith(LOG.name):
            for line in _text(record).splitlines():
                self.show(line)


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    return masked(visible(text))


def to_stderr(text: str) -> None:
    """Prints one line on standard error."""
    print(one_line(text), file=sys.stderr, flush=True)


_ours: list[logging.Handler] = []


def _add(handler: logging.Handler) -> None:
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    _ours.append(handler)


def open_log(path: Path) -> None:
    """Appends everything to a file, until `close_log`. Raises NasError where it cannot be written."""
    try:
        handler = logging.FileHandler(expanded(path), encoding="utf-8", errors="backslashreplace")
    except OSError as problem:
        raise NasError(f"--log-file {path}: cannot be written: {problem.strerror or problem}") from None
    handler.setFormatter(_Stamped())
    _add(handler)


def show_details(show: Callable[[str], None] = to_stderr) -> None:
    """Shows details line by line, until `close_log`; called again, only `show` is another."""
    for handler in _ours:
        if isinstance(handler, _Shown):
            handler.show = show
            return
    _add(_Shown(show))


def close_log() -> None:
    """Nobody hears anything any more."""
    for handler in _ours:
        LOG.removeHandler(handler)
        handler.close()
    _ours.clear()
    LOG.setLevel(logging.NOTSET)


def is_detailed() -> bool:
    """Whether somebody hears details."""
    return LOG.isEnabledFor(logging.DEBUG)


def is_open() -> bool:
    """Whether what people see is to be kept too."""
    return any(isinstance(handler, logging.FileHandler) for handler in _ours)
