"""Image folders larger than a toy: first start, second start, images a second, memory; ours against torchvision's ImageFolder.

    python benchmarks/large_data.py [--files 10000] [--side 256] [--size 64] [--epochs 2] [--rounds 3] [--json]

Synthetic JPEG files of `--side` pixels become squares of `--size`, shifted, mirrored and normalized, in batches of 128. Theirs is
an `ImageFolder` with torchvision's transforms in a `DataLoader` with a worker for each core; ours decodes as a search does, in
as many processes, and keeps the result. Each measurement is a process of its own, with one thread, ours and theirs in turn; each
round begins with an empty cache. A start ends where the first epoch begins; statistics and fingerprint belong to it. The last
row reads ours in blocks, from a window of `--window`. Memory is what a process takes more than after its imports and a few batches
of an array; mapped files are in it, though all processes share them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

BATCH = 128
CLASSES = 10


def make_folder(root: Path, files: int, side: int) -> int:
    """Random images of ten classes, as detailed as photos. Returns their bytes on the disk."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    size = 0
    for label in range(CLASSES):
        folder = root / "train" / f"class{label}"
        folder.mkdir(parents=True)
        for place in range(files // CLASSES):
            coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
            path = folder / f"{place}.jpg"
            coarse.resize((side, side * 3 // 4), Image.Resampling.BICUBIC).save(path, quality=85)
            size += path.stat().st_size
    return size


def ours(root: Path, size: int, epochs: int, window: int | None) -> dict[str, Any]:
    """Seconds of start and of each epoch."""
    import torch

    from nas.config.recipe import Augment
    from nas.data import Batches, Task, load

    torch.set_num_threads(1)
    _warm_up(size)
    base = _peak()
    start = time.perf_counter()
    data = load(Task(f"imagefolder:{root}", validation=0.01, image_size=size, reduced=True, memory=window))
    assert data.fingerprint
    loaded = time.perf_counter() - start
    augment = Augment(crop_padding=size // 16, flip=True)
    batches = Batches(data.train, data, BATCH, augment=augment, shuffle=True)
    return {"load": loaded, "images": batches.images, "epochs": _passes(batches, epochs), "memory": _peak() - base}


def _warm_up(size: int) -> None:
    """A few batches, after which PyTorch has loaded what it needs."""
    import numpy as np

    from nas.config.recipe import Augment
    from nas.data import Batches, Dataset, Split, Task

    split = Split(np.zeros((4 * BATCH, 3, size, size), dtype=np.uint8), np.zeros(4 * BATCH, dtype=np.int64))
    some = Dataset(Task("imagefolder:"), split, split, ("a", "b"), (0.5,) * 3, (0.2,) * 3)
    _passes(Batches(split, some, BATCH, augment=Augment(crop_padding=size // 16, flip=True), shuffle=True), 1)


def theirs(root: Path, size: int, epochs: int, workers: int) -> dict[str, Any]:
    """The same of torchvision's."""
    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    base = _peak()
    start = time.perf_counter()
    transform = transforms.Compose(
        [
            transforms.Resize(size),
            transforms.CenterCrop(size),
            transforms.RandomCrop(size, padding=size // 16),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        ]
    )
    data = datasets.ImageFolder(str(root / "train"), transform)
    loader = torch.utils.data.DataLoader(
        data, BATCH, shuffle=True, num_workers=workers, persistent_workers=True, prefetch_factor=4
    )
    loaded = time.perf_counter() - start
    epoch_seconds = _passes(loader, epochs)
    of_workers = sum(_private(pid) for pid in _children())
    return {"load": loaded, "images": len(data), "epochs": epoch_seconds, "memory": _peak() - base + of_workers}


def _passes(batches: Any, epochs: int) -> list[float]:
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        for x, _y in batches:
            assert x.dtype.is_floating_point
        seconds.append(time.perf_counter() - start)
    return seconds


def _peak() -> int:
    """Most bytes of this process at any time."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _private(pid: int) -> int:
    """Bytes that are a process's own: mapped files and what it shares since it was forked not counted."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private"))


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in text.split()]


def measure(what: str, root: Path, cache: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs one of the two in a process of its own. Its start, imports included, counts too."""
    command = [sys.executable, __file__, "--run", what, "--root", str(root), "--size", str(arguments.size)]
    command += ["--epochs", str(arguments.epochs), "--window", str(arguments.window)]
    environment = {**os.environ, "NAS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {**found, "process": time.perf_counter() - start}


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=256, help="pixels of a file's longer side, such as 256 or 1600")
    parser.add_argument("--size", type=int, default=64, help="pixels that they are made squares of")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, default=32 << 20, help="bytes of memory of the row that reads blocks")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    if arguments.run:
        window = arguments.window if arguments.run == "blocks" else None
        if arguments.run == "theirs":
            found = theirs(arguments.root, arguments.size, arguments.epochs, workers)
        else:
            found = ours(arguments.root, arguments.size, arguments.epochs, window)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "photos", Path(folder) / "cache"
        size = make_folder(root, arguments.files, arguments.side)
        runs: dict[str, list[dict[str, Any]]] = {"first": [], "theirs": [], "second": [], "blocks": []}
        for _ in range(arguments.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            for name, what in (("first", "ours"), ("theirs", "theirs"), ("second", "ours"), ("blocks", "blocks")):
                runs[name].append(measure(what, root, cache, arguments))
    _report(runs, arguments, size, workers)


def _report(runs: dict[str, list[dict[str, Any]]], arguments: argparse.Namespace, size: int, workers: int) -> None:
    from _common import environment_line

    def median(name: str, value: Any) -> float:
        return statistics.median(value(run) for run in runs[name])

    def first_pass(run: dict[str, Any]) -> float:
        return float(run["images"] / (run["load"] + run["epochs"][0]))

    def later(run: dict[str, Any]) -> float:
        return float(statistics.median(run["images"] / seconds for seconds in run["epochs"][1:]))

    rows = {
        name: {
            "start (s)": median(name, lambda run: run["load"]),
            "first epoch, start included (images/s)": median(name, first_pass),
            "later epochs (images/s)": median(name, later),
            "memory (MiB)": median(name, lambda run: run["memory"]) / 2**20,
        }
        for name in runs
    }
    pairs = {
        "first epoch, ours / theirs": ("first", first_pass),
        "first epoch of a second start, ours / theirs": ("second", first_pass),
        "later epochs, ours / theirs": ("second", later),
        "later epochs in blocks, ours / theirs": ("blocks", later),
    }
    ratios = {
        text: statistics.median(value(a) / value(b) for a, b in zip(runs[name], runs["theirs"], strict=True))
        for text, (name, value) in pairs.items()
    }
    note = (
        f"{arguments.files:,} JPEG files of {arguments.side}×{arguments.side * 3 // 4} ({size / 2**20:,.0f} MiB) as "
        f"{arguments.size}×{arguments.size}, {workers} processes each, n = {arguments.rounds}, window {arguments.window >> 20} MiB"
    )
    if arguments.json:
        print(
            json.dumps({"note": note, "environment": environment_line(), "rows": rows, "ratios": ratios, "runs": runs})
        )
        return
    print(note)
    print(environment_line())
    for name, values in rows.items():
        print(f"{name:>8}  " + "  ".join(f"{text} {value:,.1f}" for text, value in values.items()))
    for text, ratio in ratios.items():
        print(f"{text}: {ratio:,.1f}")


if __name__ == "__main__":
    main()
