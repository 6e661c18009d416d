"""What a user sees while a search runs: a live view in a terminal, a line per trial elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nas.front.table import front_table
from nas.front.view import view_of
from nas.objectives import OBJECTIVES, learned
from nas.pareto import hypervolume, pareto
from nas.replays import progress as trainings
from nas.replays.progress import Progress as TrainingProgress
from nas.searches.options import UNTIL_TIME
from nas.statistics.proportion import with_error
from nas.text.formatting import value_text
from nas.text.sanitize import one_line

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, RenderableType
    from rich.live import Live

    from nas.architecture.cost import Cost
    from nas.train import Epoch


SHOWN: Final = 12
"""So many members of a front, the dearest, have room in the live view."""
SHOWN_TRAINING: Final = 8
"""And so many trials that run."""


@dataclass(frozen=True)
class EndedTrial:
    """A trial that has ended."""

    trial: int
    """Its number."""
    hash: str
    """Hash of its network."""
    cost: Cost
    published: str | None
    state: str
    accuracy: float | None
    reason: str | None = None
    seconds: float = 0.0
    source: int | None = None
    """Id of the trial whose result it has taken over."""
    others: Mapping[str, float | None] = field(default_factory=dict)
    """What else was learned of it, by name."""

    def row(self, objectives: Sequence[str]) -> pd.DataFrame:
        """What the front needs of it, as in `Store.trials`."""
        import pandas as pd

        known = {name: getattr(self, name) for name in ("trial", "hash", "state", "published", "seconds")}
        values = {**self.others, **self.cost.to_dict(), "accuracy": self.accuracy}
        names = dict.fromkeys(("accuracy", "parameters", "macs", *objectives))
        row = pd.DataFrame([{**known, **{name: values.get(name) for name in names}}])
        return row.astype(dict.fromkeys(learned(names), "float64"))


class Progress:
    """Told what happens in a search; shows nothing. Derive from it to show something else."""

    def begin(
        self,
        study: str,
        past: pd.DataFrame,
        objectives: Sequence[str],
        trials: int,
        deadline: float | None,
        measured_on: int | None = None,
    ) -> None:
        """A search starts, on top of the trials that the study already has.

        `deadline` is in `time.monotonic`; an accuracy is `measured_on` so many images.
        """

    def note(self, text: str) -> None:
        """Something the user should know."""

    def started(self, running: int) -> None:
        """A trial has started; so many run now."""

    def epoch(self, network: str, epoch: Epoch, epochs: int) -> None:
        """The trial of a network, by its hash, was measured after an epoch, of so many."""

    def finished(self, trial: EndedTrial, running: int) -> None:
        """A trial has ended; so many run now."""

    def paused(self, network: str, reason: str, waiting: int, running: int) -> None:
        """The trial of a network, by its hash, waits at a rung; so many wait, and so many run now."""

    def resumed(self, waiting: int) -> None:
        """A trial that has waited does not any more; so many do."""

    def end(self) -> None:
        """The search is over."""

    def of_trainings(self) -> TrainingProgress:
        """Who is told of the retrainings that follow: shows nothing but the notes."""
        return _Notes(self)


class _Notes(TrainingProgress):
    """Hands notes on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def note(self, text: str) -> None:
        self._progress.note(text)


class _Counting(Progress):
    """Keeps the counts and the front: what every trial changes must not grow with the trials."""

    def begin(
        self,
        study: str,
        past: pd.DataFrame,
        objectives: Sequence[str],
        trials: int,
        deadline: float | None,
        measured_on: int | None = None,
    ) -> None:
        self.study, self.objectives, self.trials, self.deadline = study, tuple(objectives), trials, deadline
        self.measured_on = measured_on
        self.front = pareto(past, self.objectives) if len(past) else past.head(0)
        self.counts = Counter(past["state"])
        self.running = self.waiting = 0
        self.under_way: dict[str, str] = {}
        """How far each network is that trains, by its hash."""
        self.cached = int(past["source"].notna().sum()) if "source" in past else 0
        self.began = time.monotonic()
        self.before = self.done

    def started(self, running: int) -> None:
        self.running = running

    def epoch(self, network: str, epoch: Epoch, epochs: int) -> None:
        found = [(OBJECTIVES[name], value) for name, value in epoch.found.items() if name in learned(self.objectives)]
        worth = [value_text(row, value) for row, value in found if value == value]
        self.under_way[network] = ", ".join([f"epoch {epoch.epoch} of {epochs}", *worth])

    def paused(self, network: str, reason: str, waiting: int, running: int) -> None:
        self.waiting, self.running = waiting, running
        self.under_way.pop(network, None)

    def resumed(self, waiting: int) -> None:
        self.waiting = waiting

    def finished(self, trial: EndedTrial, running: int) -> None:
        import pandas as pd

        row = trial.row(self.objectives)
        shared = [name for name in row.columns if name in self.front.columns]
        known = row if self.front.empty else pd.concat([self.front[shared], row[shared]], ignore_index=True)
        self.front = pareto(known, self.objectives)
        self.counts[trial.state] += 1
        self.running = running
        self.under_way.pop(trial.hash, None)
        self.cached += trial.source is not None

    @property
    def done(self) -> int:
        return self.counts.total() - self.counts["interrupted"]

    def time_left(self) -> float | None:
        """Seconds, from the pace so far and the deadline."""
        left = []
        if self.deadline is not None:
            left.append(self.deadline - time.monotonic())
        now = self.done - self.before
        if now > 0:
            left.append((time.monotonic() - self.began) / now * max(0, self.trials - self.done))
        return max(0.0, min(left)) if left else None

    def share(self) -> float:
        """How much of the search is over, from 0 to 1: of its trials, or of its time where that ends it."""
        if self.trials < UNTIL_TIME or self.deadline is None:
            return min(1.0, self.done / max(1, self.trials))
        return min(1.0, (time.monotonic() - self.began) / max(1e-9, self.deadline - self.began))

    def summary(self) -> str:
        """One line: done, running, failed, hypervolume, time left."""
        counts = self.counts
        failed = sum(counts[state] for state in ("failed", "diverged", "out_of_memory", "timed_out"))
        of = "" if self.trials >= UNTIL_TIME else f"/{max(self.trials, self.done)}"
        parts = [f"{self.done}{of} done", f"{self.running} running", f"{failed} failed"]
        if self.waiting:
            parts.append(f"{self.waiting} paused")
        if counts["untrained"]:
            parts.append(f"{counts['untrained']} untrained")
        if self.cached:
            parts.append(f"{self.cached} cached")
        if counts["complete"]:
            parts.append(f"hypervolume {hypervolume(self.front, self.objectives):.4f}")
        left = self.time_left()
        if left is not None:
            parts.append(f"about {duration(left)} left")
        return " · ".join(parts)


class Lines(_Counting):
    """One line per event, for logs and pipes."""

    def note(self, text: str) -> None:
        print(one_line(text), file=sys.stderr, flush=True)

    def paused(self, network: str, reason: str, waiting: int, running: int) -> None:
        super().paused(network, reason, waiting, running)
        self.note(f"network {network[:8]} is paused: {reason}  [{self.summary()}]")

    def finished(self, trial: EndedTrial, running: int) -> None:
        super().finished(trial, running)
        self.note(f"{describe(trial, self.measured_on)}  [{self.summary()}]")

    def of_trainings(self) -> TrainingProgress:
        return trainings.Lines()


class LiveView(_Counting):
    """A view that is redrawn in place, for terminals."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live: Live | None = None

    def begin(
        self,
        study: str,
        past: pd.DataFrame,
        objectives: Sequence[str],
        trials: int,
        deadline: float | None,
        measured_on: int | None = None,
    ) -> None:
        super().begin(study, past, objectives, trials, deadline, measured_on)
        from rich.live import Live

        self.live = Live(console=self.console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self.live.start()

    def note(self, text: str) -> None:
        self.console.print(text)

    def finished(self, trial: EndedTrial, running: int) -> None:
        super().finished(trial, running)
        if trial.state != "complete":
            self.note(describe(trial, self.measured_on))

    def end(self) -> None:
        if self.live is not None:
            self.live.stop()

    def of_trainings(self) -> TrainingProgress:
        return trainings.LiveView(self.console)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        elapsed = duration(time.monotonic() - self.began)
        bar = Padding(ProgressBar(total=1.0, completed=self.share(), width=60), 0)  # ends its line
        training = [f"training {network[:8]}: {state}" for network, state in self.under_way.items()]
        more = [f"and {len(training) - SHOWN_TRAINING} more"] if len(training) > SHOWN_TRAINING else []
        lines = [f"{self.summary()} · {elapsed} so far", *training[:SHOWN_TRAINING], *more]
        below = Group(bar, Text("\n".join(lines)))
        if self.front.empty:
            return below
        view = view_of(self.front, self.objectives, title=self.study, images=self.measured_on)
        return Group(front_table(view, f"{self.study} · front so far", last=SHOWN), below)


def describe(trial: EndedTrial, measured_on: int | None = None) -> str:
    """One line about a trial that has ended; its accuracy was `measured_on` so many images."""
    name = f" {trial.published}" if trial.published else ""
    line = (
        f"trial {trial.trial}{name}: {trial.state}, {_worth(trial, measured_on)}, {trial.cost.parameters:,} parameters"
    )
    return f"{line}: {trial.reason}" if trial.reason else line


def _worth(trial: EndedTrial, measured_on: int | None) -> str:
    """What a trial has learned: its accuracy, and what else was asked for, or what it has in the place of one."""
    accuracy = [] if trial.accuracy is None else [with_error(trial.accuracy, measured_on)]
    found = [(OBJECTIVES[name], trial.others.get(name)) for name in learned(OBJECTIVES) if name != "top5"]
    known = [f"{row.heading} {value_text(row, value)}" for row, value in found if value is not None]
    return ", ".join([*accuracy, *known]) or "no accuracy"


def duration(seconds: float) -> str:
    """Such as ``1 h 5 min``, ``3 min 20 s`` or ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
