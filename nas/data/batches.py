"""Batches on the device, made from one tensor of bytes that lies there.

Decoding and `DataLoader` workers cost more than small networks do: this delivers tens of times more images
(`benchmarks/data.py`). Augmentation is drawn for each image alone and done for the batch at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.task import Dataset, Split
from nas.recipe import Augment

RESIDENT_SHARE = 0.25
"""Of the device's free memory: images that need more are sent batch by batch."""


class Batches:
    """Iterates over the batches of a split: normalized images (B, C, H, W) and labels (B,), on `device`.

    With `shuffle` every pass is a new permutation, drawn from `seed`. The last batch may be smaller; one of a single
    image is joined to the batch before, because batch norm cannot train on it.
    """

    def __init__(
        self,
        split: Split,
        dataset: Dataset,
        batch_size: int,
        device: torch.device | str = "cpu",
        *,
        augment: Augment | None = None,
        shuffle: bool = False,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
        resident: bool | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.augment = augment
        self.shuffle = shuffle
        self.dtype = dtype
        self.memory_format = memory_format
        self.resident = _fits(split, self.device) if resident is None else resident
        images = _tensor(split.x)
        if self.resident:
            images = images.to(self.device)
        elif self.device.type == "cuda":
            images = images.pin_memory()
        self._x = images
        self._y = _tensor(split.y).to(self.device)
        self._mean = torch.tensor(dataset.mean, device=self.device).view(1, -1, 1, 1) * 255
        self._scale = 1 / (torch.tensor(dataset.std, device=self.device).view(1, -1, 1, 1) * 255)
        # One generator for the order, on the CPU, so that an epoch sees the same batches on every device.
        self._order = torch.Generator().manual_seed(seed)
        self._random = torch.Generator(self.device).manual_seed(seed)

    @property
    def images(self) -> int:
        """Images a pass."""
        return len(self._y)

    def __len__(self) -> int:
        return len(self._sizes())

    def _sizes(self) -> list[int]:
        full, rest = divmod(self.images, self.batch_size)
        sizes = [self.batch_size] * full
        if rest == 1 and sizes and self.batch_size > 1:
            sizes[-1] += 1
        elif rest:
            sizes.append(rest)
        return sizes

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(self.images, generator=self._order) if self.shuffle else torch.arange(self.images)
        if self.resident:
            order = order.to(self.device)
        start = 0
        for size in self._sizes():
            index = order[start : start + size]
            start += size
            x = self._x[index].to(self.device, non_blocking=True)
            y = self._y[index.to(self.device)]
            yield self.prepare(x), y

    def prepare(self, x: Tensor) -> Tensor:
        """Bytes (B, C, H, W) -> normalized, augmented floats (B, C, H, W)."""
        augment = self.augment
        if augment is not None and (augment.crop_padding or augment.flip):
            x = self._crop_and_flip(x, augment.crop_padding, augment.flip)
        out = x.to(torch.float32)
        if augment is not None and augment.color_jitter:
            out = self._jitter(out, augment.color_jitter)
        out = (out - self._mean) * self._scale
        if augment is not None and augment.cutout:
            out = self._cut_out(out, augment.cutout)
        return out.to(self.dtype).contiguous(memory_format=self.memory_format)

    def _integers(self, high: int, size: int) -> Tensor:
        return torch.randint(high, (size,), generator=self._random, device=self.device)

    def _crop_and_flip(self, x: Tensor, padding: int, flip: bool) -> Tensor:
        batch, channels, height, width = x.shape
        rows = torch.arange(height, device=x.device).expand(batch, height)
        columns = torch.arange(width, device=x.device).expand(batch, width)
        if padding:
            x = F.pad(x, (padding,) * 4)
            rows = rows + self._integers(2 * padding + 1, batch)[:, None]
        if flip:
            flipped = self._integers(2, batch)[:, None].bool()
            columns = torch.where(flipped, columns.flip(1), columns)
        if padding:
            columns = columns + self._integers(2 * padding + 1, batch)[:, None]
        # Two gathers, by rows and then by columns, each move every byte once.
        padded_width = x.shape[3]
        x = x.gather(2, rows[:, None, :, None].expand(batch, channels, height, padded_width))
        return x.gather(3, columns[:, None, None, :].expand(batch, channels, height, width))

    def _jitter(self, x: Tensor, strength: float) -> Tensor:
        def factor() -> Tensor:
            draw = torch.rand(len(x), 1, 1, 1, generator=self._random, device=self.device)
            return 1 + strength * (2 * draw - 1)

        x = x * factor()  # brightness
        x = torch.lerp(x.mean((1, 2, 3), keepdim=True), x, factor())  # contrast
        if x.shape[1] > 1:
            x = torch.lerp(x.mean(1, keepdim=True), x, factor())  # saturation
        return x.clamp_(0, 255)

    def _cut_out(self, x: Tensor, size: int) -> Tensor:
        batch, _, height, width = x.shape
        top = self._integers(height, batch)[:, None] - size // 2
        left = self._integers(width, batch)[:, None] - size // 2
        rows = torch.arange(height, device=x.device)[None]
        columns = torch.arange(width, device=x.device)[None]
        inside_rows = (rows >= top) & (rows < top + size)
        inside_columns = (columns >= left) & (columns < left + size)
        hole = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
        return x.masked_fill(hole, 0.0)  # 0 is the mean colour here

    def state_dict(self) -> dict[str, Tensor]:
        """State of both generators."""
        return {"order": self._order.get_state(), "random": self._random.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continues where `state_dict` was taken."""
        self._order.set_state(state["order"])
        self._random.set_state(state["random"])


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    # Arrays from an object store are read-only, which PyTorch warns of; nothing here writes to them.
    if not array.flags.writeable:
        array = array.view()
        try:
            array.flags.writeable = True
        except ValueError:
            array = array.copy()
    return torch.from_numpy(array)


def _fits(split: Split, device: torch.device) -> bool:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return bool(split.x.nbytes < RESIDENT_SHARE * free)
    return True  # on the CPU the images are where the model is anyway
