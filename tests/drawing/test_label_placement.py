"""Names beside points."""

from __future__ import annotations

import random

import pytest

from nas.drawing.geometry import Rect
from nas.drawing.label_placement import gap, overlap, place

BOUNDS = Rect(0, 0, 500, 300)


@pytest.mark.parametrize("seed", range(20))
def test_names_meet_neither_each_other_nor_the_frame(seed: int) -> None:
    rng = random.Random(seed)
    # some in a heap, some at the rim
    anchors = [(rng.uniform(240, 270), rng.uniform(140, 160)) for _ in range(5)]
    anchors += [(rng.choice([1, 499]), rng.uniform(0, 300)) for _ in range(3)]
    sizes = [(rng.uniform(40, 120), 11.0) for _ in anchors]
    points = [(rng.uniform(0, 500), rng.uniform(0, 300)) for _ in range(200)]
    lines = [((0.0, 50.0), (500.0, 50.0))]
    boxes = place(anchors, sizes, points, lines, BOUNDS)
    for index, box in enumerate(boxes):
        assert (box.width, box.height) == sizes[index]
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= 500
        assert box.y + box.height <= 300
        assert not any(overlap(box, other) for other in boxes[:index])
        assert gap(anchors[index], box)[0] < 120


def test_a_lone_name_is_near_its_point_and_off_the_line() -> None:
    line = ((0.0, 160.0), (500.0, 160.0))
    (box,) = place([(250.0, 150.0)], [(60.0, 11.0)], [(250.0, 150.0), (270.0, 140.0)], [line], BOUNDS)
    assert gap((250.0, 150.0), box)[0] < 16
    assert not box.y < 160 < box.y + box.height
    assert gap((270.0, 140.0), box)[0] > 3
