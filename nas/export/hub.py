"""A folder that `nas fit` has written, uploaded to the Hugging Face Hub: the model card, and what stands beside it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from nas.errors import ExportError
from nas.export.writing import first_line
from nas.plugins.packages import require

CARD: Final = "README.md"
"""The Hub shows this file."""
_NAME: Final = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)


def push(folder: Path, repository: str, *, private: bool = True) -> str:
    """Uploads the files of `folder`, without its folders, into a repository of models, OWNER/NAME, made where it is not there.

    Returns the address of the commit. Raises ExportError where there is no card, no package, no token, or the Hub refuses.
    """
    if not _NAME.fullmatch(repository):
        raise ExportError(f"repository: must be like OWNER/NAME, not '{repository}'")
    if not (folder / CARD).is_file():
        raise ExportError(f"{folder}: has no model card, {CARD}; nas fit writes one into its folder")
    require("nas push", ("huggingface_hub",), "hub", ExportError)
    hub: Any = import_module("huggingface_hub")
    if hub.get_token() is None:
        raise ExportError(
            "nas push: there is no token of Hugging Face; run `hf auth login` or set HF_TOKEN to one that may write"
        )
    files = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    try:
        api = hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, folder_path=str(folder), allow_patterns=files, commit_message="Model written by nas fit"
        )
    except Exception as problem:  # whatever the Hub or the way to it says
        raise ExportError(f"{repository}: the Hub refuses: {first_line(problem)}") from problem
    return str(done.commit_url)
