"""The whole step of a training, recorded once and replayed: what a GPU computes in 1 ms a CPU may take 10 to launch.

A recorded step works on tensors that stay where they are: each batch, its labels, their shares in mixed images and the learning
rates are copied there, and the weights are the network's own. Everything is recorded but what follows a step in its training:
averages of weights, sums over an epoch. The first steps are taken as always, on the stream on which it is recorded, so that nothing
has to be undone. Where a step cannot be recorded the training goes on without, from where it was, and says why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from nas.train.generators import drawn_from, generators, set_generators
from nas.train.mixup import Targets
from nas.train.step import Step

T = TypeVar("T")

REHEARSALS = 3
"""Steps before one is recorded: PyTorch makes the state of the optimizer and opens its libraries in them."""


class Recorder(ABC):
    """Records what a device computes; a CUDA graph, or its stand-in where there is none."""

    @abstractmethod
    def rehearse(self, action: Callable[[], T]) -> tuple[T, str | None]:
        """Runs what will be recorded where it will be; its result, and what of it could not be recorded, if anything."""

    @abstractmethod
    def record(self, action: Callable[[], object]) -> Callable[[], object]:
        """Takes note of what `action` computes, and computes nothing. What it returns computes that on the same tensors.

        Raises what PyTorch makes of an action that cannot be recorded.
        """

    @abstractmethod
    def close(self) -> None:
        """Forgets what was recorded, and gives its memory back. Never raises."""


class Captured:
    """Takes the steps of a training: as `step` does, to the bit, and from a `recorder` once they are recorded.

    A batch that is not of `batch_size` images is trained on without. `reason`: why nothing is recorded, None where that is tried.
    """

    def __init__(
        self, step: Step, batch_size: int, recorder: Recorder | None = None, reason: str | None = None
    ) -> None:
        self.step, self.batch_size, self.recorder, self.reason = step, batch_size, recorder, reason
        self._rehearsed = 0
        self._places: _Places | None = None
        self._replay: Callable[[], object] | None = None

    @property
    def replays(self) -> bool:
        """Whether a step is recorded."""
        return self._replay is not None

    def __call__(self, x: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """The mean loss and how many images are right, which the next call may overwrite."""
        if self.recorder is None or self.reason is not None:
            return self.step(x, targets)
        if len(x) != self.batch_size:
            return self._other_size(x, targets)
        if self._places is None:
            return self._rehearse(self.recorder, x, targets)
        places = self._places
        places.fill(x, targets, self.step.optimizer.param_groups)
        if self._replay is not None:
            self._replay()
            return places.loss, places.right
        reason = self._first(self.recorder, places)
        if reason is None:
            return places.loss, places.right
        self.give_up(reason)
        return self.step(x, targets)

    def give_up(self, reason: str) -> bool:
        """Gives the memory back and takes all further steps as `step` does. Returns whether there was a step to give back."""
        replayed = self.replays
        self.reason = self.reason or reason
        self.forget()
        return replayed

    def forget(self) -> None:
        """Gives the memory back: tensors have been replaced, as those of an optimizer are that goes on from a checkpoint."""
        self._rehearsed, self._places, self._replay = 0, None, None
        if self.recorder is not None:
            self.recorder.close()

    def _rehearse(self, recorder: Recorder, x: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        cpu = torch.device("cpu")
        before = generators(cpu)
        (loss, right), reason = recorder.rehearse(lambda: self.step(x, targets))
        self._rehearsed += 1
        if self._rehearsed == REHEARSALS:  # the first ones wait for libraries that are opened
            drawn = drawn_from(before, generators(cpu), self.step.device)
            if drawn:
                reason = f"the step draws from {' and '.join(drawn)}"
            if reason is not None:
                self.give_up(reason)
            else:
                self._places = _Places(x, targets, loss, right, self.step.optimizer.param_groups)
        return loss, right

    def _first(self, recorder: Recorder, places: _Places) -> str | None:
        """Records the step, and takes it; or takes none, and gives the reason.

        What stands in Python alone stays in a recorded step what it was, such as a count of a block of a user's own. Then the first
        loss is mostly another one than that of the network itself.
        """
        before = _Before(self._tensors(), self.step.device)
        reason = None

        def action() -> None:
            loss, right = self.step(places.x, places.targets)
            places.loss.copy_(loss)
            places.right.copy_(right)

        try:
            expected, _ = recorder.rehearse(lambda: self.step.forward(places.x, places.targets)[1].detach())
            before.restore()
            with _tensors_as_rates(self.step.optimizer, places.rates):
                replay = recorder.record(action)
            replay()
            if not torch.equal(expected, places.loss) and not bool((expected.isnan() & places.loss.isnan()).all()):
                reason = "the recorded step gives another loss than the network"
        except Exception as problem:  # whatever a network can do
            line = (str(problem).strip().splitlines() or [""])[0][:200]
            reason = f"the step cannot be recorded ({type(problem).__name__}: {line})"
        self.step.optimizer.zero_grad(set_to_none=True)  # gradients lie in the memory of the record
        if reason is None:
            self._replay = replay
        else:
            before.restore()
        return reason

    def _other_size(self, x: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """A step on a batch of another size; what it needs for its maps is not in the memory of the recorded one."""
        if not self.replays:
            return self.step(x, targets)
        before = _Before(self.step.model.buffers(), self.step.device)
        try:
            return self.step(x, targets)
        except torch.OutOfMemoryError:
            self.give_up("no memory for the last batch of an epoch beside the recorded step")
        before.restore()
        return self.step(x, targets)

    def _tensors(self) -> Iterator[Tensor]:
        """All that a step changes."""
        yield from self.step.model.parameters()
        yield from self.step.model.buffers()
        for state in self.step.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


class _Places:
    """The tensors that stay where they are: a batch, its targets, its loss, how many are right, learning rates."""

    def __init__(
        self, x: Tensor, targets: Targets, loss: Tensor, right: Tensor, groups: Sequence[Mapping[str, Any]]
    ) -> None:
        self.x, self.loss, self.right = torch.empty_like(x), torch.empty_like(loss), torch.empty_like(right)
        y = torch.empty_like(targets.y)
        self.targets = Targets(y)
        if targets.other is not None:
            share, rest = torch.ones((), device=x.device), torch.zeros((), device=x.device)
            self.targets = Targets(y, torch.empty_like(y), share, rest)
        # A GPU's optimizers read float32, and `Trainer` has rounded the rate to it; a CPU's read float64.
        dtype = torch.float32 if x.device.type == "cuda" else torch.float64
        self.rates = [torch.zeros((), dtype=dtype, device=x.device) for _ in groups]
        self._filled = [0.0 for _ in groups]

    def fill(self, x: Tensor, targets: Targets, groups: Sequence[Mapping[str, Any]]) -> None:
        """Copies a batch, and the learning rates of the groups of an optimizer that have changed."""
        ours = self.targets
        self.x.copy_(x)
        ours.y.copy_(targets.y)
        if ours.other is not None:
            assert targets.other is not None
            assert isinstance(ours.share, Tensor)
            assert isinstance(ours.rest, Tensor)
            ours.other.copy_(targets.other)
            ours.share.fill_(targets.share)
            ours.rest.fill_(targets.rest)
        for place, group in enumerate(groups):
            if group["lr"] != self._filled[place]:
                self.rates[place].fill_(group["lr"])
                self._filled[place] = group["lr"]


class _Before:
    """Tensors and generators as they were."""

    def __init__(self, tensors: Iterable[Tensor], device: torch.device) -> None:
        self._tensors = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self._device, self._generators = device, generators(device)

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, value in self._tensors:
            tensor.copy_(value)
        set_generators(self._generators, self._device)


@contextmanager
def _tensors_as_rates(optimizer: torch.optim.Optimizer, rates: list[Tensor]) -> Iterator[None]:
    """The learning rate of each group is a tensor, which is read when a recorded step is replayed, and not when it is recorded."""
    names = [name for name in ("lr", "capturable") if name in optimizer.defaults]
    before: list[dict[str, Any]] = [{name: group[name] for name in names} for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
        if "capturable" in names:
            group["capturable"] = True
    try:
        yield
    finally:
        for group, values in zip(optimizer.param_groups, before, strict=True):
            group.update(values)
