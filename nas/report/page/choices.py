"""Which choices matter at equal cost, and what each block did."""

from __future__ import annotations

from typing import Final

from nas.analysis.blocks import BlockRecord, block_records
from nas.analysis.evidence import Evidence
from nas.analysis.importance import FEWEST, Effect, Importances, importances
from nas.objectives import Objective
from nas.space.choices import plain
from nas.text.formatting import words
from nas.text.markup import Html, section, table, tag

ROLES: Final = 8
OPTIONS: Final = 8


def choices_section(evidence: Evidence) -> Html:
    """The most important choices with what their options are worth."""
    found = importances(evidence.complete, evidence.costs, evidence.metric)
    title, worth = "Which choices matter", words(evidence.metric.name)
    if found is None:
        few = f"At least {FEWEST} complete networks are needed to tell; there are {len(evidence.complete)}."
        return section(title, tag("p", few, class_="none"), id="choices")
    if found.predicted <= 0 or not found.roles:
        predicted = f"{found.predicted:.2f}".replace("-", "−")
        weak = (
            f"Cost alone explains {found.cost_explains:.0%} of the variance of {worth}; beyond it the choices do not "
            f"predict the {worth} of unseen networks yet (R² {predicted} from {found.networks:,} networks)."
        )
        return section(title, tag("p", weak, class_="none"), id="choices")
    lead = (
        f"{worth[0].upper()}{worth[1:]} at equal cost: cost alone explains {found.cost_explains:.0%} of the variance; of the rest, "
        f"the choices predict {found.predicted:.0%} on networks not seen ({found.networks:,} networks). Importance is how "
        "much that falls when a choice is shuffled. Copies of a choice count together (*)."
    )
    return section(title, _roles(found, evidence.metric), id="choices", lead=lead)


def _roles(found: Importances, metric: Objective) -> Html:
    shown = [role for role in found.roles[:ROLES] if role.drop > 0]
    most = max((role.drop for role in shown), default=1.0)
    widest = max(
        (abs(effect.mean) + min(effect.half, 2 * abs(effect.mean) + 1) for role in shown for effect in role.effects),
        default=1.0,
    )
    items = []
    for role in shown:
        bar = tag("span", tag("i", style=f"width:{100 * role.drop / most:.1f}%"), class_="bar")
        drop = tag("span", f"{role.drop:.2f} ± {role.spread:.2f}", class_="n")
        head = tag("div", tag("code", role.role), bar, drop, class_="role")
        effects = [_effect(effect, widest) for effect in role.effects[:OPTIONS]]
        if len(role.effects) > OPTIONS:
            effects.append(tag("p", f"and {len(role.effects) - OPTIONS} worse options", class_="none"))
        items.append(tag("div", head, tag("div", effects, class_="effects"), class_="choice"))
    axis = (
        f"worth in {'percentage points of ' if metric.is_share else ''}{words(metric.name)} at equal cost, from −{widest:.3g} to "
        f"+{widest:.3g}, with 95 % interval"
    )
    return tag("div", items, tag("p", axis, class_="axis-note"), class_="choices")


def _effect(effect: Effect, widest: float) -> Html:
    def at(value: float) -> float:
        return 50 + 50 * max(-1.0, min(1.0, value / widest))

    low, high = at(effect.mean - effect.half), at(effect.mean + effect.half)
    sign = "up" if effect.mean - effect.half > 0 else "down" if effect.mean + effect.half < 0 else "even"
    track = tag(
        "span",
        tag("b", style=f"left:{low:.1f}%;width:{high - low:.1f}%"),
        tag("i", style=f"left:{at(effect.mean):.1f}%"),
        class_=f"track {sign}",
    )
    name = tag("span", plain(effect.option), class_="option")
    value = tag("span", f"{effect.mean:+.1f}".replace("-", "−"), class_="n")
    networks = tag("span", f"{effect.networks}", class_="n faint", title="networks that took it")
    return tag("div", name, track, value, networks, class_="effect")


def blocks_section(evidence: Evidence) -> Html:
    """A row per block."""
    records = block_records(evidence)
    if not records:
        return Html("")
    lead = (
        "Share of the networks that have the block, on the front and among all complete ones; worth is how much "
        f"better in {words(evidence.metric.name)} networks with it are at equal cost than those without it, with 95 % interval."
    )
    head = ("block", "tried", "on the front", "in all", "worth", "ended badly")
    rows = [
        (
            tag("code", record.block),
            f"{record.trials:,}",
            _share(record.front_share, "blue"),
            _share(record.share, "grey"),
            _worth(record),
            f"{record.bad} ({record.bad / record.trials:.0%})" if record.bad else "–",
        )
        for record in records
    ]
    return section("Blocks", table(head, rows, numbers=(1, 4, 5)), id="blocks", lead=lead)


def _share(share: float, look: str) -> Html:
    bar = tag("span", tag("i", style=f"width:{100 * share:.0f}%", class_=look), class_="mini")
    return tag("span", bar, tag("span", f"{share:.0%}", class_="n"), class_="share")


def _worth(record: BlockRecord) -> str:
    if record.worth is None or record.half is None:
        return "–"
    return f"{record.worth:+.1f} ± {record.half:.1f}".replace("-", "−")
