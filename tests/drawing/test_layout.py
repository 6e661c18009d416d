"""Random graphs laid out: no wire meets a box that is not its own, no two tensors share a line."""

from __future__ import annotations

import random

import pytest

from nas.drawing.geometry import Part, Picture, Point, Rect, Wire
from nas.drawing.layout import block_picture, framed, level

Segment = tuple[Point, Point]


def random_parts(rng: random.Random, count: int, names: str) -> list[Part]:
    parts: list[Part] = []
    unread: set[int] = set()
    for place in range(count):
        width, height = rng.uniform(60, 160), rng.uniform(15, 40)
        sources: list[int | None] = [None, *range(place)]
        inputs = tuple(rng.sample(sources, rng.randint(1, min(3, len(sources)))))
        if place == count - 1:  # the last one reads all that nothing has read yet
            inputs = tuple(dict.fromkeys([*inputs, *sorted(unread)]))
        unread.difference_update(source for source in inputs if source is not None)
        unread.add(place)
        parts.append(Part(block_picture(f"{names}{place}", width, height), inputs, is_block=True))
    return parts


def segments(wire: Wire) -> list[Segment]:
    return [pair for pair in zip(wire.points, wire.points[1:], strict=False) if pair[0] != pair[1]]


def crosses(segment: Segment, box: Rect) -> bool:
    """Whether the segment goes through the inside of the box."""
    (x1, y1), (x2, y2) = segment
    inside_x = max(min(x1, x2), box.x + 0.5) < min(max(x1, x2), box.x + box.width - 0.5) or (
        x1 == x2 and box.x + 0.5 < x1 < box.x + box.width - 0.5
    )
    inside_y = max(min(y1, y2), box.y + 0.5) < min(max(y1, y2), box.y + box.height - 0.5) or (
        y1 == y2 and box.y + 0.5 < y1 < box.y + box.height - 0.5
    )
    return inside_x and inside_y


def on(point: Point, segment: Segment) -> bool:
    (x, y), ((x1, y1), (x2, y2)) = point, segment
    return min(x1, x2) - 1e-6 <= x <= max(x1, x2) + 1e-6 and min(y1, y2) - 1e-6 <= y <= max(y1, y2) + 1e-6


def shared(first: Segment, second: Segment) -> float:
    """Length that two segments have in common."""
    for axis in (0, 1):
        other = 1 - axis
        along_first, along_second = first[0][axis] == first[1][axis], second[0][axis] == second[1][axis]
        if along_first and along_second and abs(first[0][axis] - second[0][axis]) < 0.5:
            low = max(min(first[0][other], first[1][other]), min(second[0][other], second[1][other]))
            high = min(max(first[0][other], first[1][other]), max(second[0][other], second[1][other]))
            return max(0.0, high - low)
    return 0.0


def tensor_of(wires: list[Wire], boxes: dict[str, Rect]) -> list[str]:
    """For each wire the block whose tensor it carries, found by following it back."""
    found: list[str] = []
    for index, wire in enumerate(wires):
        start = wire.points[0]
        name = next(
            (
                name
                for name, box in boxes.items()
                if abs(box.x + box.width / 2 - start[0]) < 1e-6 and abs(box.y + box.height - start[1]) < 1e-6
            ),
            None,
        )
        if name is None:  # it parts from an earlier wire of the same tensor, or enters the level
            before = [found[i] for i in range(index) if any(on(start, part) for part in segments(wires[i]))]
            name = before[-1] if before else "entering"
        found.append(name)
    return found


def check(picture: Picture) -> None:
    boxes = list(picture.boxes.values())
    for index, box in enumerate(boxes):
        assert -picture.left <= box.x
        assert box.x + box.width <= picture.right + 1e-6
        assert box.y + box.height <= picture.height + 1e-6
        for other in boxes[:index]:
            apart_x = box.x + box.width <= other.x or other.x + other.width <= box.x
            assert apart_x or box.y + box.height <= other.y or other.y + other.height <= box.y
    for wire in picture.wires:
        for segment in segments(wire):
            assert segment[0][0] == segment[1][0] or segment[0][1] == segment[1][1]
            assert not any(crosses(segment, box) for box in boxes)
            for x, y in segment:
                assert -picture.left - 1e-6 <= x <= picture.right + 1e-6
                assert -1e-6 <= y <= picture.height + 1e-6


@pytest.mark.parametrize("seed", range(80))
def test_one_level(seed: int) -> None:
    rng = random.Random(seed)
    parts = random_parts(rng, rng.randint(1, 14), "n")
    picture = level(parts, exit=len(parts) - 1, tall=10_000)
    check(picture)
    assert len(picture.boxes) == len(parts)
    # every edge has its arrow
    assert sum(wire.arrow for wire in picture.wires) == sum(len(part.inputs) for part in parts)
    tensors = tensor_of(picture.wires, picture.boxes)
    for index, wire in enumerate(picture.wires):
        for other in range(index):
            if tensors[other] != tensors[index]:
                overlap = max(shared(a, b) for a in segments(wire) for b in segments(picture.wires[other]))
                assert overlap < 0.5, (tensors[index], tensors[other])


@pytest.mark.parametrize("seed", range(25))
def test_groups_and_columns(seed: int) -> None:
    rng = random.Random(seed)
    chain: list[Part] = [Part(block_picture("input", 100, 19), (), is_block=True)]
    for stage in range(rng.randint(3, 9)):
        inner = random_parts(rng, rng.randint(2, 7), f"stage{stage}.")
        frame = framed(level(inner, exit=len(inner) - 1), f"stage{stage}", 50, 20)
        chain.append(Part(frame, (len(chain) - 1,), is_block=False))
        if rng.random() < 0.5 and stage:
            merge = block_picture(f"merge{stage}", 100, 19)
            chain.append(Part(merge, (len(chain) - 1, len(chain) - 2), is_block=True))
    picture = level(chain, exit=None, tall=500)
    check(picture)
    assert len(picture.frames) == sum(not part.is_block for part in chain)
    frames = list(picture.frames.values())
    for name, box in picture.boxes.items():
        owner = picture.frames.get(name.split(".")[0])
        for frame in frames:
            inside = frame.x < box.x and box.x + box.width < frame.x + frame.width and frame.y < box.y
            inside = inside and box.y + box.height <= frame.y + frame.height
            assert inside == (frame == owner)
    assert 0.3 < picture.width / picture.height < 4


def test_the_same_graph_gives_the_same_picture() -> None:
    def lay_out() -> Picture:
        parts = random_parts(random.Random(3), 12, "n")
        return level(parts, exit=11)

    assert lay_out() == lay_out()
