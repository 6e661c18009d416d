"""A study from Python: frames, modules with their weights, files, and the example script."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import nas
from nas.api import LoadedStudy
from nas.data import Batches, Task, load
from nas.errors import NasError
from tests.trained import STUDY, make_trained_study


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_trained_study(tmp_path_factory.mktemp("studied"))


@pytest.fixture
def study(storage: str) -> LoadedStudy:
    return nas.load_study(STUDY, storage)


def test_trials_and_front_are_frames(study: LoadedStudy) -> None:
    trials = study.trials()
    assert list(trials["state"]) == ["complete", "complete", "diverged"]
    front = study.pareto()
    assert set(front["trial"]) <= {0, 1}
    assert list(front["parameters"]) == sorted(front["parameters"])
    wide = study.trials(choices=True)
    assert list(wide["choice.body.block"]) == ["conv", "se", "identity"]
    assert "assignment" not in wide
    assert set(study.epochs()["trial"]) == {0, 1}
    assert 0 < study.hypervolume() < 1


def test_the_only_study_needs_no_name(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nas.load_study(storage=storage).name == STUDY
    monkeypatch.setenv("NAS_STORAGE", storage)
    assert nas.load_study().objectives == ("accuracy", "parameters")
    with pytest.raises(NasError, match="did you mean 'little-digits'"):
        nas.load_study("litle-digits")


def test_a_model_has_the_weights_that_a_retraining_left(study: LoadedStudy) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = study.model(study.pareto()["trial"].max() * 0)  # a number of NumPy's, as frames hold them
    data = load(Task("digits"))
    with torch.inference_mode():
        hits = sum(int((model(x).argmax(1) == y).sum()) for x, y in Batches(data.validation, data, 64))
    assert hits / len(data.validation) == pytest.approx(study.trials()["accuracy"][0])
    assert not model.training


def test_a_model_without_weights_says_so(study: LoadedStudy) -> None:
    with pytest.warns(UserWarning, match="random weights: no checkpoint of this trial; `nas retrain"):
        model = study.model(1)
    assert model(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
    digest = study.architecture(1).hash
    assert study.architecture(digest[:8]) == study.architecture(1)


def test_an_export_says_what_it_wrote(study: LoadedStudy, tmp_path: Path) -> None:
    done = study.export(0, tmp_path / "network.py")
    assert [path.name for path in done.files] == ["network.py", "network.safetensors"]
    text = done.files[0].read_text()
    assert text.startswith('"""Trial 0 of little-digits.\n')
    for words in ("Validation accuracy in the search: ", "Test accuracy of the weights: ", "MEAN = (", "CLASSES = ("):
        assert words in text
    done = study.export(1, tmp_path / "bare.safetensors", format="state-dict")
    assert "random" not in done.check
    with pytest.raises(NasError, match="no format 'onx'; .*did you mean 'onnx'"):
        study.export(0, format="onx")


def test_weights_of_a_file(study: LoadedStudy, storage: str) -> None:
    file = Path(storage.removeprefix("sqlite:///")).parent / "trial-0.safetensors"
    trained = study.trained(0, weights=file)
    assert trained.weights == file
    assert trained.card.class_names == tuple("0123456789")
    with pytest.raises(NasError, match="weights of another network"):
        study.model(1, weights=file)


def test_a_study_is_described_without_its_password() -> None:
    study = object.__new__(LoadedStudy)
    study.storage = "postgresql://me:secret@host/nas?password=secret"
    study._row = type("Row", (), {"name": "s"})()  # type: ignore[assignment]
    assert repr(study) == "<study s in host/nas>"


@pytest.mark.long
def test_the_example_runs(storage: str, repository: Path, tmp_path: Path) -> None:
    script = repository / "examples" / "explore_study.py"
    ended = subprocess.run(
        [sys.executable, str(script), "--storage", storage],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    assert "little-digits: 3 trials" in ended.stdout
    assert "bit-identical" in ended.stdout
    assert (tmp_path / "network.py").is_file()


def test_a_notebook_shows_the_front_of_a_study(study: LoadedStudy) -> None:
    text = study._repr_html_()
    assert "Study little-digits" in text
    assert "data:image/png" in text
    assert "complete networks on the front" in text
