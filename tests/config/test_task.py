"""A task as it is stored with what was found when its images were read."""

from __future__ import annotations

import pytest

from nas.config.task import LoadedTask, Task
from nas.data import load
from nas.errors import DataError


def test_the_task_of_a_data_set_says_what_was_found_and_can_be_read_again() -> None:
    data = load(Task("digits", image_size=8, root="/somewhere"))
    task = data.loaded_task
    assert (task.input, task.classes, task.fingerprint) == ((1, 8, 8), 10, data.fingerprint)
    assert LoadedTask.from_dict(task.to_dict()) == LoadedTask(
        "digits", image_size=8, input=(1, 8, 8), classes=10, fingerprint=data.fingerprint
    )
    assert load(task.unread()).fingerprint == data.fingerprint
    assert task.unread("/elsewhere") == Task("digits", "/elsewhere", image_size=8)


def test_a_folder_tells_images_apart_that_have_no_fingerprint() -> None:
    assert "root" not in LoadedTask("cifar10", root="/a", fingerprint="f").to_dict()
    assert LoadedTask("cifar10", root="/a").to_dict()["root"] == "/a"


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({}, "task: names no dataset"),
        ({"dataset": "digits", "input": [3, 32]}, r"task: input is no image: \[3, 32\]"),
        ({"dataset": "digits", "input": [3, 32, 0]}, "task: input is no image"),
        ({"dataset": "digits", "classes": 0}, "task: classes is 0"),
        ({"dataset": "digits", "seed": 1.5}, "task: seed is 1.5"),
        ({"dataset": "digits", "validation": 2}, "validation share: must be from 0 to 0.9, not 2"),
    ],
)
def test_what_is_no_task_is_refused(values: dict[str, object], rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        LoadedTask.from_dict(values)
