"""Real images, end to end: what one search finds on a folder of photos, against a plain residual network and random search.

    python benchmarks/photos.py --archive CIFAR10.zip [--sets four-1000,ten-5000] [--seeds 0,1] [--limit 100k]
    python benchmarks/photos.py --archive CIFAR10.zip --classes cat,dog,ship --images 300,150,80 --seeds 3

The archive holds CIFAR-10 as train/<class>/*.jpg and test/<class>/*.jpg. Of each set and seed:

plain   ResNet-8 and ResNet-20, as wide as the limit of parameters allows, trained on all training images in 1,000, 2,000 and
        4,000 steps of 32, with two seeds each (benchmarks/_plain.py). The best mean on the *test* images is the
        reference: a choice that favours it, since nothing else here is chosen by test images.
found   `nas search --retrain` under the limit, and the test accuracy of the weights that it ends with: all of it may take
        20 times the processor time of a plain training of 1,000 steps, which is measured right before and after. Then
        plain networks of at most the found one's parameters.
random  the same with `--sampler random`.

Each finished part is a line of --results; a part that stands there is not done again, and a search that was killed goes on.
Measure another state of nas under another --label: trainings of plain networks are shared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent))
import _plain
from _common import environment_line
from _photo_search import REPOSITORY, Budget, Failed, find_network
from _photo_sets import SETS, Case, PhotoSet, draw
from _photo_table import part_found, part_plain, table

PACE_STEPS = 100


def say(text: str) -> None:
    """One line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Results:
    """Finished parts, one JSON object a line; a line that a kill cut short is left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        for line in text.splitlines():
            try:
                self.rows.append(json.loads(line))
            except json.JSONDecodeError:
                say(f"{path}: a line is cut short and left out")
        if text and not text.endswith("\n"):
            with path.open("a") as file:
                file.write("\n")

    def find(self, part: dict[str, Any]) -> dict[str, Any] | None:
        """The result of a part, None when it is not done."""
        return next((row for row in self.rows if all(row.get(key) == value for key, value in part.items())), None)

    def add(self, part: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Writes the result of a part at once."""
        row = {**part, **result}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        return row


@cache
def images(folder: Path) -> _plain.Images:
    """The images of a set in memory."""
    return _plain.read(folder)


def train_plain(case: Case, network: str, width: int, steps: int, seed: int, results: Results) -> dict[str, Any]:
    """One training of a plain network, unless it is done."""
    part = part_plain(case, network, width, steps, seed)
    if (done := results.find(part)) is not None:
        return done
    what = f"{case.title}: {network}, width {width}, {steps:,} steps, seed {seed}"
    say(what)
    trained = _plain.train(
        images(case.folder), _plain.NETWORKS[network], width, steps, seed, lambda text: say(f"{what}: {text}")
    )
    say(f"{what}: {trained.accuracy:.1%} of the test images, {trained.core_seconds:.0f} core seconds")
    return results.add(part, {**asdict(trained), "macs": macs(network, width, len(case.photos.classes))})


def macs(network: str, width: int, classes: int) -> int:
    """Multiply-accumulates of a plain network for one image of 32×32 pixels."""
    model = _plain.resnet(_plain.NETWORKS[network], width, classes).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, 32, 32))
    return int(counter.get_total_flops()) // 2


def pace(case: Case, limit: float) -> float:
    """Core seconds of 1,000 steps of the plain ResNet-8 at the limit, from a few steps on this machine now."""
    blocks = _plain.NETWORKS["resnet8"]
    width = _plain.widest(blocks, len(case.photos.classes), limit)
    trained = _plain.train(images(case.folder), blocks, width, PACE_STEPS, 0)
    return trained.core_seconds / PACE_STEPS * 1_000


def find(case: Case, sampler: str, options: argparse.Namespace, results: Results) -> dict[str, Any]:
    """A search with its retraining, unless it is done."""
    part = part_found(case, sampler, options)
    if (done := results.find(part)) is not None:
        return done
    before = pace(case, options.limit)
    budget = Budget(options.budget * before, options.budget * before * options.search_share)
    say(
        f"{case.title}: {sampler} search, {budget.core_seconds:,.0f} core seconds: {options.budget:g} times "
        f"1,000 plain steps of {before:.0f} seconds"
    )
    digest = hashlib.sha256(json.dumps(part).encode()).hexdigest()[:8]
    work = options.work / f"{options.label}-{case.photos.name}-{case.seed}-{sampler}-{digest}"
    start, version = time.monotonic(), commit()
    found = find_network(case, sampler, budget, work, options, say)
    plain = statistics.mean([before, pace(case, options.limit)])
    say(
        f"{case.title}: {sampler} search: {found['accuracy']:.1%} of the test images, {found['parameters']:,} parameters"
    )
    facts = {"plain_core_seconds": plain, "wall_seconds": time.monotonic() - start, "commit": version}
    if commit() != version:
        say(f"{case.title}: the checkout changed from {version} to {commit()} under the search; measure a copy of it")
    return results.add(part, {**found, **facts})


def commit() -> str:
    """Of the checkout that is measured; empty outside of one."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def run(cases: list[Case], options: argparse.Namespace, results: Results) -> int:
    """Does all parts that are not done, short trainings first. Returns how many searches gave no result."""
    if "plain" in options.parts:
        trainings = [
            (case, training) for case in cases for training in _plain.trainings(len(case.photos.classes), options.limit)
        ]
        for case, training in sorted(trainings, key=lambda pair: pair[1][2]):
            train_plain(case, *training, results)
    failed = 0
    for case in cases:
        for sampler, part in (("pareto", "found"), ("random", "random")):
            if part not in options.parts:
                continue
            try:
                found = find(case, sampler, options, results)
            except Failed as problem:
                say(f"{case.title}: {problem}")
                failed += 1
                continue
            if part == "found":
                for training in _plain.trainings(len(case.photos.classes), found["parameters"]):
                    train_plain(case, *training, results)
    return failed


def number(text: str) -> float:
    """Of ``100k`` or ``1.5M``."""
    factor = {"k": 1e3, "m": 1e6}.get(text[-1:].lower(), 1.0)
    return float(text if factor == 1.0 else text[:-1]) * factor


def chosen_sets(options: argparse.Namespace) -> list[PhotoSet]:
    """The sets that the options name. Raises ValueError."""
    if options.classes:
        classes = tuple(options.classes.split(","))
        counts = tuple(int(count) for count in options.images.split(","))
        counts = counts * len(classes) if len(counts) == 1 else counts
        return [PhotoSet("own", classes, counts, options.test_images)]
    unknown = set(options.sets.split(",")) - set(SETS)
    if unknown:
        raise ValueError(f"no set {', '.join(sorted(unknown))}; known: {', '.join(SETS)}")
    named = [SETS[name] for name in options.sets.split(",")]
    return [PhotoSet(photos.name, photos.classes, photos.images, options.test_images) for photos in named]


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="zip of CIFAR-10 images; a set that was drawn needs none")
    parser.add_argument("--sets", default=",".join(SETS), help=f"of {', '.join(SETS)}; all of them by default")
    parser.add_argument("--classes", help="another set: its classes, with commas")
    parser.add_argument(
        "--images", default="250", help="training images of each class of --classes, or one number for all"
    )
    parser.add_argument("--test-images", type=int, default=500, help="test images of every class")
    parser.add_argument("--seeds", default="0", help="seeds of the drawing and of the search, with commas")
    parser.add_argument("--limit", type=number, default=100_000.0, help="most parameters, such as 100k")
    parser.add_argument("--parts", default="plain,found,random", help="some of plain, found, random")
    parser.add_argument("--budget", type=float, default=20.0, help="of a search, in plain trainings of 1,000 steps")
    parser.add_argument("--search-share", type=float, default=0.6, help="of the budget; the rest is for retraining")
    parser.add_argument("--max-concurrent", type=int, default=1, help="trials at once")
    parser.add_argument("--search-options", default="", help="more options of nas search, in one word")
    parser.add_argument(
        "--retrain", type=int, default=1, help="networks that are retrained, of which the final one is chosen"
    )
    parser.add_argument("--label", default="default", help="of the state of nas, or the options, that is measured")
    parser.add_argument("--results", type=Path, default=Path("runs/photos.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/photos"), help="folder of databases and logs")
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "nas-photos", help="folder of drawn images")
    parser.add_argument("--table", action="store_true", help="print the table of what is done, and do nothing")
    return parser


def main() -> None:
    """Does what is not done, and prints the table."""
    options = parser().parse_args()
    options.parts = options.parts.split(",")
    options.work, options.cache = options.work.resolve(), options.cache.resolve()
    torch.set_num_threads(1)
    results = Results(options.results)
    failed = 0
    try:
        sets = chosen_sets(options)
        seeds = [int(seed) for seed in options.seeds.split(",")]
        cases = [Case(photos, seed, photos.folder(options.cache, seed)) for seed in seeds for photos in sets]
        if not options.table:
            for case in cases:
                draw(case.photos, case.seed, options.archive, options.cache)
            failed = run(cases, options, results)
    except ValueError as problem:
        sys.exit(f"photos.py: {problem}")
    print(table(cases, options, results.find))
    print(f"\n{environment_line()}; one thread")
    if failed:
        sys.exit(f"photos.py: searches without a result: {failed}; see above")


if __name__ == "__main__":
    main()
