"""What a worker says of a training: one record, which crosses processes as JSON and is checked where it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from nas.config.yaml_document import hints_of
from nas.errors import SearchError
from nas.statistics.scores import Score
from nas.train import Epoch, Verdict

REPORT = "report"
"""Key of a result under which the report stands: Tune flattens nested dictionaries."""

Environment = Mapping[str, str | int | None]
"""As `nas.train.environment` says it."""


@dataclass(frozen=True)
class Begun:
    """What is known of a training once its network is built."""

    precision: str | None = None
    """What `auto` came to, fp32, bf16 or fp16, where that is recorded."""
    epochs: tuple[Epoch, ...] = ()
    """Done in a process before this one, from whose checkpoint it goes on."""
    started_at: str | None = None
    """When the first process began, in naive UTC, ISO 8601, where that is recorded."""


@dataclass(frozen=True)
class Evaluated:
    """What a trained network is worth on the test images, where its training ends with a look at them."""

    weights: str
    """File of the weights that were tested."""
    scores: Mapping[str, Score]
    """What they are worth, by part of the data, ``validation`` and ``test``."""


@dataclass(frozen=True)
class Report:
    """What came of one step of a training."""

    begun: Begun | None = None
    """With the first one."""
    epoch: Epoch | None = None
    verdict: Verdict | None = None
    """How the training ended; None while it goes on."""
    tested: Evaluated | None = None
    seconds: float = 0.0
    """Since the training began in this process."""
    device: str = ""
    environment: Environment = field(default_factory=dict)
    peak_memory: int | None = None
    """Bytes of a GPU."""
    saved: bool = False
    """Whether a checkpoint of this epoch is written, so that another process can go on from it."""
    note: str = ""
    """What the user should know, such as that a checkpoint could not be read or written."""
    node_lost: bool = False
    """Whether its machine is gone, rather than its process."""

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Report:
        """What `to_json` wrote. Raises SearchError for anything else, such as the report of another version's worker."""
        try:
            report: Report = _read(cls, json.loads(text), "report")
        except ValueError as problem:
            raise SearchError(
                f"a worker reports what this nas cannot read: {problem}; every machine of a cluster needs the same version of nas"
            ) from None
        return report


class Retire(Exception):
    """The last report of a process that must not train another model, as JSON. Tune replaces a worker that raises."""

    def __init__(self, report: str) -> None:
        super().__init__(report)
        self.report = report


def _read(hint: Any, value: object, place: str) -> Any:
    """`value`, which came out of JSON, as the annotation `hint` wants it. Raises ValueError with its place and the rule."""
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in options:
            return None
        others = [option for option in options if option is not NoneType]
        if len(others) > 1:  # of plain values
            return _need(value, type(value) in others, " or ".join(option.__name__ for option in others), place)
        return _read(others[0], value, place)
    if origin is tuple:
        _need(value, isinstance(value, list), "a list", place)
        return tuple(_read(options[0], item, f"{place}[{number}]") for number, item in enumerate(value))  # type: ignore[arg-type, var-annotated]
    if origin is not None:
        _need(value, isinstance(value, dict), "a mapping", place)
        return {key: _read(options[1], item, f"{place}.{key}") for key, item in value.items()}  # type: ignore[attr-defined]
    if is_dataclass(hint):
        assert isinstance(hint, type)
        fields = hints_of(hint)
        _need(value, isinstance(value, dict), "a mapping", place)
        assert isinstance(value, dict)
        if value.keys() != fields.keys():
            raise ValueError(f"{place}: must have {', '.join(fields)}, and has {', '.join(map(str, value))}")
        return hint(**{name: _read(kind, value[name], f"{place}.{name}") for name, kind in fields.items()})
    if issubclass(hint, StrEnum):
        return hint(_need(value, value in list(hint), f"one of {', '.join(hint)}", place))
    if hint is float:
        _need(value, isinstance(value, int | float) and not isinstance(value, bool), "a number", place)
        return float(value)  # type: ignore[arg-type]
    return _need(value, type(value) is hint, f"of type {hint.__name__}", place)


def _need(value: object, holds: bool, rule: str, place: str) -> Any:
    if not holds:
        raise ValueError(f"{place}: must be {rule}, not {json.dumps(value)[:100]}")
    return value
