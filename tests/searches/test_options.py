"""Options from Python: what the command line would refuse is refused with the same words."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas.commands.search import command
from nas.config.task import LoadedTask
from nas.errors import NasError
from nas.searches.options import SearchOptions
from nas.searches.study_opening import _other_data


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": "5"}, "trials: must be a whole number, not '5'"),
        ({"trials": 5.5}, "trials: must be a whole number, not 5.5"),
        ({"trials": True}, "trials: must be a whole number, not True"),
        ({"trial": 3}, "no option 'trial'; did you mean 'trials'?"),
        ({"data": ([1], [2])}, r"data: images: must have the shape \(N, C, H, W\), .* not \(1,\)"),
        ({"data": 5}, r"data: must be the name of a data set, \(images, labels\), .*, not a int"),
        ({"metric": "macro_f"}, "metric: must be one of accuracy, .*; did you mean 'macro_f1'"),
        (
            {"metric": "macro_f1", "objectives": ("loss", "macs")},
            "metric: takes the place of accuracy, and objectives are loss",
        ),
        ({"objectives": "accuracy"}, "objectives: must be a list of texts, not 'accuracy'"),
        ({"max_parameters": "1M"}, "max_parameters: must be a number, not '1M'"),
        ({"max_parameters": float("inf")}, "max_parameters: must be a number above 0, not inf"),
        ({"max_macs": float("nan")}, "max_macs: must be a number above 0, not nan"),
        ({"time": float("inf")}, "time: must be more than nothing and not endless"),
        ({"storage": Path("nas.db")}, "storage: must be a text, not PosixPath"),
        ({"seed": None}, "seed: must be a whole number, not None"),
        ({"recipe": 5}, "recipe: must be a text or a path or a Recipe, not 5"),
        ({"cache": "no"}, "cache: must be True or False, not 'no'"),
    ],
)
def test_a_wrong_type_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message) as problem:
        nas.search("nas_bench_macro", **options)
    assert len(str(problem.value).splitlines()) == 1


def test_python_and_the_command_line_have_the_same_options_and_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor shows the signature of `nas.search`, a terminal the help: both are those of `SearchOptions`."""
    monkeypatch.delenv("NAS_STORAGE", raising=False)
    signature = inspect.signature(nas.search).parameters
    typed = command.make_context("search", ["--space", "attn_cnn"]).params
    for option in fields(SearchOptions):
        parameter = signature[option.name]
        assert parameter.annotation == option.type, option.name
        assert (parameter.default is inspect.Parameter.empty) == (option.default is MISSING), option.name
        if option.default is MISSING:
            continue
        assert parameter.default == option.default, option.name
        assert typed[option.name] == option.default, option.name
    assert set(signature) - {option.name for option in fields(SearchOptions)} == {"progress", "unknown"}
    assert set(typed) - {option.name for option in fields(SearchOptions)} == {
        *("plot", "as_json", "no_seed_points", "no_pretrained")
    }


def test_a_search_in_python_takes_the_database_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.searches.search.search", lambda options, progress: options)
    monkeypatch.setenv("NAS_STORAGE", "sqlite:///of_the_team.db")
    found: Any = nas.search("nas_bench_macro")
    named: Any = nas.search("nas_bench_macro", storage="sqlite:///mine.db")
    assert (found.storage, named.storage) == ("sqlite:///of_the_team.db", "sqlite:///mine.db")


def test_the_help_of_a_search_needs_no_torch() -> None:
    code = (
        "import sys\ntry:\n    from nas.cli import main\n    main(['search', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'ray', 'pandas', 'optuna') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--max-parameters" in answer.stdout
    assert answer.stdout.endswith("[]\n")


def test_a_space_of_another_type() -> None:
    with pytest.raises(NasError, match="space: must be a text or a path or a Space or a dict, not 5"):
        nas.search(5)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers() -> None:
    assert SearchOptions("nas_bench_macro", trials=np.int64(3), max_parameters=np.float64(1e6)).trials == 3


def test_a_study_is_loaded_from_a_text() -> None:
    with pytest.raises(NasError, match="storage: must be a database URL such as"):
        nas.load_study("x", storage=Path("nas.db"))  # type: ignore[arg-type]


def test_images_that_have_changed_are_told_in_words() -> None:
    begun = LoadedTask("imagefolder:photos", image_size=32, fingerprint="6d55", classes=3)
    assert _other_data(begun, begun) == []
    assert _other_data(begun, replace(begun, fingerprint="7ad0", classes=4)) == [
        "other images or labels in imagefolder:photos than it has now"
    ]
    assert _other_data(begun, replace(begun, image_size=64, fingerprint="7ad0")) == ["image_size 32, not 64"]


@pytest.mark.parametrize(
    ("options", "objectives", "weighed"),
    [
        ({}, ("accuracy", "parameters"), "mixed"),
        ({"max_parameters": 1e5}, ("accuracy", "parameters"), "linear"),
        ({"max_macs": 1e7}, ("accuracy", "parameters"), "mixed"),  # the front is not of this cost
        ({"max_macs": 1e7}, ("accuracy", "macs"), "linear"),
        ({"limits": {"activation_bytes": 1e6}}, ("accuracy", "activation_bytes"), "linear"),
        ({"max_parameters": 1e5, "budget_scale": "log"}, ("accuracy", "parameters"), "log"),
    ],
)
def test_budgets_are_weighed_evenly_up_to_a_limit_of_the_users(
    options: dict[str, Any], objectives: tuple[str, ...], weighed: str
) -> None:
    assert SearchOptions("attn_cnn", **options).weighing(objectives) == weighed
