"""How a linear map of the plane acts on images: exact where the pixel grid allows it, else bilinear.

The plane has +x to the right and +y **up** (as in a textbook), rotations are counter-clockwise as seen on
screen with row 0 on top, and the origin is the centre of the image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

EXACT_DEGREES = 1e-9  # angles this close to a multiple of 90 degrees count as that multiple


def quarter_turns(degrees: float) -> int | None:
    """Number (0 to 3) of quarter turns in ``degrees``, or None when it is not a multiple of 90."""
    quarters = round(degrees / 90)
    return quarters % 4 if abs(degrees - 90 * quarters) <= EXACT_DEGREES else None


def rotation_matrix(degrees: float) -> Tensor:
    """Counter-clockwise rotation of the plane, (2, 2) float64, exact at multiples of 90."""
    quarters = quarter_turns(degrees)
    if quarters is None:
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    else:
        c, s = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[quarters]
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def transform_image(x: Tensor, degrees: float, *, mirror: bool = False) -> Tensor:
    """Move the content of an image by an orthogonal map about its centre: ``(g x)(p) = x(g^-1 p)``.

    Args:
        x: images (..., H, W).
        degrees: counter-clockwise turn, in degrees.
        mirror: exchange left and right first.

    Returns:
        The moved images, same shape. Multiples of 90 degrees are exact (``rot90``), as long as they keep the
        canvas' shape; every other angle, and a quarter turn of a rectangle, is interpolated bilinearly with
        zeros outside.
    """
    if mirror:
        x = x.flip(-1)
    quarters, (height, width) = quarter_turns(degrees), x.shape[-2:]
    if quarters == 0:
        return x.clone()  # never an alias: in-place work on the result must not reach the input
    if quarters == 2 or (quarters is not None and height == width):
        return torch.rot90(x, quarters, (-2, -1))
    (c, _), (s, _) = rotation_matrix(degrees).tolist()
    # Each output pixel looks back along g^-1, in grid_sample's coordinates: y down, each side of length 2.
    if not x.is_floating_point():
        raise ValueError(f"expected floating images to interpolate at {degrees:g} degrees; got {x.dtype}")
    flat = x.reshape(1, -1, height, width)  # one grid serves all images
    flat = flat.to(torch.promote_types(x.dtype, torch.float32))  # half a grid would be off
    theta = flat.new_tensor([[c, -s * height / width, 0.0], [s * width / height, c, 0.0]])
    where = F.affine_grid(theta[None], list(flat.shape), align_corners=False)
    moved = F.grid_sample(flat, where, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.view(x.shape).to(x.dtype)
