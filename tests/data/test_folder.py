"""Folders of images: layouts, photos as cameras write them, and everything that is wrong with one, said at once."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageOps

from nas.data import Task, load, load_test, read_image, skipped_files, source
from nas.data.images import check_images
from nas.data.task import regrouped
from nas.errors import DataError


def _folder(root: Path, classes: int = 2, images: int = 4, size: int = 8) -> Path:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in range(classes):
            folder = root / part / f"class{label}"
            folder.mkdir(parents=True)
            for place in range(images):
                pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{place}.png")
    return root


def test_an_image_folder_is_read_as_it_is(tmp_path: Path) -> None:
    root = _folder(tmp_path)
    data = load(Task(f"imagefolder:{root}", validation=0.25))
    assert data.input == (3, 8, 8)
    assert data.class_names == ("class0", "class1")
    assert len(data.train) == 6
    pixels = np.asarray(Image.open(root / "test" / "class1" / "0.png")).transpose(2, 0, 1)
    assert (load_test(data.task).x[4] == pixels).all()


def test_images_of_other_sizes_need_an_image_size(tmp_path: Path) -> None:
    root = _folder(tmp_path)
    Image.new("L", (5, 9)).save(root / "train" / "class1" / "odd.png")
    with pytest.raises(DataError, match=r"odd.png: 5×9 pixels, but 0.png has 8×8; give one size with --image-size"):
        load(Task(f"imagefolder:{root}"))
    assert load(Task(f"imagefolder:{root}", image_size=6)).input == (3, 6, 6)


def _break_image(root: Path) -> None:
    (root / "train" / "class0" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nnot an image")


def _truncate_image(root: Path) -> None:
    path = root / "train" / "class0" / "0.png"
    path.write_bytes(path.read_bytes()[:60])


def _empty_class(root: Path) -> None:
    (root / "train" / "class9").mkdir()


def _one_image(root: Path) -> None:
    for part in ("train", "test"):
        (root / part / "lonely").mkdir()
        Image.new("RGB", (8, 8)).save(root / part / "lonely" / "a.png")


def _deep_image(root: Path) -> None:
    (root / "train" / "class0" / "0.png").unlink()
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(root / "train" / "class0" / "0.tif")


def _unknown_test_class(root: Path) -> None:
    (root / "test" / "clas1").mkdir()


def _missing_test_class(root: Path) -> None:
    (root / "test" / "class1").rename(root / "test_class1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_unknown_test_class, r"test/clas1: the training folder has no class 'clas1'; did you mean 'class1'"),
        (_missing_test_class, r"test: no folder for class 'class1', which the training folder has"),
    ],
)
def test_a_test_folder_with_other_classes_is_refused(change: object, message: str, tmp_path: Path) -> None:
    root = _folder(tmp_path)
    change(root)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load_test(Task(f"imagefolder:{root}"))


def test_without_a_test_folder_a_fifth_of_each_class_is_held_out(tmp_path: Path) -> None:
    root = _folder(tmp_path, images=10)
    shutil.rmtree(root / "test")
    splits = [load(Task(f"imagefolder:{root}", seed=seed)) for seed in (0, 1)]
    tests = [load_test(data.task) for data in splits]
    assert [(len(data.train), len(data.validation)) for data in splits] == [(14, 2)] * 2
    assert np.bincount(tests[0].y).tolist() == [2, 2]
    assert (tests[0].x == tests[1].x).all()  # whatever the search trains on
    images = [x.tobytes() for part in (splits[0].train, splits[0].validation, tests[0]) for x in part.x]
    assert len(set(images)) == 20

    for path in sorted((root / "train" / "class1").iterdir())[2:]:
        path.unlink()
    with pytest.raises(
        DataError, match=r"no folder of test images.* class 'class1' has 2 images; training, validation and test"
    ):
        load(Task(f"imagefolder:{root}"))


def test_test_images_are_counted_without_being_read(tmp_path: Path) -> None:
    root = _folder(tmp_path, classes=3)
    (root / "test" / "class1" / "0.png").unlink()
    (root / "test" / "class2" / "0.png").write_bytes(b"not an image")
    task = Task(f"imagefolder:{root}")
    assert source(task).count_test(task) == (4, 3, 4)
    shutil.rmtree(root / "test")
    assert source(task).count_test(task) is None
    assert source(Task("digits")).count_test(Task("digits")) is None


def test_decoding_says_how_far_it_is(tmp_path: Path) -> None:
    root = _folder(tmp_path, images=40)
    seen: list[tuple[int, int]] = []
    load(Task(f"imagefolder:{root}"), lambda done, total: seen.append((done, total)))
    assert seen == [(64, 80), (80, 80)]


def test_images_that_no_memory_can_hold_are_refused_before_they_are_read() -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("needs /proc/meminfo")
    with pytest.raises(
        DataError,
        match=r"1,048,576 images of 1024×1024 pixels, .* need 6,144.0 GiB of memory, .* give a smaller --image-size",
    ):
        check_images(1 << 20, (3, 1024, 1024))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_break_image, r"class0/0.png: not a readable image .*; repair or remove it"),
        (_truncate_image, r"class0/0.png: not a readable image .*; repair or remove it"),
        (
            _deep_image,
            r"class0/0.tif: 32 bits a channel \(mode F\), whose white is unknown; convert it to 8 or 16 bits",
        ),
        (_empty_class, r"class9: no image files .*; add some or remove the folder"),
        (_one_image, r"class 'lonely' has one image; training and validation need at least one each"),
    ],
)
def test_a_broken_folder_is_named(change: object, message: str, tmp_path: Path) -> None:
    root = _folder(tmp_path)
    change(root)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load(Task(f"imagefolder:{root}"))


def test_cifar10_images_as_a_folder(shared: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(shared / "data" / "cifar10_jpeg.zip") as archive:
        wanted = [
            name for name in archive.namelist() if name.endswith(("0001.jpg", "0002.jpg", "0003.jpg", "0004.jpg"))
        ]
        archive.extractall(tmp_path, wanted)
    root = next(path.parent for path in tmp_path.rglob("train") if path.is_dir())
    data = load(Task(f"imagefolder:{root}", validation=0.25))
    assert data.input == (3, 32, 32)
    assert data.classes == 10


def test_all_faults_of_a_folder_are_said_at_once(tmp_path: Path) -> None:
    root = _folder(tmp_path, classes=3, images=8)
    train = root / "train"
    for place in range(12):
        (train / f"class{place % 3}" / f"z{place}.png").write_bytes(b"no image")
    os.mkfifo(train / "class0" / "pipe.png")
    for place in range(3):
        Image.new("RGB", (12, 10)).save(train / "class1" / f"large{place}.png")
    with pytest.raises(DataError) as problem:
        load(Task(f"imagefolder:{root}"))
    text = str(problem.value)
    assert text.startswith("13 of 40 image files cannot be used: ")
    assert "pipe.png: no regular file; remove it" in text
    assert text.count("not a readable image") == 7
    assert "; and 5 more; --skip-bad leaves out what cannot be read; " in text
    assert "large0.png: 12×10 pixels, but 0.png has 8×8 and 2 more with another size; give one size with" in text
    assert len(text.splitlines()) == 1


def test_files_that_are_no_images_by_their_endings_are_counted(tmp_path: Path) -> None:
    root = _folder(tmp_path)
    assert skipped_files(root) is None
    for name in ("a.svg", "b.svg", "c.ARW", "notes.txt", ".hidden"):
        (root / "train" / "class0" / name).write_bytes(b"")
    said = f"{root}: 4 files are left out, which have no ending of an image (2 .svg, 1 .arw, 1 .txt)"
    assert skipped_files(root) == said


def test_photos_of_iphones_are_read_where_the_extra_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    root = _folder(tmp_path)
    for name in ("class0", "class1"):
        Image.new("RGB", (64, 48), "red").save(root / "train" / name / "photo.heic", quality=90)
    data = load(Task(f"imagefolder:{root}", image_size=8))
    assert len(data.train) + len(data.validation) == 10
    x = read_image(root / "train" / "class0" / "photo.heic", (3, 8, 8))
    assert x[0].min() > 240
    assert x[1:].max() < 15


def test_photos_of_iphones_are_not_left_out_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.folder.ENDINGS", (".png",))
    root = _folder(tmp_path)
    (root / "train" / "class0" / "photo.heic").write_bytes(b"")
    assert str(skipped_files(root)).endswith("(1 .heic); pip install pillow-heif, and .heic is read")


def _photo(seed: int = 0) -> Image.Image:
    """12 pixels wide and 8 high, without two equal corners."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_however_the_camera_was_held(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for place in range(3):
            _photo(place).save(tmp_path / "train" / name / f"{place}.png", exif=exif)
    shown = ImageOps.exif_transpose(Image.open(tmp_path / "train" / "a" / "0.png"))
    assert shown.size == ((8, 12) if orientation >= 5 else (12, 8))
    data = load(Task(f"imagefolder:{tmp_path}"))
    assert data.input == (3, shown.height, shown.width)
    upright = np.asarray(shown).transpose(2, 0, 1)
    assert any((x == upright).all() for part in (data.train, data.validation, load_test(data.task)) for x in part.x)
    assert (read_image(tmp_path / "train" / "a" / "0.png", data.input) == upright).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # pytest undoes what the module does about it
def test_a_photo_with_damaged_metadata_is_read(tmp_path: Path) -> None:
    _photo().save(tmp_path / "photo.jpg", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff broken")
    assert read_image(tmp_path / "photo.jpg", (3, 8, 12)).shape == (3, 8, 12)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 2), (200, 0, 0, 0))
    image.putpixel((1, 0), (90, 90, 90, 255))
    path = tmp_path / "icon.png"
    image.convert(mode).save(path, **({"transparency": image.convert("P").getpixel((0, 0))} if mode == "P" else {}))
    pixels = read_image(path, (3, 2, 4))
    assert (pixels[:, 1] == 255).all()
    assert abs(pixels[:, 0, 1].astype(int) - 90).max() <= 10  # of a palette, the nearest colour
    assert (read_image(path, (1, 2, 4))[0, 1] == 255).all()


def test_sixteen_bits_keep_their_greys(tmp_path: Path) -> None:
    grey = np.array([[0, 257, 32_896, 65_535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "xray.png")
    assert read_image(tmp_path / "xray.png", (3, 1, 4))[0].tolist() == [[0, 1, 128, 255]]


def test_an_animation_is_its_first_picture(tmp_path: Path) -> None:
    pictures = [Image.new("L", (4, 4), value) for value in (10, 200)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    assert (read_image(tmp_path / "a.gif", (1, 4, 4)) == 10).all()


def test_nothing_is_squashed(tmp_path: Path) -> None:
    """A circle stays one, and what a square has no room for is cut off at both ends alike."""
    image = Image.new("RGB", (60, 20), "white")
    ImageDraw.Draw(image).ellipse((20, 0, 39, 19), fill="black")
    for name, turned in (("wide", image), ("high", image.transpose(Image.Transpose.ROTATE_90))):
        turned.save(tmp_path / f"{name}.png")
        black = read_image(tmp_path / f"{name}.png", (3, 20, 20))[0] < 128
        assert black.any(0).all()
        assert black.any(1).all()
    square = _photo().resize((40, 40))
    square.save(tmp_path / "square.png")
    halved = np.asarray(square.resize((20, 20), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert (read_image(tmp_path / "square.png", (3, 20, 20)) == halved).all()


def test_classes_may_lie_directly_in_the_folder(tmp_path: Path) -> None:
    root = _folder(tmp_path, images=10)
    shutil.rmtree(root / "test")
    before = load(Task(f"imagefolder:{root}"))
    flat = (root / "train").rename(tmp_path / "flat")
    (flat / ".ipynb_checkpoints").mkdir()
    (flat / "class0" / "notes.txt").write_text("")
    data = load(Task(f"imagefolder:{flat}"))
    assert data.class_names == before.class_names
    assert data.fingerprint == before.fingerprint
    assert len(load_test(data.task)) == 4
    assert "1 files are left out" in str(skipped_files(flat))


def test_a_validation_folder_beside_a_test_folder_is_what_is_measured_on(tmp_path: Path) -> None:
    root = _folder(tmp_path, images=10)
    shutil.copytree(root / "test", root / "val")
    for place, path in enumerate(sorted((root / "val").rglob("*.png"))):
        Image.new("RGB", (8, 8), (place, 0, 0)).save(path)
    data = load(Task(f"imagefolder:{root}", validation=None))
    assert (len(data.train), len(data.validation), len(load_test(data.task))) == (20, 20, 20)
    assert data.validation.x[:, 0, 0, 0].tolist() == list(range(20))
    assert data.task.validation == 0.5
    assert load(data.task).fingerprint == data.fingerprint  # as a retraining reads it again
    again = regrouped(data, 0.1)
    assert (len(again.train), len(again.validation)) == (36, 4)

    drawn = load(Task(f"imagefolder:{root}", validation=0.25))
    assert (len(drawn.train), len(drawn.validation), drawn.task.chosen) == (16, 4, False)
    shutil.rmtree(root / "test")  # then val is the test set, as before
    assert len(load(Task(f"imagefolder:{root}", validation=None)).train) < 20
    assert len(load_test(data.task)) == 20


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(DataError, match=r"imagefolder:.*x.txt: is a file, not a folder"):
        load(Task(f"imagefolder:{tmp_path / 'x.txt'}"))


def test_pillow_says_nothing_of_its_own_about_odd_files(tmp_path: Path, repository: Path) -> None:
    """Its warnings are lines with paths of a package; Python shows them unless they are silenced where it is imported."""
    (tmp_path / "exif.tif").write_bytes(b"II*\0\x08\0\0\0\x09\0" + bytes(range(7)))
    size = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    script = (
        "from pathlib import Path; from nas.data.images import check_readable; from nas.errors import DataError\n"
        "try: check_readable([Path('exif.tif'), Path('large.png')])\n"
        "except DataError as problem: print(problem)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert ended.stderr == ""
    assert "exif.tif: not a readable image" in ended.stdout
    assert "large.png: 12000×12000 pixels; more than 64,000,000 are refused" in ended.stdout


def test_photos_are_decoded_at_a_reduced_size_and_look_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for place in range(3):
            coarse.resize((640, 480), Image.Resampling.BICUBIC).save(tmp_path / name / f"{place}.jpg", exif=exif)
    decoded: list[tuple[int, int]] = []
    convert = Image.Image.convert
    monkeypatch.setattr(
        Image.Image, "convert", lambda image, *rest: decoded.append(image.size) or convert(image, *rest)
    )
    task = Task(f"imagefolder:{tmp_path}", image_size=24, reduced=True)
    reduced = load(task)
    assert set(decoded) == {(80, 60)}  # an eighth, which is still twice the side that is wanted
    decoded.clear()
    whole = load(Task(task.dataset, image_size=24))
    assert set(decoded) == {(640, 480)}
    assert abs(reduced.train.x.astype(int) - whole.train.x).mean() < 2
    assert task.to_dict()["reduced"] is True
    assert "reduced" not in whole.task.to_dict()  # studies of older versions stay the same task


def test_images_of_a_folder_that_cannot_be_read_are_skipped_when_asked(tmp_path: Path) -> None:
    root = _folder(tmp_path, images=8)
    whole = load(Task(f"imagefolder:{root}"))
    _break_image(root)
    data = load(Task(f"imagefolder:{root}", skip_bad=True))
    assert len(data.train) + len(data.validation) == len(whole.train) + len(whole.validation) - 1
    assert len(data.left_out) == 1
    assert "0.png: not a readable image" in data.left_out[0]
    with pytest.raises(DataError, match="repair or remove it; --skip-bad leaves out what cannot be read$"):
        load(Task(f"imagefolder:{root}"))
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="16 of 16 image files cannot be used") as refused:
        load(Task(f"imagefolder:{root}", skip_bad=True))
    assert "--skip-bad" not in str(refused.value)
