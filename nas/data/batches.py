"""Batches on the device, made from one tensor of bytes that lies there.

Decoding and `DataLoader` workers cost more than small networks do: this delivers tens of times more images
(`benchmarks/data.py`). Augmentation is drawn for each image alone and done for the batch at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any
from weakref import WeakKeyDictionary

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.config.recipe import Augment
from nas.data.photo_augment import apply_policy, erase, random_resized_crop
from nas.data.stored import StoredImages, parts
from nas.data.stream import block_order, stream
from nas.data.task import Dataset, Split

RESIDENT_SHARE = 0.25
"""Share of the device's free memory: images that need more are sent batch by batch."""

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), to the digits that torchvision has."""

_on_device: WeakKeyDictionary[Split, dict[torch.device, Tensor]] = WeakKeyDictionary()
# A worker trains one architecture after the other on the same split: its images are sent to the GPU once.


class Batches:
    """Iterates over the batches of a split: normalized images (B, C, H, W) and labels (B,), on `device`.

    With `shuffle` every pass is a new permutation, drawn from `seed`; where it is `balanced` too, as many images as there are
    are drawn with replacement, each class as often as any other. The last batch may be smaller; one of a single
    image is joined to the batch before, because batch norm cannot train on it.

    `same`: every pass draws the same order and the same augmentation.

    `resident`: whether all images lie on the device; None puts them there when they need less than a quarter of its
    free memory. Otherwise each batch is sent alone, on CUDA from pinned memory while the batch before is still in work.

    Images on disk that are larger than memory are read in blocks, whose order is random; those of several blocks are shuffled among
    each other (`nas.data.stream`).
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
        balanced: bool = False,
        seed: int = 0,
        same: bool = False,
        memory_format: torch.memory_format = torch.contiguous_format,
        resident: bool | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.augment = augment
        self.shuffle = shuffle
        self._chances = _even_chances(split) if balanced else None
        self.memory_format = memory_format
        self.resident = _fits(split, self.device) if resident is None else resident
        self._streamed = _streamed(split, self.device, self.resident)
        self._x = None if self._streamed is not None else self._at_hand(split)
        self._rows = _rows(split) if self._x is not None and self._x.device.type == "cpu" else None
        self._y = _tensor(split.y).to(self.device)
        deviation = torch.tensor(dataset.std, device=self.device).view(1, -1, 1, 1)
        mean = torch.tensor(dataset.mean, device=self.device).view(1, -1, 1, 1)
        self._mean_colour = [255 * value for value in dataset.mean]
        self._scale = 1 / (255 * deviation)
        self._shift = -mean / deviation
        # One generator for the order, on the CPU, so that an epoch sees the same batches on every device.
        self._order = torch.Generator().manual_seed(seed)
        self._random = torch.Generator(self.device).manual_seed(seed)
        self.done = 0
        """Batches that the next pass does not give again, because it goes on with one that `load_state_dict` has brought."""
        self._given = 0
        self._pass_order: Tensor | None = None
        """State of the generator of the order before this pass."""
        self._every_pass = self.state_dict() if same else None

    def _at_hand(self, split: Split) -> Tensor:
        if self.resident:
            return _resident(split, self.device)
        assert not isinstance(split.x, StoredImages), "those are streamed"
        return _tensor(split.x)

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
        if self._every_pass is not None:
            self.load_state_dict(self._every_pass)
        done, self.done, self._pass_order = self.done, 0, self._order.get_state()
        order = self._next_order()
        order_on_device = order.to(self.device)
        sizes = self._sizes()
        start = sum(sizes[:done])
        with closing(self._bytes(order, order_on_device, start, sizes[done:])) as coming:
            for number, x in enumerate(coming, done + 1):
                place = slice(start, start + len(x))
                start += len(x)
                batch = self.prepare(x), self._y[order_on_device[place]]
                self._given = number
                yield batch
        self._given, self._pass_order = 0, None

    def _bytes(
        self, order: Tensor, order_on_device: Tensor, start: int, sizes: Sequence[int]
    ) -> Generator[Tensor, None, None]:
        """Bytes (B, C, H, W) on the device, of batches of these sizes; the first begins at the place `start` of the order."""
        if self._streamed is not None:
            with closing(stream(self._streamed, order[start:], sizes, self.device)) as coming:
                yield from coming
            return
        assert self._x is not None
        for size in sizes:
            place = slice(start, start + size)
            start += size
            if not self.resident:
                yield self._send(order[place])
            else:
                # index_select copies whole images, x[index] byte by byte: 2,900,000 images a second against 450,000
                index = order_on_device[place] if self._rows is None else self._rows[order[place]]
                yield self._x.index_select(0, index)

    def _next_order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.images)
        if self._chances is None and self._streamed is not None and self._streamed.streamed:
            return block_order(self._streamed, self._order)
        if self._chances is None:
            return torch.randperm(self.images, generator=self._order)
        # not torch.multinomial, which takes no more than 2^24 images
        return torch.searchsorted(self._chances, torch.rand(self.images, generator=self._order, dtype=torch.float64))

    def _send(self, index: Tensor) -> Tensor:
        assert self._x is not None
        if self.device.type != "cuda":
            return self._x.index_select(0, index).to(self.device)
        # PyTorch lends pinned memory from a cache and takes it back only when the copy has ended.
        staged = torch.empty((len(index), *self._x.shape[1:]), dtype=torch.uint8, pin_memory=True)
        torch.index_select(self._x, 0, index, out=staged)
        return staged.to(self.device, non_blocking=True)

    def prepare(self, x: Tensor) -> Tensor:
        """Bytes (B, C, H, W) -> normalized, augmented floats (B, C, H, W)."""
        augment = self.augment or Augment(crop_padding=0, flip=False)
        if augment.crop_padding or augment.flip:
            x = self._crop_and_flip(x, augment)
        if augment.policy != "none":
            x = apply_policy(x, augment.policy, int(self._integers(2**31 - 1, 1)), self._mean_colour)
        out = x.to(torch.float32)
        if augment.crop_scale < 1:
            out = random_resized_crop(out, augment.crop_scale, self._random)
        if augment.color_jitter:
            out = self._jitter(out, augment.color_jitter)
        out = out.mul_(self._scale).add_(self._shift)
        if augment.cutout:
            out = self._cut_out(out, augment.cutout)
        if augment.erase:
            out = erase(out, augment.erase, self._random)
        return out.contiguous(memory_format=self.memory_format)

    def _integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self._random, device=self.device)

    def _crop_and_flip(self, x: Tensor, augment: Augment) -> Tensor:
        # One gather moves every byte once, and is twice as fast as a gather of rows and then one of columns.
        batch, channels, height, width = x.shape
        padding = augment.crop_padding
        rows = torch.arange(height, device=x.device) + self._integers(2 * padding + 1, batch, 1)
        columns = torch.arange(width, device=x.device) + self._integers(2 * padding + 1, batch, 1)
        if augment.flip:
            columns = torch.where(self._integers(2, batch, 1).bool(), columns.flip(1), columns)
        if augment.padding_mode == "reflect":
            rows, columns = _reflect(rows - padding, height), _reflect(columns - padding, width)
        elif padding:
            x = F.pad(x, (padding,) * 4)
        index = (rows[:, :, None] * x.shape[3] + columns[:, None, :]).view(batch, 1, height * width)
        return x.flatten(2).gather(2, index.expand(batch, channels, -1)).view(batch, channels, height, width)

    def _jitter(self, x: Tensor, strength: float) -> Tensor:
        # NOTE torchvision's ColorJitter draws the order of the three anew for each image; here it is fixed.
        def factor() -> Tensor:
            return 1 + strength * (2 * torch.rand(len(x), 1, 1, 1, generator=self._random, device=self.device) - 1)

        x = (x * factor()).clamp_(0, 255)  # brightness
        x = torch.lerp(_grey(x).mean((1, 2, 3), keepdim=True), x, factor()).clamp_(0, 255)  # contrast
        if x.shape[1] == 3:
            x = torch.lerp(_grey(x), x, factor()).clamp_(0, 255)  # saturation
        return x

    def _cut_out(self, x: Tensor, size: int) -> Tensor:
        batch, _, height, width = x.shape
        top = self._integers(height, batch, 1) - size // 2
        left = self._integers(width, batch, 1) - size // 2
        rows = torch.arange(height, device=x.device)
        columns = torch.arange(width, device=x.device)
        inside_rows = (rows >= top) & (rows < top + size)
        inside_columns = (columns >= left) & (columns < left + size)
        hole = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
        return x.masked_fill_(hole, 0.0)  # 0 is the mean colour here

    def state_dict(self) -> dict[str, Any]:
        """State of both generators and, in the middle of a pass, how many of its batches were given."""
        order = self._order.get_state() if self._pass_order is None else self._pass_order
        return {"order": order, "random": self._random.get_state(), "given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state_dict` was taken, on the same kind of device: the next pass with the batch that follows."""
        self._order.set_state(state["order"].cpu())
        self._random.set_state(state["random"].cpu())
        self._pass_order = None
        self.done = self._given = state.get("given", 0)


def _even_chances(split: Split) -> Tensor:
    """Cumulative chances of all images with which each class is as likely as any other."""
    y = _tensor(split.y)
    chances = (1.0 / torch.bincount(y).double())[y].cumsum(0)
    return (chances / chances[-1]).clamp_(max=1.0)


def _reflect(place: Tensor, size: int) -> Tensor:
    """Places outside 0 … size - 1, mirrored at the border pixels as often as it takes."""
    period = max(1, 2 * (size - 1))
    place = place.remainder(period)
    return torch.minimum(place, period - place) if size > 1 else place


def _grey(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 1, H, W)"""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    return (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    # Arrays from an object store are read-only, which PyTorch warns of. Nothing here writes to them, and a copy would
    # cost the memory of a whole data set in every worker.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return torch.from_numpy(array)


def _streamed(split: Split, device: torch.device, resident: bool) -> StoredImages | None:
    """The images of a split where they are read while others are in work; None where they are at hand."""
    x = split.x
    if not isinstance(x, StoredImages):
        return None
    at_hand = resident if device.type == "cuda" else not x.streamed and len(x.sources) == 1
    return None if at_hand else x


def _rows(split: Split) -> Tensor | None:
    """The row of each image that is mapped; None where rows are places."""
    return torch.from_numpy(split.x.rows) if isinstance(split.x, StoredImages) else None


def _resident(split: Split, device: torch.device) -> Tensor:
    x = split.x
    if device.type == "cpu":
        mapped = x.sources[0].mapped if isinstance(x, StoredImages) else x
        assert mapped is not None, "others are streamed"
        return _tensor(mapped)
    tensors = _on_device.setdefault(split, {})
    if device not in tensors:
        if isinstance(x, StoredImages):  # there is no copy of all of them on the way
            whole = torch.empty(x.shape, dtype=torch.uint8, device=device)
            start = 0
            for part in parts(x):
                whole[start : start + len(part)] = _tensor(part).to(device)
                start += len(part)
            tensors[device] = whole
        else:
            tensors[device] = _tensor(x).to(device)
    return tensors[device]


def _fits(split: Split, device: torch.device) -> bool:
    if device.type != "cuda" or device in _on_device.get(split, {}):
        return True  # on the CPU the images are where the model is anyway
    free, _ = torch.cuda.mem_get_info(device)
    return bool(split.x.nbytes < RESIDENT_SHARE * free)
