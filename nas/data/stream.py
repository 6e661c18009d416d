"""Images that have no room in memory, read in blocks from disk: in random order with a window in which they are shuffled.

One thread fills half of the window while the batches of the other half are taken out of it by a second, which on CUDA copies
them on a stream of its own. So disk, copies and training go on at the same time, and never more than the window is held.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from nas.data.stored import Places, StoredImages

AHEAD: Final = 2
"""Batches that are ready before they are wanted."""
POLL_SECONDS: Final = 0.1


def half_window(images: StoredImages) -> int:
    """Images that are shuffled among each other: whole blocks, and half of the window, because the next are read meanwhile."""
    half = max(1, images.window // 2)
    return max(1, half // images.block) * images.block


def block_order(images: StoredImages, generator: torch.Generator) -> Tensor:
    """(N,): blocks in random order; of every half of a window the images are shuffled.

    What is left over behind the last whole block comes with the last blocks.
    """
    block = images.block
    whole = len(images) // block
    starts = torch.randperm(whole, generator=generator) * block
    places = (starts[:, None] + torch.arange(block)).reshape(-1)
    places = torch.cat([places, torch.arange(whole * block, len(images))])
    sizes = range(0, len(places), half_window(images))
    halves = [places[start : start + half_window(images)] for start in sizes]
    return torch.cat([some[torch.randperm(len(some), generator=generator)] for some in halves])


def stream(
    images: StoredImages, order: Tensor, sizes: Sequence[int], device: torch.device
) -> Generator[Tensor, None, None]:
    """Bytes (B, C, H, W) of batches of these sizes, of the images at the places `order`, on the device."""
    ready: Ahead[Batch] = Ahead(lambda stopped: _batches(images, order, sizes, device, stopped), AHEAD)
    with closing(ready):
        for batch in ready:
            if batch.copied is not None:
                current = torch.cuda.current_stream(device)
                current.wait_event(batch.copied)
                batch.x.record_stream(current)  # its memory is not given to another batch before this stream is done
            yield batch.x


@dataclass(frozen=True)
class Batch:
    """A batch on its device, or on its way there."""

    x: Tensor
    copied: torch.cuda.Event | None = None
    """When it has arrived."""


def _batches(
    images: StoredImages, order: Tensor, sizes: Sequence[int], device: torch.device, stopped: threading.Event
) -> Generator[Batch, None, None]:
    is_cuda = device.type == "cuda"
    aside = torch.cuda.Stream(device) if is_cuda else None  # type: ignore[no-untyped-call]
    shape = images.shape[1:]
    places = order.numpy()
    # One half is read while the other is in the hands of this thread.
    halves: Ahead[Half] = Ahead(lambda end: _halves(images, places, end), 1, stopped)
    with closing(halves):
        coming = iter(halves)
        half: Half | None = None
        for size in sizes:
            x = torch.empty((size, *shape), dtype=torch.uint8, pin_memory=is_cuda)
            filled = 0
            while filled < size:
                if half is None or half.taken == len(half.places):
                    half = None  # its memory is free before the next is waited for
                    half = next(coming, None)
                    if half is None:
                        return
                some = half.places[half.taken : half.taken + size - filled]
                torch.index_select(half.x, 0, some, out=x[filled : filled + len(some)])
                half.taken += len(some)
                filled += len(some)
            if aside is None:
                yield Batch(x)
                continue
            with torch.cuda.stream(aside):
                copied = x.to(device, non_blocking=True)
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record(aside)
            yield Batch(copied, event)


@dataclass
class Half:
    """Half a window of images in memory."""

    x: Tensor
    """(n, C, H, W), in the order of the disk."""
    places: Tensor
    """Where in `x` each image of the order is."""
    taken: int = field(default=0)


def _halves(images: StoredImages, order: Places, stopped: threading.Event) -> Generator[Half, None, None]:
    """The images at these places, half a window at a time, each read in the order of the disk.

    Who takes a half is done with the one before: the two have the same memory in turn.
    """
    at_once = min(half_window(images), len(order))
    buffers = [torch.empty((at_once, *images.shape[1:]), dtype=torch.uint8) for _ in range(2)]
    for start in range(0, len(order), at_once):
        rows, places = np.unique(images.rows[order[start : start + at_once]], return_inverse=True)
        x = buffers[start // at_once % 2][: len(rows)]
        array = x.numpy()
        step = max(1, images.block * 8)
        for first in range(0, len(rows), step):  # so that an end in the middle is soon seen
            if stopped.is_set():
                return
            images.read_sorted(rows[first : first + step], array[first : first + step])
        yield Half(x, torch.from_numpy(places.reshape(-1)))


T = TypeVar("T")
Making = Callable[[threading.Event], Generator[T, None, None]]
"""Makes things one after the other, until the event is set."""


class Ahead(Generic[T]):
    """What a generator gives, made ahead by a thread; `close` ends it.

    `most` are made before they are wanted. `outer`: where this is set nobody waits any more. What the generator raises is raised
    here.
    """

    def __init__(self, make: Making[T], most: int, outer: threading.Event | None = None) -> None:
        self._outer = outer
        self._stopped = threading.Event()
        self._ready: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._wanted = threading.Semaphore(most)
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._work, args=(make,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        """Each as it is ready."""
        while (item := self._next()) is not None:
            self._wanted.release()
            yield item
            del item  # its memory is free before the next is waited for
        if self._problem is not None:
            raise self._problem

    def close(self) -> None:
        """Ends the thread, wherever it is."""
        self._stopped.set()
        self._wanted.release()
        self._thread.join()

    def _next(self) -> T | None:
        while self._outer is None or not self._outer.is_set():
            with suppress(queue.Empty):
                return self._ready.get(timeout=None if self._outer is None else POLL_SECONDS)
        return None

    def _work(self, make: Making[T]) -> None:
        try:
            with closing(make(self._stopped)) as items:
                while True:
                    self._wanted.acquire()
                    item = None if self._stopped.is_set() else next(items, None)
                    if item is None:
                        break
                    self._ready.put(item)
                    del item
        except BaseException as problem:
            self._problem = problem
        self._ready.put(None)
