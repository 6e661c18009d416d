"""What a network looks like to the surrogate: numbers that two equal networks share, whatever they are called.

A feature is a name and a number, and its name begins with the group to which it belongs:

- ``cost``: logarithms of parameters, MACs, activation bytes, and whatever else is known before the training;
- ``count``: how often each operation occurs (a node's block with all it says but its widths), as log(1 + n);
- ``stage``: trainable nodes and parameters at each resolution;
- ``depth``: trainable nodes on the longest, the shortest and the mean way from image to logits, and the number of ways;
- ``path2``, ``path3``: how often two or three operations follow each other, over sums and concatenations: the words of a random
  walk (a merge hands on the mean of what reaches it, so that a word counts by the share of ways that spell it). This
  is the path encoding of White et al. 2021 (BANANAS), made local so that it also describes networks of many cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from blocks import BLOCKS, Facts
from blocks.base import Params
from nas.architecture.architecture import INPUT, Architecture
from nas.architecture.cost import Cost
from nas.objectives import COUNTED

GROUPS: Final = ("cost", "count", "stage", "depth", "path2", "path3")
WORD: Final = 3
"""Operations in the longest word of ``path``."""
WAYS_AT_MOST: Final = 16
"""Words that a node remembers, the commonest first."""


def describe(architecture: Architecture, facts: Mapping[str, Facts], price: Cost) -> dict[str, float]:
    """The features of a network; `facts` and `price` are those of `nas.architecture.cost`."""
    found: dict[str, float] = {}
    counts: dict[str, float] = {}
    words: dict[tuple[str, ...], float] = {}
    endings: dict[str, dict[tuple[str, ...], float]] = {INPUT: {("input",): 1.0}}
    longest: dict[str, float] = {INPUT: 0.0}
    shortest: dict[str, float] = {INPUT: 0.0}
    mean: dict[str, float] = {INPUT: 0.0}
    ways: dict[str, float] = {INPUT: 0.0}  # logarithm of their number: stacked cells have more than a float can hold
    for node in architecture.nodes:
        fact = facts[node.name]
        inputs = node.inputs
        weighs = 1.0 if fact.parameters else 0.0
        longest[node.name] = weighs + max([longest[name] for name in inputs])
        shortest[node.name] = weighs + min([shortest[name] for name in inputs])
        mean[node.name] = weighs + sum([mean[name] for name in inputs]) / len(inputs)
        most = max([ways[name] for name in inputs])
        ways[node.name] = most + math.log(sum([math.exp(ways[name] - most) for name in inputs]))
        before = _mixed([endings[name] for name in inputs])
        if BLOCKS[node.block].takes_many:
            endings[node.name] = before
            continue
        label = _label(node.block, node.params)
        counts[label] = counts.get(label, 0.0) + 1.0
        after: dict[tuple[str, ...], float] = {}
        for ending, share in before.items():
            word = (*ending, label)
            for start in range(len(word) - 1):
                words[word[start:]] = words.get(word[start:], 0.0) + share
            after[word[1 - WORD :]] = after.get(word[1 - WORD :], 0.0) + share
        endings[node.name] = after
        if weighs:
            size = f"{fact.out_shape[-1]}" if len(fact.out_shape) == 3 else "logits"
            counts_key, weights_key = f"stage:nodes {size}", f"stage:parameters {size}"
            found[counts_key] = found.get(counts_key, 0.0) + 1.0
            found[weights_key] = found.get(weights_key, 0.0) + fact.parameters
    found = {name: math.log1p(value) for name, value in found.items()}
    for label, count in counts.items():
        found[f"count:{label}"] = math.log1p(count)
    for word, count in words.items():
        found[f"path{len(word)}:{' > '.join(word)}"] = math.log1p(count)
    for name in COUNTED:
        found[f"cost:{name}"] = math.log1p(price[name])
    for name, value in price.others.items():
        found[f"cost:{name}"] = math.copysign(math.log1p(abs(value)), value)
    end = architecture.output
    found["depth:longest"] = math.log1p(longest[end])
    found["depth:shortest"] = math.log1p(shortest[end])
    found["depth:mean"] = math.log1p(mean[end])
    found["depth:ways"] = ways[end]
    return found


def _mixed(parts: list[dict[tuple[str, ...], float]]) -> dict[tuple[str, ...], float]:
    """The mean of several distributions, without its rarest words."""
    if len(parts) == 1:
        return parts[0]
    share = 1.0 / len(parts)
    mixed: dict[tuple[str, ...], float] = {}
    for part in parts:
        for word, weight in part.items():
            mixed[word] = mixed.get(word, 0.0) + share * weight
    if len(mixed) <= WAYS_AT_MOST:
        return mixed
    return dict(sorted(mixed.items(), key=lambda item: (-item[1], item[0]))[:WAYS_AT_MOST])


@lru_cache(maxsize=100_000)
def _label(block: str, params: Params) -> str:
    """A block with everything it says but its widths, which `stage` sees."""
    widths = {name for name, parameter in BLOCKS[block].hyperparameters.items() if parameter.is_width}
    said = [f"{name}={value}" for name, value in params if name not in widths]
    return " ".join([block, *said])


_numbers: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Features:
    """Features of one candidate, those that are 0 left out."""

    numbers: npt.NDArray[np.int32]
    """Of the names; the same in the whole process."""
    values: npt.NDArray[np.float64]

    @classmethod
    def of(cls, named: Iterable[tuple[str, float]]) -> Features:
        """Of names and values."""
        pairs = [(_numbers.setdefault(name, len(_numbers)), value) for name, value in named]
        return cls(np.array([number for number, _ in pairs], dtype=np.int32), np.array([value for _, value in pairs]))


def feature_names() -> list[str]:
    """By number."""
    return list(_numbers)
