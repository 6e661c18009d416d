"""What is used of Optuna Dashboard's own code, in one place: beside `wsgi` it is not a public interface."""

from __future__ import annotations

import importlib.metadata

from nas.errors import NasError

KNOWN = "0.20 and 0.21"
"""Releases with which the tests compare our answers."""

try:
    from optuna_dashboard import wsgi
    from optuna_dashboard._note import get_note_from_system_attrs, note_ver_key
    from optuna_dashboard._serializer import serialize_search_space, serialize_study_detail
    from optuna_dashboard._storage import get_study
except ImportError as problem:
    try:
        found = f"release {importlib.metadata.version('optuna-dashboard')} is installed"
    except importlib.metadata.PackageNotFoundError:
        found = "none is installed"
    raise NasError(
        f"nas dashboard needs Optuna Dashboard {KNOWN}; {found} ({problem}); "
        "say pip install 'optuna-dashboard>=0.20,<0.22'"
    ) from None

__all__ = [
    "get_note_from_system_attrs",
    "get_study",
    "note_ver_key",
    "serialize_search_space",
    "serialize_study_detail",
    "wsgi",
]
