"""What a published network is as it is built here, against what its paper printed: seconds, no training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from nas.architecture.cost import FLOAT_BYTES
from nas.config.shipped_files import every, find
from nas.errors import NasError, StudyError
from nas.space.published import UNITS, Claim, PublishedConfig
from nas.space.space import Space

REPRODUCED: Final = "reproduced"
WITHIN: Final = "within 1 %"
OFF: Final = "off"
NOT_CLAIMED: Final = "not claimed"
NOT_CHECKED: Final = "not checked"
"""What only training can tell."""
NO_NETWORK: Final = "no network"
"""Note on a network that is not built here."""

TOLERANCE: Final = 0.01


@dataclass(frozen=True)
class CheckedClaim:
    """A number of a paper beside ours, in the claim's own unit."""

    metric: str
    unit: str
    claimed: float | None
    """Value that the paper prints; None where it prints none."""
    printed: str
    """The claim with the decimals that the paper prints."""
    built: float | None
    """Value of the network as it is built here; None where only training can tell."""
    verdict: str
    table: str | None = None
    """Table in which the paper prints it; None where it prints none."""

    @property
    def deviation(self) -> float | None:
        """Deviation of the built value from the claimed one, as a share of the claimed one."""
        return None if self.claimed is None or self.built is None else (self.built - self.claimed) / self.claimed


@dataclass(frozen=True)
class Check:
    """One published config as it is built here."""

    name: str
    config: PublishedConfig | None
    """The config; None when its file cannot be read."""
    parameters: int | None
    macs: int | None
    claims: tuple[CheckedClaim, ...]
    problem: str | None
    """Why the config no longer builds what it states, in one line."""

    @property
    def unbuilt(self) -> bool:
        """Whether there is nothing to compare: the network of the config cannot be built."""
        return self.problem is not None and self.parameters is None

    @property
    def size_mib(self) -> float | None:
        """Size of the float32 weights in MiB (2^20 bytes)."""
        return None if self.parameters is None else size_mib(self.parameters)

    def record(self) -> dict[str, Any]:
        """Plain data, for `--json`. `builds` is what the file states, `parameters` and `macs` what is built now."""
        return {
            "name": self.name,
            "paper": self.config.paper if self.config else None,
            "data": self.config.data if self.config else None,
            "problem": self.problem,
            "without_network": self.config.without_network if self.config else None,
            "builds": asdict(self.config.builds) if self.config and self.config.builds else None,
            "parameters": self.parameters,
            "macs": self.macs,
            "size_mib": self.size_mib,
            "claims": [
                {
                    "metric": claim.metric,
                    "claimed": claim.claimed,
                    "unit": claim.unit,
                    "table": claim.table,
                    "built": claim.built,
                    "deviation": claim.deviation,
                    "verdict": claim.verdict,
                }
                for claim in self.claims
            ],
            "assumptions": list(self.config.assumptions) if self.config else [],
        }


def check_all(names: Iterable[str] = ()) -> list[Check]:
    """Builds the configs of these names, or every shipped one.

    Raises StudyError for a name that does not exist, and for a mistake in a file that is not shipped: it is its writer's.
    """
    shipped = every("studies")
    paths = [find("studies", name, StudyError) for name in names] or shipped
    checks = []
    for path in paths:
        try:
            config = PublishedConfig.load(path)
            found = check(config)
        except NasError as problem:
            if path.resolve() not in shipped:
                raise
            checks.append(Check(path.stem, None, None, None, (), str(problem)))
        else:
            if found.unbuilt and path.resolve() not in shipped:
                raise StudyError(f"{path}: {found.problem}")
            checks.append(found)
    return checks


def check(config: PublishedConfig) -> Check:
    """Builds the network of a config, without allocating it, and compares it with the claims."""
    if config.without_network is not None:
        claims = tuple(replace(compare(claim, None), verdict=NO_NETWORK) for claim in config.claims)
        return Check(config.name, config, None, None, claims, None)
    try:
        space = Space.load(config.space)
        price = space.resolve(space.plan(config.assignment), config.input, config.classes).cost
    except NasError as problem:
        return Check(config.name, config, None, None, (), f"does not build: {problem}")
    built = in_units(price.parameters, price.macs)
    compared = [compare(claim, built.get(claim.metric)) for claim in config.claims]
    claimed = {claim.metric for claim in config.claims}
    compared += [
        CheckedClaim(metric, UNITS[metric], None, "", value, NOT_CLAIMED)
        for metric, value in built.items()
        if metric not in claimed
    ]
    broken = None
    stated = config.builds
    if stated is not None and (stated.parameters, stated.macs) != (price.parameters, price.macs):
        broken = (
            f"builds {price.parameters:,} parameters and {price.macs:,} MACs, but its file states "
            f"{stated.parameters:,} and {stated.macs:,}"
        )
    return Check(config.name, config, price.parameters, price.macs, tuple(compared), broken)


def in_units(parameters: int, macs: int) -> dict[str, float]:
    """The costs of a network in the units of claims."""
    return {"parameters": parameters / 1e6, "macs": macs / 1e9, "size": size_mib(parameters)}


def size_mib(parameters: int) -> float:
    """Size of the float32 weights in MiB (2^20 bytes)."""
    return parameters * FLOAT_BYTES / 2**20


def compare(claim: Claim, built: float | None) -> CheckedClaim:
    """A claim beside what was built, with a verdict."""
    if built is None:
        verdict = NOT_CHECKED
    elif f"{built:.{claim.decimals}f}" == claim.printed:
        verdict = REPRODUCED
    else:
        verdict = WITHIN if abs(built - claim.value) <= TOLERANCE * abs(claim.value) else OFF
    return CheckedClaim(claim.metric, claim.unit, claim.value, claim.printed, built, verdict, claim.table)
