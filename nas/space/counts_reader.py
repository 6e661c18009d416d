"""Reads `counts` of a space file, refusing rules that count nothing or that no assignment meets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from blocks import BLOCKS
from blocks.base import Scalar
from nas.config.yaml_document import Document, KeyPath
from nas.errors import nearest
from nas.limits import MAX_OPTIONS
from nas.space.choices import plain, role
from nas.space.counts import Counting, CountRule
from nas.space.grammar import Graph
from nas.text.formatting import shorten

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RULES_AT_MOST = 8
"""Rules of one space: what has to be counted grows with the product of their bounds."""


def read_counts(document: Document, graph: Graph) -> tuple[CountRule, ...]:
    """The rules of a space file whose graph was read. Raises SpaceError with the line."""
    data = document.mapping(("counts",), document.data.get("counts", {}), "counts")
    if len(data) > RULES_AT_MOST:
        document.fail(("counts",), f"counts: at most {RULES_AT_MOST} rules, not {len(data)}")
    rules = tuple(_rule(document, name, value) for name, value in data.items())
    if not rules:
        return ()
    counting = Counting(rules, graph)
    size = counting.size
    for rule in rules:
        _check(document, rule, counting.options_met)
    if size == 0:
        document.fail(("counts",), f"counts: no assignment meets them: {'; '.join(map(str, rules))}")
    return rules


def _rule(document: Document, name: str, data: Any) -> CountRule:
    where: KeyPath = ("counts", name)
    what = f"counts: {shorten(name)[1:-1]}"
    if not _NAME.fullmatch(name):
        document.fail(where, f"{what}: a name is letters, digits and underscores, and starts with no digit")
    data = document.mapping(where, data, what)
    document.check_keys(where, data, ("choice", "option", "min", "max"), what)
    for key in ("choice", "option"):
        if key not in data:
            document.fail(where, f"{what}: the key '{key}' is missing")
    if "min" not in data and "max" not in data:
        document.fail(where, f"{what}: needs 'min' or 'max'")
    choice = data["choice"]
    if not isinstance(choice, str):
        document.fail((*where, "choice"), f"{what}: choice must be the name of a choice, not {shorten(choice)}")
    options = data["option"] if isinstance(data["option"], list) else [data["option"]]
    if not options or not all(isinstance(option, str | int | float) for option in options):
        document.fail(
            (*where, "option"), f"{what}: option must be an option or a list of them, not {shorten(data['option'])}"
        )
    bounds: dict[str, int] = {}
    for key in ("min", "max"):
        if key in data:
            value = data[key]
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_OPTIONS:
                document.fail(
                    (*where, key),
                    f"{what}: {key} must be a whole number from 0 to {MAX_OPTIONS:,}, not {shorten(value)}",
                )
            bounds[key] = value
    least, most = bounds.get("min", 0), bounds.get("max")
    if most is not None and least > most:
        document.fail(where, f"{what}: min {least} is above max {most}")
    return CountRule(name, choice, tuple(options), least, most)


def _check(document: Document, rule: CountRule, met: Mapping[str, Mapping[Scalar, None]]) -> None:
    where: KeyPath = ("counts", rule.name)
    counted = {name: options for name, options in met.items() if rule.fits(name)}
    if not counted:
        roles = {role(name) for name in met}
        hint = nearest(rule.choice, roles) or f"; choices: {shorten(', '.join(sorted(roles)), 300)[1:-1]}"
        document.fail((*where, "choice"), f"counts: {rule.name}: no choice '{rule.choice}'{hint}")
    options = [option for those in counted.values() for option in those]
    for option in rule.options:
        if not any(option == other and isinstance(option, bool) == isinstance(other, bool) for other in options):
            listed = ", ".join(dict.fromkeys(map(plain, options)))
            hint = nearest(option, options) or f"; options: {listed}"
            document.fail(
                (*where, "option"), f"counts: {rule.name}: '{rule.choice}' has no option {shorten(option)}{hint}"
            )
    switches = {key for name in BLOCKS for key in BLOCKS[name].some_on}
    if rule.choice.rpartition(".")[2] in switches:
        document.fail(
            (*where, "choice"),
            f"counts: {rule.name}: switches of a block of which one is always on cannot be counted",
        )
