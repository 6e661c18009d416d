"""What a folder of images holds, before anything is decoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from nas.data.overview import overview
from nas.errors import DataError


def _save(path: Path, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def test_images_of_each_class_and_part_are_counted(tmp_path: Path) -> None:
    for name, train, test in (("cat", 3, 2), ("dog", 5, 1)):
        for part, count in (("train", train), ("test", test)):
            for place in range(count):
                _save(tmp_path / part / name / f"{place}.png")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("x")
    seen = overview(tmp_path)
    assert (seen.classes, seen.train, seen.test) == (("cat", "dog"), (3, 5), (2, 1))
    assert (seen.validation, seen.test_is_drawn, seen.size) == (None, False, (8, 8))
    assert seen.skipped is not None
    assert "1 .txt" in seen.skipped


def test_a_folder_without_test_images_sets_a_fifth_aside(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for place in range(10):
            _save(tmp_path / name / f"{place}.png", (8 + place, 8))
    seen = overview(tmp_path)
    assert (seen.train, seen.test, seen.test_is_drawn) == ((8, 8), (2, 2), True)
    assert seen.size is None
    assert len(seen.sizes) == 10


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    for place in range(3):
        _save(tmp_path / "train" / "cat" / f"{place}.png")
        _save(tmp_path / "train" / "dog" / f"{place}.png")
        _save(tmp_path / "test" / "cat" / f"{place}.png")
        _save(tmp_path / "test" / "dog" / f"{place}.png")
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"no image")
    (tmp_path / "test" / "dog" / "2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 12 image files cannot be used: .*2\.png.*0\.png"):
        overview(tmp_path)
