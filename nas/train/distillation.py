"""What a network learns of a teacher's answers (Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def soft_loss(outputs: Tensor, said: Tensor, temperature: float) -> Tensor:
    """Mean divergence of probabilities from those of a teacher, both softened; logits (B, classes) each, a scalar in float32.

    It is multiplied by the square of the temperature, so that its gradients are as large as those of the labels whatever that is
    (section 2). Of the cross-entropy there the divergence lacks a constant, so that a network that says the same has none.
    """
    ours, theirs = (F.log_softmax(logits.float() / temperature, dim=1) for logits in (outputs, said))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
