"""Images a second delivered to the model: ours against torchvision transforms in a `DataLoader` with 2 workers.

    python benchmarks/data.py [--images 20000 | --root FOLDER] [--json]

Both read the same image folder, which holds 32×32 JPEG files made for the occasion without --root, and deliver normalized
float batches of 128 with a random crop (padding 4) and flip. A round is one pass. Starting is not counted: ours decodes the
folder once, in the time that is printed; theirs starts its workers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line, interleaved, report

from nas.config.recipe import Augment
from nas.data import Batches, Task, load

BATCH = 128


def make_folder(root: Path, images: int) -> None:
    """Smooth random images in ten classes."""
    rng = np.random.default_rng(0)
    for label in range(10):
        folder = root / "train" / f"class{label}"
        folder.mkdir(parents=True)
        for place in range(images // 10):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            coarse.resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{place}.jpg", quality=90)


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--root", type=Path, help="an image folder with train/<class>/* and test/<class>/*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    from torchvision import datasets, transforms

    with tempfile.TemporaryDirectory() as folder:
        root = arguments.root or Path(folder)
        if arguments.root is None:
            make_folder(root, arguments.images)
        start = time.perf_counter()
        dataset = load(Task(f"imagefolder:{root}", validation=0.01))
        decoding = time.perf_counter() - start
        batches = Batches(dataset.train, dataset, BATCH, augment=Augment(crop_padding=4, flip=True), shuffle=True)
        transform = transforms.Compose(
            [
                transforms.RandomCrop(dataset.input[1:], padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(dataset.mean, dataset.std),
            ]
        )
        folder_data = datasets.ImageFolder(str(root / "train"), transform)
        loader = torch.utils.data.DataLoader(
            folder_data, BATCH, shuffle=True, num_workers=2, persistent_workers=True, prefetch_factor=4
        )

        def ours() -> None:
            for x, _ in batches:
                assert x.dtype == torch.float32

        def theirs() -> None:
            for x, _ in loader:
                assert x.dtype == torch.float32

        ours_seconds, theirs_seconds = interleaved(ours, theirs, arguments.rounds)
    report(
        "data: images a second delivered to the model",
        [batches.images / seconds for seconds in ours_seconds],
        [len(folder_data) / seconds for seconds in theirs_seconds],
        as_json=arguments.json,
        notes=[
            environment_line(),
            f"{len(folder_data):,} files of {dataset.input[2]}×{dataset.input[1]}, batches of {BATCH}; one thread, 2 workers",
            f"ours decodes the folder once: {decoding:.1f} s",
        ],
    )


if __name__ == "__main__":
    main()
