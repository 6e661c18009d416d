"""What a training did otherwise than the paper, or the search, whose network it trains: data, put into words where it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from blocks.base import Scalar

Value = Scalar | tuple[Scalar, ...]
COUNTED: Final = ("parameters", "steps", "images held out", "training images")
"""What is told with thousands set apart."""
WORDS: Final = {
    "images": "images of {here}",
    "classes": "{here} classes",
    "parameters": "therefore {here} parameters",
    "epochs": "{here} epoch{s}",
    "steps": "{here} steps",
    "initial weights": "{here} initial weights",
    "images held out": "{here} of {of:,} training images held out for the validation curves",
    "training images": "{here} of {of:,} training images, the same share of every class",
    "share of the images": "{here} of the training images ({of:,}), of every class alike",
}
"""How what is no field of the recipe is told; of a field, and of the data, the name and the value."""


@dataclass(frozen=True)
class Deviation:
    """One thing that was done otherwise."""

    what: str
    """A field of the recipe (``lr``, ``augment.flip``), ``data``, or a key of `WORDS`."""
    here: Value
    there: Value | None = None
    """What the paper or the search did; None where that goes without saying."""
    of: int = 0
    """Training images of which `here` is a part."""
    searched: bool = False
    """Whether `there` is the search's, not the paper's."""

    def __post_init__(self) -> None:
        """Raises TypeError for a name or a value that is none."""
        values = [one for value in (self.here, self.there) for one in (value if isinstance(value, tuple) else (value,))]
        if not isinstance(self.what, str) or not all(isinstance(one, Scalar | None) for one in values):
            raise TypeError(f"{self.what}: {self.here!r}, {self.there!r}")

    @property
    def brief(self) -> str:
        """What was done here, in words: ``lr 0.1``."""
        here = self._shown(self.here)
        words = WORDS.get(self.what)
        if words is None:
            return f"{self.what} {here}"
        return words.format(here=here, of=self.of, s="" if self.here == 1 else "s")

    def __str__(self) -> str:
        """What was done here and there, in words: ``lr 0.1 instead of 0.05``."""
        if self.there is None:
            return self.brief
        if self.what == "training images":
            return f"{self.brief}, where the paper takes {self.there:.3g} of them"
        whose = "the search's " if self.searched else ""
        return f"{self.brief} instead of {whose}{self._shown(self.there)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        optional = {"there": self.there, "of": self.of or None, "searched": self.searched or None}
        return {"what": self.what, "here": self.here} | {name: v for name, v in optional.items() if v is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Deviation:
        """The deviation that `to_dict` wrote. Raises ValueError for anything else."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        try:
            found = cls(**values)
            str(found)  # a value may be of a kind that has no words
        except (TypeError, ValueError):
            raise ValueError(f"a deviation is {dict(data)!r}") from None
        return found

    def _shown(self, value: Value) -> str:
        if self.what == "images" and isinstance(value, tuple):
            return "×".join(map(str, value))
        if self.what == "share of the images":
            return f"{value:.3g}"
        return f"{value:,}" if self.what in COUNTED else _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
