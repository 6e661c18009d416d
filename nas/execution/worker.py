"""The worker: a Ray Tune Trainable that does one job after the other in one process.

A fresh process imports PyTorch for seconds; a reused one starts a training in milliseconds. The data sets come once through
Ray's object store. An epoch is a step.
"""

from __future__ import annotations

from typing import Any

import torch
from ray import tune

from nas.config.block_files import OwnBlocks
from nas.execution.checkpoint import Ending
from nas.execution.job import Trainings
from nas.execution.report import REPORT, Retire
from nas.execution.runner import Runner
from nas.text.formatting import counted
from nas.text.log import LOG, show_details


class Worker(tune.Trainable):  # type: ignore[misc]
    """Trains what ``config["spec"]`` names; each step gives a `Report` as JSON."""

    def setup(
        self,
        config: dict[str, Any],
        trainings: Trainings,
        blocks: OwnBlocks | None,
        threads: int,
        device: str,
        timeout: float | None,
        detailed: bool = False,
    ) -> None:
        """Called once a process, with the first job. `detailed`: Ray brings what it prints to the log of the run."""
        if detailed:
            show_details()
        if blocks is not None:
            blocks.load()
        torch.set_num_threads(threads)  # trainings share a CPU; each takes what Ray gave it
        self.trainings = trainings
        LOG.debug("worker on %s with %s", device, counted(threads, "thread"))
        self.runner = Runner(torch.device(device), timeout)  # Ray shows a worker the GPUs that are its own
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called for every further job."""
        self.runner.assign(self.trainings(new_config["spec"], self.runner.device), new_config["slot"])
        return True

    def cleanup(self) -> None:
        """Called before the process ends or stops a job."""
        self.runner.close()

    def step(self) -> dict[str, Any]:
        """One report. Raises Retire with the last one of a job when this process is spent."""
        with Ending.on_sigterm(SystemExit):
            report = self.runner.step()
        text, over = report.to_json(), report.verdict is not None
        if over and self.runner.spent:
            raise Retire(text)
        return {REPORT: text, tune.result.DONE: over}
