"""Numbers and shapes as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from nas.objectives import OBJECTIVES, Objective

_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def short(value: float) -> str:
    """Three digits and a unit: ``999``, ``4.61k``, ``11.4M``."""
    for size, unit in _UNITS:
        if abs(value) >= 0.9995 * size:
            scaled = value / size
            digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{digits}f}{unit}"
    return f"{value:.0f}"


def digits(value: float) -> str:
    """All digits of a whole number, else four: ``1,234,567`` or ``0.2346``."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10_000 else f"{value:.4g}"


def value_text(objective: Objective, value: float, *, unit: bool = False) -> str:
    """A value as the row of its objective writes it, with its unit where that is wanted."""
    forms = {"grouped": lambda: f"{value:,.0f}", "short": lambda: short(value), "digits": lambda: f"{value:.3g}"}
    text = forms[objective.form]()
    return f"{text} {objective.unit}" if unit and objective.unit else text


def words(metric: str) -> str:
    """The name of a metric in a sentence: ``mean average precision``."""
    return metric.replace("_", " ")


def metric_text(metric: str, value: float | None, error: float | None = None) -> str:
    """A value of a metric with its standard error where it is known: ``97.3 ± 0.9 %``, ``97.31%``, ``0.312 ± 0.02``.

    What lies between 0 and 1 is in per cent; so is a metric that is no objective, such as what classes are measured by. Nothing
    for no value.
    """
    if value is None or value != value:
        return ""
    if metric not in OBJECTIVES or OBJECTIVES[metric].is_share:
        return f"{value:.2%}" if error is None else f"{value * 100:.1f} ± {error * 100:.1f} %"
    return f"{value:.4g}" if error is None else f"{value:.3g} ± {error:.2g}"


def difference_text(metric: str, difference: float) -> str:
    """How far two values of a metric are apart: ``2.3 points``, or ``0.021``."""
    share = metric not in OBJECTIVES or OBJECTIVES[metric].is_share
    return f"{difference * 100:.1f} points" if share else f"{difference:.3g}"


def shape(extents: Sequence[int]) -> str:
    """A shape as people write it: ``64×16×16``."""
    return "×".join(map(str, extents))


def tick(value: float) -> str:
    """A round number at an axis: ``500``, ``20k``, ``1.5M``."""
    for size, unit in _UNITS:
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def counted(number: object, thing: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def shorten(value: object, limit: int = 60) -> str:
    """`repr(value)`, cut to `limit` characters for one line of an error."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
