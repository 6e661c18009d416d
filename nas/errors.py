"""The errors a user can cause, in one tree. Each carries one line that says the place, the rule and the value.

::

    NasError                    the command line prints it without a traceback and exits with 2
    ├── BlockError              a block that breaks the rules, or a file of a user's own blocks
    ├── SpaceError              a space file: grammar, unknown block, impossible shape
    ├── AssignmentError         an assignment that does not fit its space
    ├── Infeasible              one architecture whose shapes cannot meet or whose cost breaks a constraint
    ├── RecipeError             a training recipe
    ├── StudyError              a published config under `studies/`
    ├── DataError               a data set that is absent, unknown or corrupt
    ├── StorageError            a study database that cannot be opened, or holds something else
    │   └── StudyExists         a new study whose name is taken
    ├── WeightsError            a file of weights that is absent, damaged or another network's
    ├── ExportError             a network that cannot be written in the format asked for
    ├── SearchError             options of a search that cannot be met
    ├── Unmeasured              one network of which a probe could not measure its value
    └── BenchError              a table of trained networks that does not fit its space
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AssignmentError",
    "BenchError",
    "BlockError",
    "DataError",
    "ExportError",
    "Infeasible",
    "NasError",
    "RecipeError",
    "SearchError",
    "SpaceError",
    "StorageError",
    "StudyError",
    "StudyExists",
    "Unmeasured",
    "WeightsError",
    "nearest",
]


class NasError(Exception):
    """Something the user can mend. `str(error)` is one line."""


class BlockError(NasError, TypeError):
    """A block breaks the rules, or a file of blocks cannot be used."""


class SpaceError(NasError):
    """A space file breaks the grammar."""


class AssignmentError(NasError):
    """An assignment does not fit its space."""


class Infeasible(NasError):
    """One architecture cannot exist: its shapes do not meet, or its cost breaks a constraint.

    `node` is the path of the node where it shows, or the name of the constraint.
    """

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"node '{node}': {reason}")
        self.node = node
        self.reason = reason

    def __reduce__(self) -> tuple[type[Infeasible], tuple[str, str]]:
        # The default rebuilds an exception from its one-string args; this one crosses process borders.
        return (type(self), (self.node, self.reason))


class RecipeError(NasError):
    """A training recipe holds an unknown key or a value outside its range."""


class StudyError(NasError):
    """A published config does not say what it must."""


class DataError(NasError):
    """A data set is absent, unknown or corrupt."""


class StorageError(NasError):
    """A study database cannot be opened, or does not hold what was asked for."""


class StudyExists(StorageError):
    """A new study cannot have this name: there is one already."""


class WeightsError(NasError):
    """A file of weights is absent, damaged, or belongs to another network."""


class ExportError(NasError):
    """A network cannot be written in the format asked for, or what was written does not compute the same."""


class SearchError(NasError):
    """The options of a search cannot be met."""


class Unmeasured(NasError):
    """One network of which its value could not be measured; others may be."""


class BenchError(NasError):
    """A table of trained networks does not fit its space."""


def nearest(word: object, options: Iterable[object]) -> str:
    """``"; did you mean 'cbam'?"`` for the option closest to `word`, or an empty string when none is close."""
    close = difflib.get_close_matches(str(word), [str(option) for option in options], n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""
