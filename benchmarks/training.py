"""Images a second of our training loop against a bare hand-written PyTorch loop on the same tensors and model.

    python benchmarks/training.py [--precision fp32|bf16] [--json]

The bare loop has no evaluation, no checks, no schedule and no augmentation; ours runs with augmentation off, and the time
of its training part is compared. Then, in ours alone, what the setting that is chosen by itself gains over plain fp32.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line, report

from nas.config.recipe import Augment, Recipe
from nas.data import Task
from nas.data.task import make_dataset
from nas.train import Trainer, cpu_gains_from_bf16, seed_everything

IMAGES, BATCH = 2_560, 128


def network() -> nn.Module:
    """A small VGG for 32×32 images."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (32, 64, 128):
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10))


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (IMAGES + 256, 3, 32, 32), dtype=np.uint8)
    y = np.arange(len(x)) % 10
    dataset = make_dataset(Task("digits", validation=256 / len(x)), x, y, tuple("0123456789"))
    recipe = Recipe(epochs=10_000, batch_size=BATCH, schedule="constant", augment=Augment(crop_padding=0, flip=False))

    seed_everything(0)
    trainer = Trainer(network(), dataset, recipe.replace(precision=arguments.precision), device)

    seed_everything(0)
    model = network().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    mean = torch.tensor(dataset.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(dataset.std, device=device).view(1, 3, 1, 1)
    pixels = torch.from_numpy(dataset.train.x).to(device)
    labels = torch.from_numpy(dataset.train.y).to(device)

    def bare() -> float:
        start = time.perf_counter()
        model.train()
        order = torch.randperm(len(labels), device=device)
        for begin in range(0, len(labels), BATCH):
            index = order[begin : begin + BATCH]
            batch = ((pixels[index].float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=arguments.precision == "bf16"):
                loss = F.cross_entropy(model(batch), labels[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return len(labels) / (time.perf_counter() - start)

    def ours() -> float:
        return trainer.step().images_per_second

    def alternate(a: Callable[[], float], b: Callable[[], float]) -> tuple[list[float], list[float]]:
        a(), b()
        pairs = [(a(), b()) for _ in range(arguments.rounds)]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    ours_rate, bare_rate = alternate(ours, bare)
    report(
        f"training: images a second, {arguments.precision}, {device}",
        ours_rate,
        bare_rate,
        as_json=arguments.json,
        notes=[environment_line(), f"{IMAGES} images of 3×32×32, batches of {BATCH}, one thread"],
    )
    if device.type == "cpu":
        plain = Trainer(network(), dataset, recipe.replace(precision="fp32", channels_last="no"), device)
        chosen = Trainer(network(), dataset, recipe, device)
        rates = alternate(lambda: chosen.step().images_per_second, lambda: plain.step().images_per_second)
        ratio = statistics.median(a / b for a, b in zip(*rates, strict=True))
        setting = "bf16 and channels-last" if cpu_gains_from_bf16() else "fp32 and channels-last"
        print(f"  chosen by itself here: {setting}, {ratio:.2f} times the images a second of plain fp32")


if __name__ == "__main__":
    main()
