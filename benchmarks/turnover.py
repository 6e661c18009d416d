"""Trials that do nothing but build a small model, 4 at a time: ours against Ray Tune out of the box with `OptunaSearch`.

    python benchmarks/turnover.py [--trials 40] [--more 80] [--json]

Theirs: a function trainable that imports torch and torchvision and builds a model, `OptunaSearch` on an SQLite storage, all
defaults (a fresh process for each trial). Ours: the driver of `nas search`, with its study database on SQLite. Each side runs
in a Python of its own; two lengths of run give what each further trial costs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line

THEIRS = """
import sys, time, optuna, ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch

def trial(config):
    import torch, torchvision
    layers = [torch.nn.Conv2d(3, config["width"], config["kernel"]), torch.nn.Linear(config["width"], 10)]
    model = torch.nn.Sequential(*layers)
    tune.report({"accuracy": 0.5, "parameters": sum(p.numel() for p in model.parameters())})

optuna.logging.set_verbosity(optuna.logging.ERROR)
ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
search = OptunaSearch(
    metric=["accuracy", "parameters"], mode=["max", "min"], storage=optuna.storages.RDBStorage("sqlite:///" + sys.argv[1] + "/o.db")
)
space = {"width": tune.choice([8, 16, 32, 64]), "kernel": tune.choice([1, 3, 5])}
tuner = tune.Tuner(
    trial,
    param_space=space,
    tune_config=tune.TuneConfig(search_alg=search, num_samples=int(sys.argv[2]), max_concurrent_trials=4),
    run_config=tune.RunConfig(storage_path=sys.argv[1], verbose=0),
)
start = time.perf_counter()
results = tuner.fit()
print(time.perf_counter() - start)
assert len(results) == int(sys.argv[2]) and not results.errors
"""

OURS = """
import sys, time, ray
import nas, nas.searches.trial_training as trials
from nas.execution.report import Begun
from nas.states import State
from nas.train import Epoch, Verdict

class BuildOnly(trials.TrialTraining):
    finished = False

    def begin(self):
        architecture = trials.Architecture.from_json(self.spec.architecture)
        self.model = trials.compile_model(architecture, self.dataset.input, self.dataset.classes)
        return Begun()

    def step(self):
        self.finished = True
        return Epoch(1, 1.0, 1.0, 0.5, 0.9, 0.0, 0.0, 0.1)

    def finish(self):
        return Verdict(State.COMPLETE), None

trials.TrialTraining = BuildOnly
ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
start = time.perf_counter()
result = nas.search(
    "nas_bench_macro", storage="sqlite:///" + sys.argv[1] + "/n.db", trials=int(sys.argv[2]), sampler="random",
    max_concurrent=4, image_size=32, seed_points="none",
)
print(time.perf_counter() - start)
assert result.states == {"complete": int(sys.argv[2])}, result.states
"""


def seconds(script: str, trials: int) -> float:
    """Seconds of one search in a Python of its own; the start of Python and of Ray is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", script, folder, str(trials)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return float(done.stdout.split()[-1])


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument(
        "--more", type=int, default=80, help="length of the second run, for the cost of a further trial"
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    few, many = arguments.trials, arguments.more
    rows: list[tuple[float, float, float, float]] = []
    for _ in range(arguments.rounds):
        rows.append((seconds(OURS, few), seconds(THEIRS, few), seconds(OURS, many), seconds(THEIRS, many)))
    ours, theirs, ours_many, theirs_many = (statistics.median(column) for column in zip(*rows, strict=True))
    each = ((ours_many - ours) / (many - few), (theirs_many - theirs) / (many - few))
    print(f"turnover: {few} trials that build a model, 4 at a time, median of {arguments.rounds} interleaved rounds")
    rows_shown = (
        (f"all {few}, from the call to its end", ours, theirs, 1),
        (f"each further trial (from {few} to {many})", *each, 3),
    )
    for what, a, b, digits in rows_shown:
        print(f"  {what:<44} ours {a:.{digits}f} s, theirs {b:.{digits}f} s, ratio {b / a:.1f}")
    print(f"  {environment_line()}")


if __name__ == "__main__":
    main()
