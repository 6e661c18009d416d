"""What earlier studies over the same space tell a new one."""

from __future__ import annotations

from nas.errors import SearchError
from nas.objectives import learned
from nas.sampler.history import Earlier
from nas.states import State
from nas.store import Store, StudyRow


def earlier_trials(store: Store, name: str, study: StudyRow) -> list[Earlier]:
    """The complete trials of the study `name`, for a search of `study`.

    Raises StorageError where there is none, SearchError for one of another space or objective, or without complete trials.
    """
    earlier = store.study(name)
    if name == study.name:
        raise SearchError(f"prior: study '{name}' is the one that is searched; it knows its own trials")
    if earlier.space_fingerprint != study.space_fingerprint:
        raise SearchError(f"prior: study '{name}' searched the space {earlier.space_name}, not this {study.space_name}")
    wanted, there = learned(study.objectives)[0], learned(earlier.objectives)
    if there != (wanted,):
        raise SearchError(f"prior: study '{name}' learned {' and '.join(there)}, not {wanted}")
    trials = store.trials(name)
    trials = trials[trials["state"] == State.COMPLETE]
    if trials.empty:
        raise SearchError(f"prior: study '{name}' has no complete trial")
    return [
        Earlier(assignment, float(value), earlier.validation_images)
        for assignment, value in zip(trials["assignment"], trials[wanted], strict=True)
    ]
