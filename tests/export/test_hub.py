"""What `nas push` uploads, and what it refuses; the Hub itself is not reached."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import Run


class _Hub:
    """Takes notes in the place of the package."""

    def __init__(self, token: str | None) -> None:
        self.token, self.told = token, list[Any]()
        self.HfApi = lambda: self

    def get_token(self) -> str | None:
        return self.token

    def create_repo(self, name: str, **options: Any) -> None:
        self.told.append((name, options))
        if name == "them/model":
            raise OSError("403 Forbidden\nlong explanation")

    def upload_folder(self, **options: Any) -> SimpleNamespace:
        self.told.append(options)
        return SimpleNamespace(commit_url="https://hub/commit")


def _with(hub: _Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)  # type: ignore[arg-type]
    monkeypatch.setattr("nas.plugins.packages.find_spec", lambda name: object())


def test_the_card_and_the_files_beside_it_are_uploaded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = _Hub("a token")
    _with(hub, monkeypatch)
    folder = tmp_path / "photos-fit"
    (folder / "private").mkdir(parents=True)
    for name in ("README.md", "model.py", ".secret"):
        (folder / name).write_text("x")
    assert run("push", "photos-fit", "me/model") == (0, "https://hub/commit\n", "")
    assert hub.told[0] == ("me/model", {"private": True, "exist_ok": True})
    assert hub.told[1]["allow_patterns"] == ["README.md", "model.py"]
    assert run("push", "photos-fit", "them/model")[2] == "nas: error: them/model: the Hub refuses: 403 Forbidden\n"


def test_without_card_package_or_token_nothing_is_reached(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = _Hub(None)
    assert "absent: has no model card, README.md" in run("push", "absent", "me/model")[2]
    assert "must be like OWNER/NAME, not 'model'" in run("push", "absent", "model")[2]
    (tmp_path / "README.md").write_text("x")
    monkeypatch.setattr("nas.plugins.packages.find_spec", lambda name: None)
    assert "pip install 'nas-attn-cnn[hub]'" in run("push", ".", "me/model")[2]
    _with(hub, monkeypatch)
    code, _, err = run("push", ".", "me/model")
    assert (code, hub.told) == (2, [])
    assert "there is no token of Hugging Face" in err
