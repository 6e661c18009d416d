"""Ray and Ray Tune for whoever trains many networks side by side: started, told how much each takes, and ended."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nas.errors import SearchError
from nas.execution.gpu_sharing import SHARED_BY, Gpu
from nas.execution.gpus import Note, find_gpu, wait_for_machines
from nas.execution.options import AUTO, RayOptions
from nas.execution.orphans import descendants, end_leftovers, forget, remember
from nas.execution.ray_messages import ray_messages
from nas.execution.stop import INTERRUPTED, Stop
from nas.system.temporary_folders import scratch_folder, sweep
from nas.text.log import is_detailed

if TYPE_CHECKING:
    from nas.config.block_files import OwnBlocks
    from nas.execution.job import J, JobSource, Trainings


REACH_SECONDS = 10.0
STOP_SECONDS = 15.0
MOST_PENDING = 200
START_ATTEMPTS = 4
TOO_SLOW = "timed out during startup"
"""What Ray says when its own processes take longer to start than it waits for them."""
RAY_SETTINGS = {"worker_niceness": 0}
"""Settings of a Ray of our own, whose workers are 15 nicer than others by default: beside anything else training stood still."""


@dataclass(frozen=True)
class Resources:
    """What a trial takes, and how many run at once."""

    cpus: float
    gpus: float
    concurrent: int
    gpu: Gpu | None = None
    """What trials share, where each says for itself how much it takes of one; None where all take `gpus`."""
    timed: bool = False
    """Whether one GPU is left out, on which networks are timed."""
    processes: frozenset[int] = frozenset()
    """Processes of a Ray that this process has started."""

    @property
    def device(self) -> str:
        """``cuda`` or ``cpu``."""
        return "cuda" if self.gpus else "cpu"


def run_jobs(
    source: JobSource[J],
    trainings: Trainings,
    resources: Resources,
    stop: Stop,
    *,
    threads: int | None = None,
    timeout: float | None = None,
    blocks: OwnBlocks | None = None,
) -> None:
    """Runs the jobs of `source` side by side, until it has no more or `stop` says that everything ends; see `Stop.check`.

    Each has so many `threads` (None: as many as CPUs) and, None aside, `timeout` seconds. The processes do one job after the
    other, and have the user's own `blocks`.
    """
    import ray
    from ray import tune

    from nas.execution import worker
    from nas.execution.ray_watch import watched
    from nas.execution.scheduler import EachStep, Scheduler, Starts
    from nas.execution.tune_searcher import JobSearcher

    searcher = JobSearcher(source, stop, timeout, resources.concurrent)
    trainable = tune.with_parameters(
        worker.Worker,
        trainings=trainings,
        blocks=blocks,
        threads=threads or max(1, int(resources.cpus)),
        device=resources.device,
        timeout=timeout,
        detailed=is_detailed(),
    )

    def request(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        bundle = {"CPU": resources.cpus, "GPU": config["slot"].gpus}
        return tune.PlacementGroupFactory([{name: amount for name, amount in bundle.items() if amount}])

    let_wait(resources.concurrent)
    with scratch_folder("search") as scratch:  # Tune insists on a folder; ours is the database
        tuner = tune.Tuner(
            tune.with_resources(trainable, request),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=Scheduler(searcher),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=str(scratch),
                verbose=0,
                stop=EachStep(stop, searcher),
                callbacks=[Starts(searcher)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            with watched(stop, resources.processes):
                tuner.fit()
        except ray.exceptions.RayError as problem:
            if stop.problem is not None:
                raise stop.problem from problem
            reason = str(problem).strip().splitlines()[0]
            raise SearchError(f"Ray stopped the run: {reason}; run the same command again to resume") from problem
        finally:
            searcher.close()


def let_wait(trials: int) -> None:
    """Tune may start processes for so many trials at a time. Before Ray 2.60 it asked for one after the other."""
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(1, min(trials, MOST_PENDING)))


@contextmanager
def ray_session(options: RayOptions, note: Note = lambda text: None) -> Iterator[Resources]:
    """A local Ray, or the cluster at `--ray-address`; and what a trial may take of it. `note` hears what is waited for."""
    # What Tune writes beside the database costs more than a small trial does: see benchmarks/turnover.py.
    os.environ.update(
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_GLOBAL_CHECKPOINT_S="100000000",
        TUNE_PRINT_ALL_TRIAL_ERRORS="0",
        TUNE_DISABLE_SIGINT_HANDLER="1",
        TUNE_DISABLE_STRICT_METRIC_CHECKING="1",
        TUNE_FORCE_TRIAL_CLEANUP_S="1",
        TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S="0",
        RAY_AIR_NEW_OUTPUT="0",
        RAY_DEDUP_LOGS="1",
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with ray_messages(), _session(options, note) as resources:
        yield resources


@contextmanager
def _session(options: RayOptions, note: Note) -> Iterator[Resources]:
    """The same, whoever hears what Ray says."""
    import ray

    ours = not ray.is_initialized()
    before, note_of_ours, processes = descendants(os.getpid()), None, frozenset[int]()
    sweep()
    if ours:
        end_leftovers()
        if options.ray_address is not None:
            check_reachable(options.ray_address)
        try:
            context = _started(options, note)
        except (
            Exception
        ) as problem:  # whatever a machine can lack: a folder, a file limit, a port; Ray raises bare ones
            reason = str(problem).strip().splitlines()[0]
            if options.ray_address is not None and "RAY_AUTH_MODE" not in os.environ:
                # Ray sends a token of its own accord to the address auto only, and does not say what it missed.
                reason += "; if the cluster asks for a token (`ray start` says so), set RAY_AUTH_MODE=token"
            if options.ray_address is None:
                raise SearchError(f"Ray cannot be started on this machine: {reason}") from None
            raise SearchError(f"Ray at {options.ray_address} cannot be reached: {reason}") from None
        if options.ray_address is None:
            processes = frozenset(descendants(os.getpid()) - before)
            note_of_ours = remember(processes, context.address_info.get("session_dir"))
    try:
        yield replace(_resources(options, _available(options, note), note), processes=processes)
    finally:
        if ours:
            ray.shutdown()
    if note_of_ours is not None:  # of a run that failed, Ray's logs stay until a later start
        forget(note_of_ours)


def _started(options: RayOptions, note: Note) -> Any:
    """What `ray.init` returns. A Ray of our own gives itself half a minute, too little on a busy machine: it is tried again."""
    import ray

    attempts_left = START_ATTEMPTS
    while True:
        before = descendants(os.getpid())
        try:
            return ray.init(
                # "local": without it Ray joins whatever cluster runs on this machine, and dies with it.
                address=options.ray_address or "local",
                include_dashboard=None if options.ray_address else False,
                configure_logging=not is_detailed(),
                logging_level=logging.ERROR,
                log_to_driver=is_detailed(),
                _system_config=None if options.ray_address else RAY_SETTINGS,
            )
        except Exception as problem:
            ray.shutdown()
            for process in descendants(os.getpid()) - before:
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)
            attempts_left -= 1
            if options.ray_address is not None or TOO_SLOW not in str(problem) or not attempts_left:
                raise
            note("Ray did not start in time, which it does not on a busy machine; it is tried once more")


def check_reachable(address: str) -> None:
    """Raises SearchError when nothing answers at `address`: Ray itself would try for minutes, and print pages."""
    import ray.util

    if address.startswith("ray://"):
        raise SearchError(
            f"Ray at {address}: Ray Client would run the search in another process than the one that writes to the database; "
            "run nas on a machine of the cluster (`ray job submit` does) with --ray-address auto, or name HOST:6379"
        )
    host, _, port = address.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port):
        return  # auto, or a way of writing that only Ray knows
    hosts = [host.strip("[]")]
    if hosts[0] in ("localhost", "127.0.0.1", "::1"):
        hosts.append(ray.util.get_node_ip_address())  # what Ray makes of them
    problems = []
    for name in hosts:
        try:
            socket.create_connection((name, int(port)), timeout=REACH_SECONDS).close()
        except (OSError, OverflowError, UnicodeError) as problem:  # UnicodeError: no name of a host
            problems.append(getattr(problem, "strerror", None) or str(problem))
        else:
            return
    raise SearchError(f"Ray at {address} cannot be reached: {problems[0]}")


def _available(options: RayOptions, note: Note) -> dict[str, float]:
    """The CPUs and GPUs of Ray; those of a cluster are waited for, which may still be starting."""
    import ray

    if options.ray_address is None:
        available: dict[str, float] = ray.cluster_resources()
        return available
    shared = options.gpus_per_trial == AUTO and options.device != "cpu"
    return wait_for_machines(options.cpus_per_trial, 1.0 if shared else options.least_gpus, note)


def _resources(options: RayOptions, available: dict[str, float], note: Note = lambda text: None) -> Resources:
    """What one trial takes and how many run at once. Raises SearchError for what would wait or fail for ever."""
    cpus, gpus = available.get("CPU", 0.0), available.get("GPU", 0.0)
    given = options.gpus_per_trial
    gpu = options.least_gpus
    if options.device == "auto" and (given is None or given == AUTO):
        gpu = 1.0 if gpus >= 1 else 0.0
    for name, wanted, there in (("cpus", options.cpus_per_trial, cpus), ("gpus", gpu, gpus)):
        if wanted > there:
            raise SearchError(f"{name}_per_trial: {wanted:g} wanted, but Ray has {there:g}")
    timed = bool(options.timed and gpu)
    if timed and gpus < 2:
        raise SearchError(
            "probes on cuda: the only GPU of Ray is the one on which trials train, and what is timed beside them says little; "
            "use --probe-device cpu, --device cpu for the trials, or a second GPU"
        )
    gpus -= timed
    fits = int(cpus // options.cpus_per_trial)
    device = find_gpu(note) if gpu else None
    if gpu and given == AUTO:
        fits = min(fits, int(gpus) * max(SHARED_BY))
    elif gpu:
        # 1e-9: three trials of 0.333 share a device, whatever the last digit says
        fits = min(fits, math.floor(gpus / gpu + 1e-9))
    wanted_at_once = options.max_concurrent or fits
    if options.ray_address is None:  # a cluster may grow when more trials wait than it has room for
        wanted_at_once = min(wanted_at_once, max(1, fits))
    shared = device if given == AUTO else None
    return Resources(options.cpus_per_trial, gpu, max(1, wanted_at_once), shared, timed)


@contextmanager
def stoppable(run: Stop) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the run in good order; a second Ctrl-C ends it at once.

    A SIGTERM that reached the processes of Ray too, as that of a batch system does, leaves nobody to answer: Ray would wait
    for itself for a minute, and print pages. Such a run is left after `STOP_SECONDS`, as if it had been killed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, ended = threading.Event(), threading.Event()

    def leave_in_time() -> None:
        told.wait()
        if not ended.wait(STOP_SECONDS):
            print(
                "interrupted; Ray did not end in time: run the same command again to resume",
                file=sys.stderr,
                flush=True,
            )
            os._exit(130)

    def stop(number: int, frame: object) -> None:
        if run.reason == INTERRUPTED:
            raise KeyboardInterrupt
        run.reason = INTERRUPTED
        told.set()

    threading.Thread(target=leave_in_time, daemon=True).start()
    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it goes on
        ends.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in ends}
    try:
        yield
    finally:
        ended.set()
        told.set()
        for number, handler in before.items():
            signal.signal(number, handler)
