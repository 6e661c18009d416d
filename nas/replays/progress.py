"""What a user sees while networks train: a bar that is redrawn in a terminal, a line per epoch elsewhere, or nothing."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from nas.objectives import BALANCED_ACCURACY
from nas.text.formatting import counted, metric_text, words
from nas.text.log import LOG
from nas.text.sanitize import one_line
from nas.train import Epoch

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


MOST_LINES = 60
"""Most lines of one training: small sets of images are trained in hundreds of short epochs."""


class Progress:
    """Told what happens to trainings, several of which may run at once; shows nothing. The views below derive from it."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def begin(self, name: str, epochs: int, done: int) -> None:
        """A training of so many epochs starts, of which some were done before."""
        if done:
            self.note(f"{name}: resumes after epoch {done} of {epochs}")

    def epoch(self, name: str, epoch: Epoch) -> None:
        """An epoch of it is over."""

    def end(self, name: str) -> None:
        """It is over, or given up."""


class Lines(Progress):
    """One line per epoch on stderr, for logs and pipes."""

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}

    def note(self, text: str) -> None:
        """Prints it."""
        print(one_line(text), file=sys.stderr, flush=True)

    def begin(self, name: str, epochs: int, done: int) -> None:
        """Says after which epoch an interrupted training resumes."""
        super().begin(name, epochs, done)
        self.epochs[name] = epochs

    def epoch(self, name: str, epoch: Epoch) -> None:
        """Prints its line, of a long training every so many epochs."""
        if epoch.epoch % math.ceil(self.epochs[name] / MOST_LINES) and epoch.epoch < self.epochs[name]:
            return
        self.note(f"{name}: epoch {epoch.epoch}/{self.epochs[name]}, {describe(epoch)}")


class LiveView(Progress):
    """A bar for each training, with the time that is left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: Bar | None = None
        self.tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """Prints it above the bars."""
        self.console.print(text)

    def begin(self, name: str, epochs: int, done: int) -> None:
        """Shows its bar."""
        super().begin(name, epochs, done)
        if self.bars is None:
            self.bars = self._start()
        self.tasks[name] = self.bars.add_task(one_line(name), total=epochs, completed=done, latest="first epoch")

    def epoch(self, name: str, epoch: Epoch) -> None:
        """Moves its bar."""
        if self.bars is not None:
            self.bars.update(self.tasks[name], completed=epoch.epoch, latest=describe(epoch))

    def end(self, name: str) -> None:
        """Takes its bar away."""
        if self.bars is None or name not in self.tasks:
            return
        self.bars.remove_task(self.tasks.pop(name))
        if not self.tasks:
            self.bars.stop()
            self.bars = None

    def _start(self) -> Bar:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        bars = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[latest]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        bars.start()
        return bars


class Relay(Progress):
    """Hands everything on to `shown`. Derive from it to do something besides."""

    def __init__(self, shown: Progress) -> None:
        self.shown = shown

    def note(self, text: str) -> None:
        """As `Progress.note`."""
        self.shown.note(text)

    def begin(self, name: str, epochs: int, done: int) -> None:
        """As `Progress.begin`."""
        self.shown.begin(name, epochs, done)

    def epoch(self, name: str, epoch: Epoch) -> None:
        """As `Progress.epoch`."""
        self.shown.epoch(name, epoch)

    def end(self, name: str) -> None:
        """As `Progress.end`."""
        self.shown.end(name)


class Logged(Relay):
    """Tells the log of the run what people see of trainings."""

    def note(self, text: str) -> None:
        """As `Progress.note`."""
        LOG.info("%s", text)
        super().note(text)

    def begin(self, name: str, epochs: int, done: int) -> None:
        """As `Progress.begin`."""
        LOG.info("%s: begins%s", name, f" after epoch {done} of {epochs}" if done else f", {counted(epochs, 'epoch')}")
        super().begin(name, epochs, done)

    def epoch(self, name: str, epoch: Epoch) -> None:
        """As `Progress.epoch`."""
        LOG.info("%s: epoch %d, %s", name, epoch.epoch, describe(epoch))
        super().epoch(name, epoch)

    def end(self, name: str) -> None:
        """As `Progress.end`."""
        LOG.info("%s: over", name)
        super().end(name)


def describe(epoch: Epoch) -> str:
    """``loss 1.234, training accuracy 56.7 %, 1,234 images/s``, with what was measured on validation images, where some are."""
    text = f"loss {epoch.train_loss:.3f}, training accuracy {epoch.train_accuracy:.1%}"
    if math.isfinite(epoch.accuracy):
        text += f", validation {epoch.accuracy:.1%}"
    others = [name for name, value in epoch.others.items() if math.isfinite(value) and name != BALANCED_ACCURACY.name]
    text += "".join(f", {words(name)} {metric_text(name, epoch.others[name])}" for name in others)
    return f"{text}, {epoch.images_per_second:,.0f} images/s"
