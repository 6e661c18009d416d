"""A search on images that a script hands over: trained by workers, known again by what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nas
from nas.config.recipe import Augment
from nas.data.folder import list_folder
from nas.errors import SearchError
from nas.store import Store
from tests.conftest import Run
from tests.small_search import QUICK, storage

__all__ = ["storage"]

SPACE = """\
name: tiny
input: [3, 8, 8]
graph:
  stem: {block: conv, channels: {choose: [4, 8]}}
  head: {block: classifier, pool: average}
"""


def _images(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(80) % 2
    x = rng.integers(0, 120, (80, 3, 8, 8)) + 100 * y[:, None, None, None]
    return x.astype(np.uint8), y


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_arrays_are_searched_retrained_and_known_again(
    tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SPACE)
    recipe = QUICK.replace(augment=Augment(crop_padding=0), epochs=3)
    options = {"storage": storage, "recipe": recipe, "max_concurrent": 1}
    found = nas.search("tiny.yaml", data=_images(), trials=2, retrain=1, **options)  # type: ignore[arg-type]
    assert found.study == "tiny-memory"
    assert set(found.states) <= {"complete", "untrained"}
    assert found.final is not None
    assert found.final.network.test is not None
    assert found.final.network.test.images == 16
    again = nas.search("tiny.yaml", data={"train": _images()}, trials=2, **options)  # type: ignore[arg-type]
    assert again.trials["trial"].tolist() == found.trials["trial"].tolist()
    with pytest.raises(
        SearchError, match=r"begun with other images or labels \(memory:\w+\) than those that were handed over"
    ):
        nas.search("tiny.yaml", data=_images(1), trials=3, **options)  # type: ignore[arg-type]
    assert len(nas.load_study("tiny-memory", storage).trials()) == 2


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_a_folder_gives_its_name_and_what_was_skipped_is_remembered(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    x, y = _images()
    for place, (image, label) in enumerate(zip(x, y, strict=True)):
        folder = tmp_path / "Meine Fotos ü" / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{place}.png")
    list_folder(tmp_path / "Meine Fotos ü").train.paths[0].write_bytes(b"no image")
    command = ("search", "--space", "tiny.yaml", "--data", "imagefolder:Meine Fotos ü", "--trials", "1", "--steps", "5")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert ".png: not a readable image" in err
    code, out, err = run(*command, "--skip-bad")
    assert code == 0, err
    assert "1 of 64 image files are left out because they cannot be read: " in err
    with Store.open("sqlite:///nas.db") as store:
        study = store.study("tiny-Meine-Fotos-ü")
    assert study.task.skip_bad
    code, out, err = run("study", "show", "tiny-Meine-Fotos-ü")
    assert code == 0, err
    assert "imagefolder:Meine Fotos ü" in out
