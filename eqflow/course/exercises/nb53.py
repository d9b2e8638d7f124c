"""Checks of notebook 53: a likelihood that motion cannot change."""

from __future__ import annotations

import torch

from ..exercise import exercise, gap, require


@exercise("53.1", minutes=10)
def closed_under_differences(answer, salt):
    """A set of speeds on a torus is closed if every difference of two of its speeds is in it."""
    side = salt.choice([6, 8, 12])
    divisor = salt.choice([d for d in (1, 2, 3, 4, side) if side % d == 0])
    closed = [(a, b) for a in range(0, side, divisor) for b in range(0, side, divisor)]
    order = torch.randperm(len(closed), generator=salt.generator).tolist()
    renamed = [(closed[i][0] - side * salt.integer(0, 1), closed[i][1]) for i in order]
    reach = salt.integer(1, (side - 2) // 2)
    square = [(a, b) for a in range(-reach, reach + 1) for b in range(-reach, reach + 1)]
    lacking = [v for v in square if v != (0, 0)]
    cases = (
        (closed, True, f"every speed whose parts are multiples of {divisor}"),
        (renamed, True, "the same set in another order, some speeds less one side"),
        ([(a, 0) for a in range(side)], True, "all speeds along x"),
        (square, False, f"speeds from -{reach} to {reach}"),
        (lacking, False, "a set without the speed 0"),
        ([(0, 0), (1, 0)], False, "two speeds, 0 and 1"),
    )
    for velocities, wanted, what in cases:
        found = answer(velocities, side)
        require(
            isinstance(found, bool) and found is wanted,
            expected=f"{wanted} for {what}, on a torus of {side}",
            got=repr(found),
            look="section 'A product over frames': speeds count modulo the side",
        )


@exercise("53.2", minutes=20)
def a_layer_that_is_told_something(answer, salt):
    """A layer with a context commutes with shifts of all that it is told, and knows its log-determinant."""
    x, scale, shift = (salt.randn(2, 1, 4, 5) for _ in range(3))
    z, log_det = answer(x, 0.5 * scale, shift)
    require(
        isinstance(log_det, torch.Tensor) and log_det.shape == (2,),
        expected="a log-determinant for every event, shape (2,)",
        got=str(getattr(log_det, "shape", type(log_det).__name__)),
        look="sum over channels and pixels, not over the batch",
    )
    for event in range(2):
        one = slice(event, event + 1)
        jacobian = torch.autograd.functional.jacobian(
            lambda y, i=one: answer(y, 0.5 * scale[i], shift[i])[0], x[one]
        )
        wanted = torch.linalg.slogdet(jacobian.view(20, 20)).logabsdet
        error = float((log_det[event] - wanted).abs())
        require(
            error < 1e-10,
            expected="the logarithm of the Jacobian's determinant",
            got=f"a difference of {error:.1e} nats",
            look="the derivative of exp(s) x + m by x",
        )
    steps = (salt.integer(1, 3), salt.integer(1, 4))
    move = lambda y: y.roll(steps, (2, 3))  # noqa: E731
    moved, same = answer(move(x), 0.5 * move(scale), move(shift))
    error = max(gap(moved, move(z)), gap(same, log_det, what="the log-determinant"))
    require(
        error < 1e-12,
        expected=f"z moved by {steps}, and the same log-determinant, when all three are moved",
        got=f"a difference of {error:.1e}",
        look="nothing in the layer may know where a pixel is",
    )
    alone = gap(answer(move(x), 0.5 * scale, shift)[0], move(z))
    require(
        alone > 1e-3,
        expected="something else when x alone is moved: what it is told matters",
        got=f"a difference of {alone:.1e}",
        look="both pictures have to be used",
    )
