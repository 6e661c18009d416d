"""An exported file that is complete: it reads its weights and photos of every kind as nas does, and says what it sees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nas.data import read_image
from nas.data.multi_label import MULTI_LABEL
from nas.data.task_type import CLASSIFICATION
from nas.export.formats import export_python
from nas.export.python import Notes, to_python
from nas.network.weights import Card
from tests.export.networks import around, warmed

SHAPE = (3, 16, 12)
NAMES = ("plum", 'Zwetschge "ü"', "open('x', 'w')")
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)

READ = """
import importlib.util, json, sys, torch
from PIL import Image
from safetensors.torch import save_file
spec = importlib.util.spec_from_file_location("network", sys.argv[1])
network = importlib.util.module_from_spec(spec); spec.loader.exec_module(network)
assert not {"nas", "blocks"} & {name.partition(".")[0] for name in sys.modules}
save_file({path: network.transform(Image.open(path)) for path in sys.argv[3:]}, sys.argv[2])
loaded = network.load()
print(json.dumps({path: network.predict(path, loaded) for path in sys.argv[3:]}))
"""


def _photos(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 4), dtype=np.uint8)
    smooth = np.kron(rng.integers(0, 256, (12, 16, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    colour, clear = Image.fromarray(pixels[..., :3]), Image.fromarray(pixels)
    turned = Image.Exif()
    turned[0x0112] = 6
    colour.save(folder / "plain.png")
    colour.save(folder / "turned.jpg", exif=turned)
    Image.fromarray(smooth).save(folder / "large.jpg", exif=turned)
    clear.save(folder / "clear.png")
    colour.quantize(16).save(folder / "palette.gif", transparency=3)
    Image.fromarray(rng.integers(0, 65_536, (30, 30), dtype=np.uint16)).save(folder / "deep.png")
    colour.convert("L").save(folder / "grey.png")
    colour.resize(SHAPE[:0:-1]).save(folder / "as it is.png")
    return sorted(folder.glob("*.*"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    architecture = around("conv")
    card = Card(architecture, SHAPE, 3, NAMES, MEAN, STD)
    notes = Notes("A network.", [], "model.safetensors", NAMES, MEAN, STD, CLASSIFICATION)
    model = warmed(architecture, SHAPE, 3)
    return export_python(model, card, notes, folder / "model.py", trained=True).files[0]


def test_photos_of_every_kind_are_read_to_the_bit_and_named(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photos = _photos(tmp_path / "photos")
    taken = tmp_path / "taken.safetensors"
    command = [sys.executable, "-I", "-c", READ, str(exported), str(taken), *map(str, photos)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = load_file(taken)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, STD))
    for photo in photos:
        wanted = (torch.from_numpy(read_image(photo, SHAPE).copy()).float() / 255 - mean) / std
        assert torch.equal(found[str(photo)], wanted), photo.name
    said = json.loads(ended.stdout)
    for shares in said.values():
        assert set(shares) == set(NAMES)
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_several_labels_have_a_probability_each_and_a_bound(tmp_path: Path) -> None:
    architecture = around("conv")
    notes = Notes("A network.", [], "model.safetensors", NAMES, MEAN, STD, MULTI_LABEL)
    model = warmed(architecture, SHAPE, 3)
    card = Card(architecture, SHAPE, 3, NAMES, MEAN, STD)
    file = export_python(model, card, notes, tmp_path / "model.py", trained=True).files[0]
    photo = _photos(tmp_path)[0]
    code = (
        f"import sys, json; sys.path.insert(0, {str(tmp_path)!r}); import model; path = {str(photo)!r}; "
        "print(json.dumps([model.predict(path), model.labels(path), model.labels(path, threshold=0.0)]))"
    )
    ended = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    shares, above, every = json.loads(ended.stdout)
    x = (torch.from_numpy(read_image(photo, SHAPE).copy()).float() / 255).sub(torch.tensor(MEAN).view(-1, 1, 1))
    with torch.no_grad():
        wanted = model((x / torch.tensor(STD).view(-1, 1, 1))[None]).sigmoid()[0].tolist()
    assert shares == pytest.approx(dict(zip(NAMES, wanted, strict=True)))
    assert above == [name for name, share in shares.items() if share > 0.5]
    assert every == list(shares)
    _check_command(file, photo)


def test_the_file_is_a_command_and_is_formatted(exported: Path, tmp_path: Path) -> None:
    _check_command(exported, _photos(tmp_path)[0])


def _check_command(exported: Path, photo: Path) -> None:
    ended = subprocess.run([sys.executable, "-I", str(exported), str(photo)], capture_output=True, text=True, cwd="/")
    assert ended.returncode == 0, ended.stderr
    assert any(name in ended.stdout for name in NAMES)
    ruff = [sys.executable, "-m", "ruff"]
    for arguments in (
        ["check", "--isolated", "--select", "E4,E7,E9,F,I,W", "--line-length", "120", "--no-cache"],
        ["format", "--isolated", "--check", "--line-length", "120", "--no-cache"],
    ):
        checked = subprocess.run([*ruff, *arguments, str(exported)], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_file_without_weights_or_classes_promises_nothing() -> None:
    for notes in (Notes("a"), Notes("a", [], "w.safetensors", NAMES, MEAN, STD), Notes("a", type=CLASSIFICATION)):
        text = to_python(around("conv"), SHAPE, 3, notes)
        assert "def predict" not in text
        assert "def load" not in text
