"""Hundreds of workers of Ray Tune in one process, so that one machine can keep a driver as busy as a cluster does.

On the side of the driver everything is real: Tune's loop, a placement group for each worker, a remote call and its answer for each
report. Only what Tune takes for the handles of actors lead to one process, where each worker is an object that waits.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import ray
from ray.tune.execution import tune_controller

NICER = 0.25
"""Epochs of a training last between so much less and so much more than each other, so that workers do not report in step."""
UNLIKE = 0.5
"""The epochs of one training last between so much less and so much more than was said: networks are not equally large."""


class Workers:
    """The process of all workers: an actor of Ray whose methods run side by side."""

    def __init__(self, epoch_seconds: float) -> None:
        self.epoch_seconds = epoch_seconds
        self.workers: dict[int, Any] = {}
        self.answered: dict[int, float] = {}
        self.seconds: dict[int, float] = {}
        self.fresh: set[int] = set()
        self.waits: list[tuple[bool, float]] = []
        self.made = 0.0

    async def make(self, key: int, trainable: Any, kwargs: dict[str, Any]) -> None:
        """Starts one. Only what happens when all are there is remembered."""
        self.waits, self.made = [], time.perf_counter()
        self._begin(key)
        self.workers[key] = trainable(**kwargs)

    def _begin(self, key: int) -> None:
        self.fresh.add(key)
        self.seconds[key] = self.epoch_seconds * random.uniform(1 - UNLIKE, 1 + UNLIKE)

    async def call(self, key: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What one answers; that of `train` takes as long as an epoch."""
        if method == "reset":
            self._begin(key)
        if method == "train":
            answered = self.answered.pop(key, None)
            if answered is not None:
                self.waits.append((key in self.fresh, time.perf_counter() - answered))
            self.fresh.discard(key)
            await asyncio.sleep(self.seconds[key] * random.uniform(1 - NICER, 1 + NICER))
        answer = getattr(self.workers[key], method)(*args, **kwargs)
        if method == "train":
            self.answered[key] = time.perf_counter()
        return answer

    async def stop(self, key: int) -> None:
        """Ends one."""
        self.answered.pop(key, None)
        self.workers.pop(key).stop()

    async def waited(self) -> tuple[float, list[tuple[bool, float]]]:
        """When the last worker was made, and each time that one had nothing to do since: between a report and its next epoch.

        With whether that epoch was of another training, and the seconds.
        """
        return self.made, self.waits


class _Method:
    def __init__(self, workers: Any, key: int, name: str) -> None:
        self._workers, self._key, self._name = workers, key, name

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        if self._name == "stop":
            return self._workers.stop.remote(self._key)
        return self._workers.call.remote(self._key, self._name, args, kwargs)


class _Handle:
    """What Tune takes for an actor."""

    def __init__(self, workers: Any, key: int, made: Any) -> None:
        self._workers, self._key = workers, key
        self.__ray_ready__ = _Ready(made)

    def __getattr__(self, name: str) -> _Method:
        return _Method(self._workers, self._key, name)


class _Ready:
    def __init__(self, made: Any) -> None:
        self._made = made

    def remote(self) -> Any:
        return self._made


@contextmanager
def simulated(epoch_seconds: float) -> Iterator[Any]:
    """Inside, Tune's workers are simulated, and an epoch lasts so long. Gives the actor `Workers`."""
    workers = ray.remote(Workers).options(num_cpus=0, max_concurrency=4096).remote(epoch_seconds)
    keys = itertools.count()

    def handle(trainable: Any, kwargs: dict[str, Any]) -> _Handle:
        key = next(keys)
        return _Handle(workers, key, workers.make.remote(key, trainable, kwargs))

    def actor_class(self: object, trainable: Any) -> Any:
        made = object.__new__(ray.actor.ActorClass)
        shared = ray.put(trainable)
        made.options = lambda **options: made
        made.remote = lambda **kwargs: handle(shared, kwargs)
        return made

    def kill(actor: Any, **options: Any) -> None:
        if not isinstance(actor, _Handle):  # one that ends too slowly for Tune ends with the others
            kill_actor(actor, **options)

    real, kill_actor = tune_controller._ActorClassCache.get, ray.kill
    tune_controller._ActorClassCache.get, ray.kill = actor_class, kill
    try:
        yield workers
    finally:
        tune_controller._ActorClassCache.get, ray.kill = real, kill_actor
        ray.kill(workers)


@contextmanager
def far_away(port: int, seconds: float) -> Iterator[int]:
    """A port that leads to another one of this machine, there and back `seconds` later; in a process of its own."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_forward, args=(port, seconds, sender), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.terminate()
        process.join()


def _forward(port: int, seconds: float, sender: Any) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    sender.send(listening.getsockname()[1])
    while True:
        near, _ = listening.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_on, args=(one, other, seconds / 2), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, delay: float) -> None:
    while data := source.recv(1 << 16):
        time.sleep(delay)
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
