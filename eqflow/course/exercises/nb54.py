"""Checks of notebook 54: flow matching."""

from __future__ import annotations

import torch

from ..exercise import exercise, gap, require


def some_field(salt):
    """A smooth field on points that commutes with nothing: (B, 2) -> (B, 2)."""
    first, second, bias = salt.randn(2, 5), salt.randn(5, 2), salt.randn(5)
    return lambda x: torch.tanh(x @ first + bias) @ second


@exercise("54.1", minutes=15)
def symmetric_fields(answer, salt):
    """The mean of a field over a group, seen from every side, commutes with the group."""
    group = salt.group(("C3", "C5", "D3", "D4"))
    elements = [group.matrix(g).double() for g in group]
    field, other, x = some_field(salt), some_field(salt), salt.randn(20, 2)
    new = answer(field, elements)
    v = new(x)
    for g in elements:
        error = gap(new(x @ g.T), v @ g.T)
        require(
            error < 1e-10,
            expected=f"a field that commutes with all of {group}",
            got=f"a difference of {error:.1e}",
            look="turn the point, ask the field, turn the answer back",
        )
    outward = lambda y: y * y.square().sum(1, keepdim=True)  # noqa: E731
    error = gap(answer(outward, elements)(x), outward(x))
    require(
        error < 1e-10,
        expected="a field that commuted already, as it was",
        got=f"a difference of {error:.1e}",
        look="a mean, not a sum",
    )
    error = gap(
        answer(lambda y: (field(y) + other(y)) / 2, elements)(x), (v + answer(other, elements)(x)) / 2
    )
    require(
        error < 1e-10,
        expected="the mean of two fields to become the mean of the new ones",
        got=f"a difference of {error:.1e}",
        look="section 'When the potential is lopsided' of notebook 02: why fields may be averaged",
    )


@exercise("54.2", minutes=15)
def exact_divergence(answer, salt):
    """The divergence is the trace of the Jacobian, at every event."""
    size = salt.integer(2, 5)
    first, second, x = salt.randn(size, 6), salt.randn(6, size), salt.randn(7, size)
    field = lambda y: torch.tanh(y @ first) @ second  # noqa: E731
    wanted = torch.stack(
        [torch.autograd.functional.jacobian(lambda e: field(e[None])[0], e).trace() for e in x]
    )
    error = gap(answer(field, x), wanted, what="the divergence")
    require(
        error < 1e-10,
        expected="the trace of the Jacobian at every event",
        got=f"a relative difference of {error:.1e}",
        look="section 'Its likelihood is an integral': one product for each dimension",
    )
    matrix = salt.randn(size, size)
    error = gap(answer(lambda y: y @ matrix, x), matrix.trace().expand(7), what="the divergence")
    require(
        error < 1e-10,
        expected="the matrix's trace, for a linear field",
        got=f"a relative difference of {error:.1e}",
        look="the diagonal of the Jacobian",
    )
