"""One step of the optimizer on one batch, as every training takes it: on a CPU, on a GPU, and where a GPU records it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nas.config.losses import Loss
from nas.config.recipe import Recipe
from nas.train.distillation import soft_loss
from nas.train.mixup import Targets

DOUBTFUL_NORM = 1e6
"""Largest norm of all gradients together: what is larger, or no number, is no gradient of a network that trains."""


class Step:
    """Outputs of the network for a batch, their loss, its gradients, the new weights.

    A call gives the mean loss and how many images are right, both scalars that remember nothing of how they were computed. What
    it changes are tensors that stay where they are, and what differs from step to step are tensors or stands in the groups of the
    optimizer: `nas.train.captured` relies on both.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        device: torch.device,
        *,
        loss: Loss,
        right: Callable[[Tensor, Tensor], Tensor],
        amp_dtype: torch.dtype | None,
        teacher: nn.Module | None = None,
    ) -> None:
        self.model, self.optimizer, self.recipe, self.device = model, optimizer, recipe, device
        self.loss, self.right, self.amp_dtype, self.teacher = loss, right, amp_dtype, teacher
        # Only fp16 has so few exponents that gradients vanish; the scaler does nothing otherwise.
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype == torch.float16)

    def __call__(self, x: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Trains on images (B, C, H, W)."""
        logits, loss = self._gradients(x, targets)
        if self.recipe.clip_norm:
            self.scaler.unscale_(self.optimizer)
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
            if self._doubts and not float(norm) < DOUBTFUL_NORM:
                self.amp_dtype = None
                logits, loss = self._gradients(x, targets)
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach(), self.right(logits.detach(), targets.y)

    def forward(self, x: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Outputs (B, …) and the loss of a batch."""
        with self.autocast():
            logits = self.model(x)
            loss = targets.loss(self.loss, logits)
            if self.teacher is not None:
                with torch.no_grad():
                    said = self.teacher(x)
                taught = soft_loss(logits, said, self.recipe.temperature)
                loss = torch.lerp(loss, taught, self.recipe.teacher_weight)
        return logits, loss

    def autocast(self) -> AbstractContextManager[Any]:
        """In which the network computes."""
        if self.amp_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp_dtype)

    def _gradients(self, x: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """The same; the gradients of the loss are then in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)  # first: their memory is free for the maps
        logits, loss = self.forward(x, targets)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return logits, loss

    @property
    def _doubts(self) -> bool:
        """Whether gradients may be wrong though the network is right: oneDNN's in bfloat16, see `nas.train.precision`.

        The rest of the training is then done in float32: AMSRA-Net on digits, whose 7×7 convolution has maps of 2×2, got an
        infinite gradient at its 18th step, and trains to 99 % without bfloat16.
        """
        return self.device.type == "cpu" and self.amp_dtype == torch.bfloat16
