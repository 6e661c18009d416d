"""What is known of a network between its exact cost and its training: whatever can be measured without training it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

from blocks.base import Scalar, Shape
from nas.architecture.architecture import Architecture
from nas.errors import ExportError, NasError, Unmeasured
from nas.objectives import Objective
from nas.store import Reading

if TYPE_CHECKING:
    import torch  # who only chooses among networks needs none


@dataclass(frozen=True)
class Spread:
    """A value whose noise is known."""

    value: float
    """The median of its runs."""
    low: float
    """First quartile."""
    high: float
    """Third quartile."""
    runs: int
    version: str = ""
    """What measured it, with its version; by default PyTorch's."""


class Probe(ABC):
    """Measures one value of networks before they are trained; `nas.register_probe` makes one known.

    Derive from it: name the `objective`, and write `measure`. A search measures each network once and keeps the value in
    the study database; what the database knows is not measured again.
    """

    objective: ClassVar[Objective]
    """What it measures: a row whose `known` is ``measured``."""
    on_device: ClassVar[bool] = False
    """Whether the value hangs on the device, as a time does. It is then measured on the one that a search names, and on no GPU
    on which trials train; any other on the CPU."""

    @abstractmethod
    def measure(self, architecture: Architecture, input: Shape, classes: int, device: torch.device) -> float | Spread:
        """The value of one network for images of shape `input`; a `Spread` where its noise is known.

        `nas.Architecture` has the graph; `nas.compile_model` makes a module of it. PyTorch's random numbers are the same at
        each call.
        """

    def settings(self, device: torch.device) -> Mapping[str, Scalar]:
        """What else the value hangs on. Values that were measured with other settings are not compared."""
        return {}


def place_of(probe: Probe, device: torch.device) -> torch.device:
    """Where a probe measures, in a search that measures on `device`."""
    import torch

    return device if probe.on_device else torch.device("cpu")


def expected(
    probe: Probe, architecture: Architecture, input: Shape, classes: int, device: torch.device, name: str
) -> Reading:
    """A reading of this network as `take` gives it on the device of this `name`, without its value."""
    where = name if probe.on_device else ""
    settings = dict(probe.settings(place_of(probe, device)))
    return Reading(probe.objective.name, architecture.hash, tuple(input), classes, where, settings, math.nan)


def take(probe: Probe, architecture: Architecture, input: Shape, classes: int, device: torch.device) -> Reading:
    """Measures one network. Raises NasError, with the name of the objective, for what the probe raises or what is no number.

    It is an Unmeasured where others may be measured.
    """
    import torch

    from nas.train import device_name

    place = place_of(probe, device)
    name, network = probe.objective.name, architecture.hash[:8]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            found = probe.measure(architecture, input, classes, place)
        except (ExportError, Unmeasured) as problem:
            raise Unmeasured(f"{name} of network {network}: {problem}") from None
        except NasError:
            raise
        except Exception as problem:  # whatever code of others can do
            text = " ".join(str(problem).split())[:200]
            raise NasError(f"{name} of network {network}: {type(problem).__name__}: {text}") from problem
    spread = found if isinstance(found, Spread) else None
    value = found.value if isinstance(found, Spread) else found
    if not isinstance(value, Real) or not math.isfinite(value):
        raise NasError(f"{name} of network {network}: must be a finite number, not {value!r}")
    return Reading(
        name,
        architecture.hash,
        tuple(input),
        classes,
        device_name(place) if probe.on_device else "",
        dict(probe.settings(place)),
        float(value),
        spread.low if spread else None,
        spread.high if spread else None,
        spread.runs if spread else 1,
        (spread.version if spread else "") or str(torch.__version__),
    )
