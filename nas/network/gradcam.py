"""What a network looked at: Grad-CAM (Selvaraju et al. 2017, Grad-CAM, eqs. 1 and 2), computed by captum.

The gradient of one class's logit, averaged over the positions of a feature map, weighs its channels; what is positive of
the weighed sum shows where evidence for that class was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.architecture.cost import shapes
from nas.errors import NasError

if TYPE_CHECKING:
    from torch import Tensor, nn

Pixels = npt.NDArray[np.uint8]


def last_feature_map(architecture: Architecture, input: Shape, classes: int, positions: int = 2) -> str:
    """Name of the last node that gives a feature map of at least so many positions, of more than one where none does.

    Raises NasError when every map has one position.
    """
    shape_of = shapes(architecture, input, classes)
    for node in reversed(architecture.nodes):
        shape = shape_of[node.name]
        if len(shape) == 3 and shape[1] * shape[2] >= positions:
            return node.name
    if positions > 2:
        return last_feature_map(architecture, input, classes)
    raise NasError("Grad-CAM: no node of this network gives a feature map of more than one position")


def grad_cam(model: nn.Module, layer: str, x_BCHW: Tensor, target: int | Tensor) -> Tensor:
    """Where the evidence for class `target` (one for all images, or one each (B,)) lies: (B, H, W) of the images, in [0, 1].

    `layer` is the path of a module whose output is a feature map, such as `last_feature_map` names. Maps are resized
    to the images bilinearly and divided by their largest value; a map without any evidence is all zeros. The model is
    left as it was, in evaluation mode during the call.
    """
    import torch
    import torch.nn.functional as F
    from captum.attr import LayerGradCam

    training = model.training
    model.eval()
    try:
        with torch.enable_grad():
            cam = LayerGradCam(model, model.get_submodule(layer))
            map_B1HW: Tensor = cam.attribute(x_BCHW.detach().requires_grad_(), target, relu_attributions=True)
    finally:
        model.train(training)
        model.zero_grad(set_to_none=True)
    map_B1HW = F.interpolate(map_B1HW.detach(), size=x_BCHW.shape[2:], mode="bilinear", align_corners=False)
    map_BHW = map_B1HW.squeeze(1)
    return map_BHW / map_BHW.amax((1, 2), keepdim=True).clamp(min=torch.finfo(map_BHW.dtype).tiny)


def overlay(image_HWC: Pixels, map_HW: npt.NDArray[np.floating[Any]], strength: float = 0.5) -> Pixels:
    """The image (H, W, 3), bytes, under a map in [0, 1] of any size, as colours from blue to red: (H, W, 3), bytes."""
    from matplotlib import colormaps
    from PIL import Image

    height, width = image_HWC.shape[:2]
    heat = Image.fromarray(np.asarray(map_HW, dtype=np.float32))
    map_HW = np.clip(np.asarray(heat.resize((width, height), Image.Resampling.BILINEAR)), 0, 1)
    colour_HWC = colormaps["jet"](map_HW)[..., :3] * 255
    mixed = (1 - strength) * image_HWC + strength * colour_HWC
    pixels: Pixels = mixed.round().clip(0, 255).astype(np.uint8)
    return pixels
