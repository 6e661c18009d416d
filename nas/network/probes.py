"""The probes that there are, by the names of their objectives."""

from __future__ import annotations

from collections.abc import Iterable

from nas.errors import NasError, SearchError
from nas.network.latency import Latency
from nas.network.probe import Probe
from nas.objectives import BUILT_IN, LATENCY, OBJECTIVES, register_objective
from nas.plugins.registry import Registry

PROBES: Registry[Probe] = Registry("probe", "nas.probes", NasError)
PROBES.add(LATENCY.name, Latency())


def register_probe(probe: Probe) -> None:
    """Makes a probe and its objective known in this process: a search may then optimize, bound or learn from its value.

    ::

        class Depth(nas.Probe):
            objective = nas.Objective("depth", "minimize", "measured", range=(1, 1000))

            def measure(self, architecture, input, classes, device):
                return len(architecture.nodes)

        nas.register_probe(Depth())
        nas.search("attn_cnn", objectives=("accuracy", "depth"), limits={"depth": 40})

    It may stand in a script, in a file that --blocks names, or in an installed package with an entry point of the group
    ``nas.probes``. Raises NasError when its objective is not one that is measured, or nas has one of that name.
    """
    objective = getattr(probe, "objective", None)
    if not isinstance(probe, Probe) or objective is None:
        raise NasError(
            f"register_probe: takes an object of a class derived from nas.Probe with an objective, not {probe!r}"
        )
    if objective.known != "measured":
        raise NasError(f"objective '{objective.name}': that of a probe is known as 'measured', not '{objective.known}'")
    register_objective(objective)
    if objective.name in PROBES:
        PROBES.remove(objective.name)
    PROBES.add(objective.name, probe)


def know(names: Iterable[str]) -> str:
    """Imports the probes of packages where one of these objectives is not known yet.

    Returns what an error about an unknown name ends with: the packages that could not be imported.
    """
    if all(name in OBJECTIVES for name in names):
        return ""
    len(PROBES)  # imports the entry points
    return PROBES.broken


def probes_of(names: Iterable[str]) -> list[Probe]:
    """The probes for those of these objectives that are measured, each once. Raises SearchError where there is none."""
    found = []
    for name in dict.fromkeys(names):
        if OBJECTIVES[name].known == "measured":
            if name not in PROBES:
                raise SearchError(
                    f"objective '{name}': this process has no probe that measures it; nas.register_probe adds one"
                )
            found.append(PROBES[name])
        elif OBJECTIVES[name].known == "exact" and name not in BUILT_IN and OBJECTIVES[name].count is None:
            raise SearchError(
                f"objective '{name}': this process does not know how to count it; nas.register_objective says it"
            )
    return found
