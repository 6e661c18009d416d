"""From a folder of photos to a model, as a user types it."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nas
from nas.commands.fit import command as fit_command
from nas.data.overview import overview
from nas.fits.fit import side_for
from tests.conftest import Run

COLOURS = {"green apple": (60, 160, 60), "plum": (90, 40, 110), "Zwetschge ü": (200, 190, 40)}


def _photos(root: Path, sizes: tuple[int, ...] = (16,)) -> Path:
    """Noisy images of one colour for each class; names with blanks and letters that are not ASCII."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 14), ("test", 6)):
        for name, colour in COLOURS.items():
            folder = root / part / name
            folder.mkdir(parents=True)
            for place in range(count):
                side = sizes[place % len(sizes)]
                pixels = np.clip(rng.normal(colour, 60, (side, side, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{place}.png")
    return root


@pytest.mark.long
def test_a_folder_of_photos_becomes_a_model_with_a_verdict(run: Run, tmp_path: Path) -> None:
    photos = _photos(tmp_path / "my fruit")
    command = ("fit", str(photos), "--max-parameters", "40k", "--max-macs", "2M", "--trials", "2", "--steps", "20")
    command += ("--max-latency", "10s")
    code, out, err = run(*command, "--references", "resnet8")
    assert code == 0, err
    assert "3 classes: Zwetschge ü, green apple, plum" in out
    assert "42 images to learn from (14 of each); 18 images to test (in a folder of their own)" in out
    word = re.search(r"predict +nas predict (\S+) photo.jpg", out)
    assert word is not None
    assert re.search(r"Take .*: [\d,]+ parameters, .* MACs, [\d.]+ ms for one image\.", out)
    assert re.search(r"On the test images the best of the search .* the best reference \(ResNet-8", out)
    folder = tmp_path / "my-fruit-fit"
    page = (folder / "verdict.html").read_text()
    assert "ResNet-8" in page
    assert "Zwetschge ü" in page
    assert "<svg" in page
    assert ">ms</th>" in page
    loads = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import model, torch; "
        "print(model.Network().eval()(torch.zeros(1, 3, 16, 16)).shape[1])"
    )
    alone = subprocess.run([sys.executable, "-I", "-c", loads], capture_output=True, text=True, check=True)
    assert alone.stdout.strip() == "3"
    assert (folder / "model.safetensors").is_file()
    assert (folder / "README.md").read_text().startswith("---\nlibrary_name: pytorch\n")
    photo = next((photos / "test" / "plum").iterdir())
    code, out, err = run("predict", word[1], str(photo), "--json")
    assert code == 0, err
    assert json.loads(out)

    code, out, err = run(*command, "--references", "resnet8", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert record["chosen"] == word[1]
    assert {one["reference"] for one in record["networks"]} == {True, False}
    assert all(one["milliseconds"] > 0 for one in record["networks"])
    assert "epoch 1/" not in err, "what is trained is not trained again"

    limits = {
        "max_parameters": 40_000,
        "max_macs": 2e6,
        "trials": 2,
        "steps": 20,
        "references": ["resnet8"],
        "max_latency": "10s",
    }
    fitted = nas.fit(photos, **limits)  # type: ignore[arg-type]
    assert fitted.record() == record, "Python resumes what the command has done"
    assert fitted.chosen is not None
    assert fitted.chosen.word == word[1]
    assert fitted.page is not None
    assert {fitted.page.name, *(file.name for file in fitted.files)} >= {
        "verdict.html",
        "model.py",
        "model.safetensors",
    }
    assert list(fitted.networks["network"]) == [one["network"] for one in record["networks"]]
    assert "Take " in repr(fitted)
    assert len(repr(fitted)) < 300
    shown = fitted._repr_html_()
    assert "<svg" in shown
    assert word[1].rpartition(":")[2] in shown
    assert tuple(fitted.model()(torch.zeros(1, 3, 16, 16)).shape) == (1, 3)

    code, out, err = run("choose", "--study", "my-fruit", "--max-parameters", "40k", "--max-latency", "10s", "--json")
    assert code == 0, err
    assert json.loads(out)["chosen"]["milliseconds"] > 0
    code, out, err = run("compare", "--study", "my-fruit", "--references", "resnet8", "--json")
    assert code == 0, err
    untimed = [{**one, "milliseconds": None} for one in record["networks"]]
    assert json.loads(out)["networks"] == untimed, "a comparison has no limit on latency"


def test_small_images_of_one_size_are_taken_as_they_are(tmp_path: Path) -> None:
    assert side_for(overview(_photos(tmp_path / "one")), "cpu") is None
    assert side_for(overview(_photos(tmp_path / "two", (16, 20))), "cpu") == 64
    assert side_for(overview(_photos(tmp_path / "large", (120,))), "cpu") == 64


def test_networks_with_trained_weights_get_larger_images(tmp_path: Path) -> None:
    assert side_for(overview(_photos(tmp_path / "one")), "cpu", pretrained=True) == 96


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--references", "resnet9"), "no reference 'resnet9'; known: resnet8, resnet20, mobile"),
        (("--max-latency", "fast"), "max_latency: must be like 5ms or 0.5s, not 'fast'"),
        (("--space", "atn_cnn"), "atn_cnn"),
    ],
)
def test_a_mistake_is_told_before_anything_is_done(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    photos = _photos(tmp_path / "photos")
    code, _, err = run("fit", str(photos), *arguments)
    assert code == 2
    assert said in err
    assert not (tmp_path / "nas.db").exists()


def test_python_has_the_options_of_the_command_and_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_STORAGE", raising=False)
    signature = inspect.signature(nas.fit).parameters
    typed = fit_command.make_context("fit", ["photos"]).params
    assert set(typed) - set(signature) == {"as_json", "no_pretrained"}
    assert set(signature) - set(typed) == {"progress", "unknown"}
    for name in set(typed) & set(signature) - {"photos"}:
        assert signature[name].default == typed[name], name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_parametrs": 5}, "no option 'max_parametrs'; did you mean 'max_parameters'"),
        ({"references": "resnet8"}, "references: must be a list of texts, not 'resnet8'"),
        ({"references": ["resnet9"]}, "no reference 'resnet9'; known: resnet8, resnet20, mobile"),
        ({"max_latency": 0}, "max_latency: must be like 5ms or 0.5s, not '0'"),
        ({"trials": "many"}, "trials: must be a whole number, not 'many'"),
    ],
)
def test_a_mistake_in_python_is_an_error_of_one_line(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(nas.NasError, match=f"^{re.escape(said)}[^\n]*$"):
        nas.fit(_photos(tmp_path / "photos"), **options, output=tmp_path / "fitted")  # type: ignore[arg-type]
    assert not (tmp_path / "fitted").exists()


def test_a_folder_that_is_none_is_told(run: Run, tmp_path: Path) -> None:
    code, _, err = run("fit", str(tmp_path / "nothing"))
    assert code == 2
    assert "no such folder; it must hold train/<class>/<image files>" in err
    assert len(err.splitlines()) == 1
