"""Tables of paths and labels: as spreadsheets write them, with one label or several, and everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import nas
from nas.data import Task, load, load_test, source
from nas.errors import DataError

KINDS = ("Apfel ü", "plum", "pear")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 30 images, whose first pixel says their number."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    for place in range(30):
        Image.new("RGB", (6, 6), (place, 0, 0)).save(folder / f"{place} é.png")
    return folder


def _rows(split: Sequence[str] | None = None) -> list[dict[str, str]]:
    rows = [{"path": f"{place} é.png", "label": KINDS[place % 3]} for place in range(30)]
    return [row | {"split": split[place]} for place, row in enumerate(rows)] if split else rows


def _numbers(x: np.ndarray) -> list[int]:
    return sorted(x[:, 0, 0, 0].tolist())


def test_a_table_says_where_images_lie_and_what_they_show(photos: Path) -> None:
    pd.DataFrame(_rows()).to_csv(photos / "all.csv", index=False)
    data = load(Task(f"table:{photos / 'all.csv'}", validation=0.25))
    test = load_test(data.task)
    assert data.class_names == ("Apfel ü", "pear", "plum")
    assert (len(data.train), len(data.validation), len(test)) == (18, 6, 6)  # a fifth of each class is the test set
    for part in (data.train, data.validation, test):
        assert [data.class_names[label] for label in part.y] == [KINDS[place % 3] for place in part.x[:, 0, 0, 0]]
    assert sorted(number for part in (data.train, data.validation, test) for number in _numbers(part.x)) == list(
        range(30)
    )
    assert source(data.task).count_test(data.task) is None


@pytest.mark.parametrize("ending", ["csv", "semicolons.csv", "tsv", "parquet"])
def test_parts_and_names_of_columns_are_the_users(ending: str, photos: Path) -> None:
    split = ["train"] * 18 + ["VAL"] * 6 + ["test"] * 6
    frame = pd.DataFrame(_rows(split)).rename(columns={"path": "Datei", "label": "Art & Weise", "split": "Teil"})
    file = photos / f"parts.{ending}"
    if ending == "parquet":
        frame.to_parquet(file)
    else:
        separator = {"csv": ",", "semicolons.csv": ";", "tsv": "\t"}[ending]
        file.write_text("\ufeff" + frame.to_csv(index=False, sep=separator) + "\n", encoding="utf-8")
    data = load(Task(f"table:{file}?path=Datei&label=Art %26 Weise&split=Teil", validation=None))
    assert _numbers(data.train.x) == list(range(18))
    assert _numbers(data.validation.x) == list(range(18, 24))
    assert _numbers(load_test(data.task).x) == list(range(24, 30))
    assert source(data.task).count_test(data.task) == (2, 2, 2)


def test_labels_that_are_numbers_are_in_their_order(photos: Path) -> None:
    rows = [row | {"label": str(place % 12)} for place, row in enumerate(_rows(["train"] * 24 + ["test"] * 6))]
    pd.DataFrame(rows).to_csv(photos / "numbers.csv", index=False)
    data = load(Task(f"table:{photos / 'numbers.csv'}", validation=0.5))
    assert data.class_names == tuple(str(number) for number in range(12))


def test_several_labels_stand_in_a_cell_or_in_columns_of_their_own(photos: Path) -> None:
    words = ["red|round", "red", "", "round | small"]
    rows = [{"path": f"{place} é.png", "tags": words[place % 4]} for place in range(30)]
    frame = pd.DataFrame(rows)
    for name in ("red", "round", "small"):
        frame[name] = [int(name in word) for word in frame["tags"]]
    frame.to_csv(photos / "tags.csv", index=False)
    in_a_cell = Task(f"table:{photos / 'tags.csv'}?label=tags&separator=|")
    frame.drop(columns="tags").to_csv(photos / "columns.csv", index=False)
    for task in (
        in_a_cell,
        Task(f"table:{photos / 'columns.csv'}?label=*"),
        Task(f"table:{photos / 'tags.csv'}?label=red,round,small"),
    ):
        data = load(task)
        assert source(task).type.name == "multi-label classification"
        assert data.class_names == ("red", "round", "small")
        for part in (data.train, data.validation, load_test(task)):
            for image, labels in zip(part.x, part.y, strict=True):
                word = words[image[0, 0, 0] % 4]
                assert labels.tolist() == [int(name in word) for name in data.class_names]


def test_a_table_says_by_itself_that_images_have_several_labels(photos: Path) -> None:
    rows = [{"path": f"{place} é.png"} for place in range(30)]
    said = [("red", "round") if place % 3 == 0 else ("round",) if place % 3 == 1 else () for place in range(30)]
    for column, between in (("labels", "|"), ("tags", ";"), ("tags", ",")):
        frame = pd.DataFrame(rows).assign(**{column: [between.join(some) for some in said]})
        frame.to_csv(photos / "t.csv", index=False)
        task = Task(f"table:{photos / 't.csv'}", validation=0.25)
        data = load(task)
        assert isinstance(source(task).type, nas.MultiLabel)
        assert data.class_names == ("red", "round")
        assert int(data.train.y.sum() + data.validation.y.sum()) <= 30
        (photos / "t.csv").unlink()
    marks = pd.DataFrame(rows).assign(red=[int("red" in some) for some in said], blue=[0, 1] * 15)
    marks.to_csv(photos / "marks.csv", index=False)
    task = Task(f"table:{photos / 'marks.csv'}", validation=0.25)
    assert isinstance(source(task).type, nas.MultiLabel)
    assert load(task).class_names == ("red", "blue")
    # One column of words is still asked for by name.
    pd.DataFrame(rows).assign(species="x").to_csv(photos / "words.csv", index=False)
    with pytest.raises(DataError, match=r"no column 'label'; there are path, species; write \?label=COLUMN"):
        load(Task(f"table:{photos / 'words.csv'}"))


def test_all_faults_of_a_table_are_said_at_once_with_their_lines(photos: Path) -> None:
    rows = _rows(["train"] * 20 + ["test"] * 10)
    rows[3]["path"] = "absent.png"
    rows[5]["label"] = ""
    rows[7]["split"] = "trian"
    rows[9]["path"] = rows[8]["path"]
    rows[25]["label"] = "plumm"
    pd.DataFrame(rows).to_csv(photos / "bad.csv", index=False)
    with pytest.raises(DataError) as problem:
        load(Task(f"table:{photos / 'bad.csv'}"))
    text = str(problem.value)
    assert "5 of 30 rows cannot be used: " in text
    for said in (
        "line 5: ", "absent.png: no such file", "line 7: no label",
        "line 9: split must be train, val or test, not 'trian'; did you mean 'train'?",
        "line 11: 8 é.png stands in line 10 too", "line 27: no training image has the label 'plumm'; did you mean 'plum'?",
    ):  # fmt: skip
        assert said in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none.csv", r"none.csv: no such file"),
        ("", r"my photos: is a folder; for its images write imagefolder:PATH"),
        ("0 é.png", r"must end with .csv, .tsv, .txt, .parquet or .pq"),
        ("t.csv?lable=x", r"no option 'lable'; known: path, label, split, separator; did you mean 'label'\?"),
        ("t.csv?label", r"write label=… once, such as label=species"),
        ("t.csv?path=fiel", r"no column 'fiel'; there are file, label; write \?path=COLUMN behind the file; did you mean 'file'"),
        ("t.csv?path=file&label=*", r"label=\* wants a column for each label"),
        ("t.csv?label=a,b&separator=|", r"separator or several columns of labels, not both"),
        ("t.csv?path=file&label=label,file", r"rows cannot be used: line 2: label must be 0 or 1, not 'x'"),
        ("empty.csv", r"cannot be read as a table"),
        ("header.csv", r"header.csv: no rows"),
        ("latin.csv", r"no text in UTF-8"),
        ("broken.parquet", r"cannot be read as Parquet"),
        ("bomb.parquet", r"bomb.parquet: has 32,000,002 cells; at most 32,000,000"),
        ("wide.csv", r"wide.csv: has more than 10,000 columns"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_one_line(place: str, message: str, photos: Path) -> None:
    (photos / "t.csv").write_text("file,label\n0 é.png,x\n1 é.png,y\n")
    (photos / "empty.csv").write_text("")
    (photos / "header.csv").write_text("path,label\n")
    (photos / "latin.csv").write_bytes("path,label\nü.png,x\n".encode("latin-1"))
    (photos / "broken.parquet").write_bytes(b"PAR1")
    (photos / "wide.csv").write_text("x," * 10_000)
    pq.write_table(pa.table(dict.fromkeys(("path", "label"), pa.nulls(16_000_001))), photos / "bomb.parquet")
    with pytest.raises(DataError, match=message) as problem:
        load(Task(f"table:{photos}/{place}"))
    assert len(str(problem.value).splitlines()) == 1


def test_images_that_cannot_be_read_are_left_out_when_asked(photos: Path) -> None:
    pd.DataFrame(_rows(["train"] * 20 + ["test"] * 10)).to_csv(photos / "all.csv", index=False)
    (photos / "4 é.png").unlink()
    (photos / "5 é.png").write_bytes(b"no image")
    (photos / "25 é.png").write_bytes(b"no image")
    task = Task(f"table:{photos / 'all.csv'}", skip_bad=True)
    data = load(task)
    assert sorted(_numbers(data.train.x) + _numbers(data.validation.x)) == [*range(4), *range(6, 20)]
    assert len(data.left_out) == 2
    assert "4 é.png: no such file" in data.left_out[0]
    assert "5 é.png: not a readable image" in data.left_out[1]
    test = load_test(data.task)
    assert _numbers(test.x) == [*range(20, 25), *range(26, 30)]
    assert len(test.left_out) == 1
    with pytest.raises(DataError, match=r"4 é.png: no such file"):
        load(Task(task.dataset))
    with pytest.raises(DataError, match=r"data set 'digits': skip_bad is for images in files of their own"):
        load(Task("digits", skip_bad=True))
