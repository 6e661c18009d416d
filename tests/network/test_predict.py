"""`nas predict`: real digits read by a network that was trained on digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Run
from tests.trained import STUDY, make_trained_study, save_digits


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_trained_study(tmp_path_factory.mktemp("studied"))


@pytest.fixture
def run(run: Run, studied: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`nas …` on the trained study."""
    monkeypatch.setenv("NAS_STORAGE", studied)
    return run


def test_digits_are_read_and_the_network_looked_at_them(run: Run, tmp_path: Path) -> None:
    files = save_digits(tmp_path, 20)
    code, out, _ = run("predict", "0", *(str(path) for path, _ in files), "--json")
    assert code == 0
    found = json.loads(out)
    right = sum(one["classes"][0]["class"] == str(label) for one, (_, label) in zip(found, files, strict=True))
    assert right >= 17
    for one in found:
        shares = [entry["probability"] for entry in one["classes"]]
        assert len(shares) == 5
        assert shares == sorted(shares, reverse=True)
        assert 0 <= sum(shares) <= 1 + 1e-5
    picture = np.asarray(Image.open(tmp_path / "digit_0-gradcam.png")).astype(int)
    assert picture.shape == (224, 224 * 2 + 8, 3)
    seen, looked = picture[:, :224], picture[:, 232:]
    assert (seen[..., 0] == seen[..., 2]).all()
    assert (looked[..., 0] > looked[..., 2] + 50).any()
    assert (looked[..., 2] > looked[..., 0] + 50).any()


def test_the_table_for_a_person(run: Run, tmp_path: Path) -> None:
    ((path, label),) = save_digits(tmp_path, 1)
    code, out, _ = run("predict", f"{STUDY}:0", path.name, "--top", "2", "--no-overlay")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == path.name
    assert lines[1].split() == [lines[1].split()[0], str(label)]
    assert lines[1].split()[0].endswith("%")
    assert "retrain of 4 epochs, seed 0, test accuracy" in lines[-1]
    assert list(tmp_path.glob("*-gradcam.png")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1", "a.png"], "random weights: no checkpoint of this trial; `nas retrain --study little-digits --trial 1`"),
        (["kong_baseline", "a.png"], "kong_baseline: random weights: no checkpoint"),
        (["1", "absent.png"], "absent.png: no such image"),
        (
            ["1", "a.png", "text.png", "b.png"],
            "2 of 3 image files cannot be used: b.png: no such image; text.png: not a",
        ),
        (["0", "folder"], "folder: no regular file"),
        (["0", "a.png", "-o", "/proc"], "cannot be written"),
        (["0", "text.png"], "text.png: not a readable image"),
        (["0", "a.png", "-o", "absent"], "absent: no such folder"),
        (["0", "a.png", "--weights", "absent.safetensors"], "absent.safetensors: no such file of weights"),
        (["0"], "Missing argument 'IMAGE...'"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, run: Run, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder").mkdir()
    code, out, err = run("predict", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
