"""A plain residual network of CIFAR (He et al. 2016, Deep residual learning, section 4.2) and a plain training of it.

This is what a search has to beat. It is PyTorch alone and shares nothing with nas: what a careful engineer writes in one page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

NETWORKS = {"resnet8": 1, "resnet20": 3}
"""Residual blocks in each of the three stages."""
STEPS = (1_000, 2_000, 4_000)
SEEDS = (0, 1)
NARROW = 16
"""Width below which channels must not come last: oneDNN's gradient of the shortcut then writes past its memory (issue 6035)."""


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias, and batch norm."""
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """x (B, inputs, H, W) -> (B, outputs, H / stride, W / stride): two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, 3, stride), nn.ReLU(), conv(outputs, outputs, 3))
        self.shortcut = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return F.relu(self.body(x) + self.shortcut(x))


def resnet(blocks: int, width: int, classes: int) -> nn.Sequential:
    """x (B, 3, H, W) -> (B, classes); stages of `width`, 2 and 4 times `width` channels."""
    layers: list[nn.Module] = [conv(3, width, 3), nn.ReLU()]
    channels = width
    for stage in range(3):
        for place in range(blocks):
            outputs = width * 2**stage
            layers.append(Block(channels, outputs, 2 if stage and not place else 1))
            channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def parameters(blocks: int, width: int, classes: int) -> int:
    """Parameters of that network."""
    return sum(weight.numel() for weight in resnet(blocks, width, classes).parameters())


def widest(blocks: int, classes: int, limit: float) -> int:
    """The width of the largest network with at most `limit` parameters; 0 when even a width of 1 has more."""
    width = 0
    while parameters(blocks, width + 1, classes) <= limit:
        width += 1
    return width


def trainings(classes: int, limit: float) -> Iterator[tuple[str, int, int, int]]:
    """Network, width, steps and seed of all trainings whose best is the reference, the shortest first."""
    for steps in STEPS:
        for network, blocks in NETWORKS.items():
            if width := widest(blocks, classes, limit):
                for seed in SEEDS:
                    yield network, width, steps, seed


def augment(x: Tensor) -> Tensor:
    """x (B, 3, H, W), each image shifted by up to 4 pixels over zeros, every second one mirrored on average.

    Channels come last in memory, and convolutions of it keep that: what is fastest here on a CPU.
    """
    count, _, height, width = x.shape
    rows = torch.randint(9, (count, 1)) + torch.arange(height)
    columns = torch.randint(9, (count, 1)) + torch.arange(width)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    padded = F.pad(x, (4, 4, 4, 4)).movedim(1, 3)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(3, 1)


@dataclass(frozen=True)
class Images:
    """Standardized training and test images (N, 3, H, W) as floats, and their labels (N,)."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int


@dataclass(frozen=True)
class Trained:
    """What came of one training."""

    parameters: int
    recalls: list[float]
    """Of each class of the test images, between 0 and 1; their mean is the accuracy where classes are of one size."""
    accuracy: float
    core_seconds: float
    """Processor time of the training alone, in all threads."""


def read(folder: Path) -> Images:
    """All images of `folder`/train/<class> and `folder`/test/<class>, which have one size."""
    classes = sorted(path.name for path in (folder / "train").iterdir())
    x, y = _read(folder / "train", classes)
    x_test, y_test = _read(folder / "test", classes)
    mean, deviation = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    return Images((x - mean) / deviation, y, (x_test - mean) / deviation, y_test, len(classes))


def _read(folder: Path, classes: list[str]) -> tuple[Tensor, Tensor]:
    files = [(path, label) for label, name in enumerate(classes) for path in sorted((folder / name).iterdir())]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files])
    return torch.from_numpy(pixels).movedim(3, 1).float(), torch.tensor([label for _, label in files])


def train(
    images: Images, blocks: int, width: int, steps: int, seed: int, say: Callable[[str], None] = lambda _: None
) -> Trained:
    """Trains on all training images: cross-entropy, SGD with momentum and one cycle, batches of 32, shifts and mirrors."""
    torch.manual_seed(seed)
    model = resnet(blocks, width, images.classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    order = torch.empty(0, dtype=torch.long)
    start = shown = time.process_time()
    for step in range(steps):
        if len(order) < 32:
            order = torch.randperm(len(images.x))  # what is left of the last round is dropped
        batch, order = order[:32], order[32:]
        x = augment(images.x[batch])
        if width < NARROW:
            x = x.contiguous()
        loss = F.cross_entropy(model(x), images.y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if time.process_time() - shown > 20:
            shown = time.process_time()
            say(f"step {step + 1:,} of {steps:,}, loss {loss.item():.2f}")
    seconds = time.process_time() - start
    with torch.inference_mode():
        model.eval()
        right = torch.cat([model(x).argmax(1) for x in images.x_test.split(250)]) == images.y_test
    recalls = [right[images.y_test == label].float().mean().item() for label in range(images.classes)]
    return Trained(sum(w.numel() for w in model.parameters()), recalls, right.float().mean().item(), seconds)
