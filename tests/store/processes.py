"""Several processes that open a database at the same moment."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys
import optuna.storages
from nas.store import Store

begin, go = os.pipe()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(begin, 1)  # until the parent closes the other end
        Store.open(sys.argv[1], create=sys.argv[2] == "create").close()
        sys.exit()
    children.append(child)
os.close(go)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""
"""Forks, so that what takes seconds to import is imported once, and that they begin together."""


def open_at_once(url: str, *, create: bool) -> None:
    """Three processes open the database; fails when one of them does."""
    command = [sys.executable, "-c", PROGRAM, url, "create" if create else "read"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
