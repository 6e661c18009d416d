"""Weights that torchvision publishes, in a network of ours that is the same up to its classifier."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nas.errors import DataError, StudyError, nearest


def load_pretrained(model: nn.Module, name: str) -> int:
    """Fills `model` with the weights that torchvision calls `name`, such as ``ResNet18_Weights.IMAGENET1K_V1``.

    Everything before the published network's classifier is filled, what comes after it in `model` stays as it is.
    Returns how many tensors were filled. Raises StudyError when there are no such weights or they are of another
    network, and DataError when they are not here and cannot be downloaded.
    """
    from torch.hub import get_dir
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        weights = get_weight(name)
    except (ValueError, KeyError):
        known = [str(member) for model_name in list_models() for member in get_model_weights(model_name)]
        raise StudyError(f"pretrained: torchvision has no weights '{name}'{nearest(name, known)}") from None
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem) else type(problem).__name__
        raise DataError(
            f"pretrained weights {name}: {reason}; put {weights.url} into {get_dir()}/checkpoints, or train without "
            "them (--no-pretrained)"
        ) from None
    return fill(model, state, name)


def fill(model: nn.Module, published: Mapping[str, Tensor], name: str) -> int:
    """Copies `published` but its last layer, the classifier, into the first tensors of `model`, in their order.

    Layers run in the same order in both, so their tensors stand in the same order too; every shape must agree. Raises
    StudyError when one does not.
    """
    classifier = list(published)[-1].rpartition(".")[0] + "."
    # A counter of batches, which older files lack; nothing reads it.
    theirs = [
        (key, value) for key, value in published.items() if not key.startswith(classifier) and not _is_counter(key)
    ]
    ours = [(key, value) for key, value in model.state_dict().items() if not _is_counter(key)]
    if len(theirs) > len(ours):
        raise StudyError(f"pretrained: {name} has {len(theirs)} tensors, the network only {len(ours)}")
    for (key, value), (our_key, target) in zip(theirs, ours[: len(theirs)], strict=True):
        if value.shape != target.shape:
            raise StudyError(
                f"pretrained: {name} is of another network: {key} has the shape {list(value.shape)}, "
                f"{our_key} {list(target.shape)}"
            )
        target.copy_(value)
    return len(theirs)


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")
