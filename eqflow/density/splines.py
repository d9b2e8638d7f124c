"""Monotone rational-quadratic splines, number by number: what bends beside a scale and a shift."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-3  # width and height of a bin, as shares of the square, and slope at a knot
UNIT_SLOPE = math.log(math.expm1(1 - LEAST))  # softplus of it, and LEAST, are 1


def parameter_count(bins: int) -> int:
    """Numbers that make one spline: a width and a height for each bin, a slope for each inner knot."""
    return 3 * bins - 1


def rational_quadratic(
    x: Tensor, parameters: Tensor, limit: float = 3.0, *, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    r"""y(x), increasing, on [-limit, limit], and the identity beyond, where slopes meet in 1.

    With theta in [0, 1] across a bin of width w and height h, s = h / w, and slopes d0, d1 at its knots,

        y = y0 + h (s theta^2 + d0 theta (1 - theta)) / (s + (d0 + d1 - 2 s) theta (1 - theta)).

    It acts on every number by itself, so what permutes numbers and their parameters alike commutes with it.
    Parameters 0 give the identity.

    Args:
        x: Any shape.
        parameters: (*x.shape, `parameter_count(bins)`), any numbers.
        limit: Half the side of the square.
        inverse: x(y) in place of y(x).

    Returns:
        y, and log dy/dx (of the inverse: log dx/dy), both of the shape of x.

    Source: Durkan, Bekasov, Murray, Papamakarios (2019), Neural Spline Flows, equations 4 to 8.
    """
    bins = (parameters.shape[-1] + 1) // 3
    widths, heights, slopes = parameters.split([bins, bins, bins - 1], -1)
    xs, ys = knots(widths, limit), knots(heights, limit)
    slopes = F.pad(LEAST + F.softplus(slopes + UNIT_SLOPE), (1, 1), value=1.0)
    within = x.clamp(-limit, limit)
    bin = (within[..., None] >= (ys if inverse else xs)[..., 1:-1]).sum(-1, keepdim=True)
    (x0, x1), (y0, y1), (d0, d1) = (
        (t.gather(-1, bin)[..., 0], t.gather(-1, bin + 1)[..., 0]) for t in (xs, ys, slopes)
    )
    width, height = x1 - x0, y1 - y0
    s = height / width
    bend = d0 + d1 - 2 * s
    if inverse:  # the root of a quadratic that lies in [0, 1]
        up = within - y0
        a, b, c = height * (s - d0) + up * bend, height * d0 - up * bend, -s * up
        theta = 2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())
    else:
        theta = (within - x0) / width
    between = theta * (1 - theta)
    below = s + bend * between
    slope = s.square() * (d1 * theta.square() + 2 * s * between + d0 * (1 - theta).square())
    log_slope = slope.log() - 2 * below.log()
    if inverse:
        y, log_slope = x0 + theta * width, -log_slope
    else:
        y = y0 + height * (s * theta.square() + d0 * between) / below
    inside = x.abs() < limit
    return torch.where(inside, y, x), torch.where(inside, log_slope, 0.0)


def knots(raw: Tensor, limit: float) -> Tensor:
    """Any numbers (..., bins) -> increasing knots (..., bins + 1) from -limit to limit."""
    shares = LEAST + (1 - LEAST * raw.shape[-1]) * raw.softmax(-1)
    inner = 2 * limit * shares[..., :-1].cumsum(-1) - limit
    return torch.cat([F.pad(inner, (1, 0), value=-limit), torch.full_like(inner[..., :1], limit)], -1)
