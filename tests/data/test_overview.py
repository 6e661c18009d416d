"""What a folder of images holds, before anything is decoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from nas.data.overview import overview, overview_of
from nas.data.table import list_table
from nas.errors import DataError
from nas.report.verdict import seen_lines


def _save(path: Path, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def test_images_with_several_labels_are_counted_once(tmp_path: Path) -> None:
    rows = []
    for place in range(10):
        _save(tmp_path / f"{place}.png")
        rows.append(f"{place}.png,{'cat|dog' if place % 2 else 'cat'},{'test' if place > 6 else 'train'}")
    (tmp_path / "tags.csv").write_text("\n".join(["path,tags,split", *rows]))
    seen = overview_of(list_table(str(tmp_path / "tags.csv")))
    assert (seen.train, seen.test, seen.parts) == ((7, 3), (3, 2), (7, 0, 3))
    assert seen.labels == 1.5
    first, second, _ = seen_lines(seen)
    assert first == "2 labels: cat, dog; an image has 1.5 of them on average"
    assert second.startswith("7 images to learn from (3 to 7 of a label); 3 images to test (as the table says)")


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
