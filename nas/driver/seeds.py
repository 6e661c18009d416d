"""Which published networks a search starts from."""

from __future__ import annotations

from nas.cost import cost
from nas.data import Dataset
from nas.driver.progress import Progress
from nas.space import Space
from nas.study import SeedPoint, seed_points


def choose_seeds(space: Space, dataset: Dataset, trials: int, progress: Progress) -> list[SeedPoint]:
    """The published networks of `space` that fit the images and the constraints, each network once.

    What the papers propose comes first, then the smaller networks. All together take at most a sixth of the trials: a
    search is for what nobody has published. Lines of `progress` say what is left out, and why.
    """
    fitting: dict[str, tuple[bool, int, SeedPoint]] = {}
    left_out: dict[str, list[str]] = {}
    for point in seed_points(space, dataset.input, dataset.classes):
        problem = point.problem
        if point.architecture is not None:
            price = cost(point.architecture, dataset.input, dataset.classes)
            broken = space.violation(price)
            if broken is None:
                # Several configs may be one network on these images; the proposed one gives it its name.
                rank = (not point.config.proposed, price.parameters, point)
                known = fitting.get(point.architecture.hash)
                if known is None or rank[:2] < known[:2]:
                    fitting[point.architecture.hash] = rank
                continue
            name, _, bound = broken.split(maxsplit=2)  # one line for all that break it, whatever they have of it
            problem = f"more than the constraint allows ({name} {bound})"
        left_out.setdefault(str(problem), []).append(point.config.name)
    for problem, names in left_out.items():
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        progress.note(f"left out of the seed points: {listed}: {problem}")
    chosen = [point for *_, point in sorted(fitting.values(), key=lambda rank: rank[:2])]
    most = max(1, trials // 6)
    if len(chosen) > most:
        progress.note(
            f"{most} of {len(chosen)} published networks that fit are seed points: a sixth of --trials {trials}, the "
            "proposed and the smallest first"
        )
    return chosen[:most]
