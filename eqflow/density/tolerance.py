"""The density of a vector field to a tolerance: the steps are doubled until nothing changes any more.

A field that commutes with a group gives a symmetric density at any number of steps: the error of the steps is
symmetric too. So symmetry says nothing about accuracy, and this file does.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .flow_matching import FlowMatching


class Refined(NamedTuple):
    """A log-density, and how accurately it was found.

    Attributes:
        log_prob: (B,), nats.
        steps: Runge-Kutta steps that it took.
        change: max |log p - log p with half the steps|, nats: the error is about a fifteenth of it, where the
            steps are already in the regime of order 4.
    """

    log_prob: Tensor
    steps: int
    change: float


def refined_log_prob(density: FlowMatching, x: Tensor, tolerance: float, *, most: int = 1280) -> Refined:
    """log p(x) with so many steps that doubling them has changed no event's by more than the tolerance.

    Args:
        density: With exact divergences: an estimate's noise does not fall with the steps.
        x: (B, *event_shape).
        tolerance: In nats, above 0.
        most: Steps; then it gives up.

    Raises:
        ValueError: For estimated divergences, or a tolerance that is not positive.
        RuntimeError: When `most` steps are not enough.
    """
    if not density.exact or not tolerance > 0:
        raise ValueError(
            f"expected exact divergences and a tolerance above 0; got exact={density.exact}, {tolerance}"
        )
    given, steps = density.steps, max(1, density.steps // 2)
    try:
        density.steps = steps
        before = density.log_prob(x)
        while 2 * steps <= most:
            steps = density.steps = 2 * steps
            found = density.log_prob(x)
            change = float((found - before).detach().abs().max()) if len(x) else 0.0
            if change <= tolerance:
                return Refined(found, steps, change)
            before = found
    finally:
        density.steps = given
    raise RuntimeError(
        f"expected a change of {tolerance:g} nats or less within {most} steps; got {change:.2g}"
    )
