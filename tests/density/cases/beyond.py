"""Layers with a context (told the same picture in every test), maps of C_n, and sets of points."""

import torch
from case import Case
from cases.core import Offset, generic

from eqflow.density.bijection import Bijection, Chain, Inverse
from eqflow.density.context import ContextChain, ContextMixture, ContextResidual
from eqflow.density.exponential import ConvExponential
from eqflow.density.point_sets import PointSetCoupling, act_on_set
from eqflow.density.turning import TurningMap
from eqflow.symmetry import cyclic

CONTEXT = 2  # channels


class Told(Bijection):
    """A layer with a context, told the same for every event: even, so that every shift leaves it as it is, or
    a picture that knows where it is."""

    def __init__(self, layer, even, size, generator):
        super().__init__((layer.event_shape[0], *size))
        self.layer = layer
        context = torch.randn(CONTEXT, *size, generator=generator, dtype=torch.float64)
        self.register_buffer("context", context.mean((1, 2), keepdim=True) + 0 * context if even else context)

    def _told(self, x):
        return self.context.to(x).expand(len(x), *self.context.shape)

    def _encode(self, x):
        return self.layer.encode(x, self._told(x))

    def _decode(self, z):
        return self.layer.decode(z, self._told(z))


def shift(g, x):
    """Whole shifts of a torus of 4 columns: C4, as far as composing goes."""
    return x.roll(g, -1)


def told(name, layer, channels=1, size=(3, 4)):
    def make(generator, even=True):
        return Told(generic(layer(), generator, 0.3), even, size, generator)

    return Case(
        f"context-{name}",
        make,
        (channels, *size),
        cyclic(4),
        shift,
        broken=lambda g: make(g, even=False),
    )


def chain():
    exponential = ConvExponential(cyclic(1), 1, field_type="trivial", padding="circular")
    return ContextChain([ContextMixture(1, CONTEXT, components=2, width=3), exponential])


def turning(n):
    def make(generator):
        return generic(TurningMap(cyclic(n), 3), generator)

    def broken(generator):
        offset = Offset((2,), generator)
        return Chain([offset, make(generator), Inverse(offset)])

    return Case(f"turning-C{n}", make, (2,), cyclic(n), cyclic(n).act_points, broken=broken)


def point_sets(group, flip):
    five = cyclic(5)  # turns by 72 degrees and, at the same time, exchanges five points in a cycle

    def act(g, x):
        order = (torch.arange(5) - g) % 5
        return act_on_set(five.matrix(g), order, x)

    def make(generator):
        return generic(PointSetCoupling(5, group, hidden=4, flip=flip), generator)

    def broken(generator):
        offset = Offset((5, 4), generator)
        return Chain([offset, make(generator), Inverse(offset)])

    return Case(f"points-{group}-{'x' if flip else 'v'}", make, (5, 4), five, act, broken=broken)


CASES = [
    told("mixture", lambda: ContextMixture(2, CONTEXT, components=3, width=4), 2),
    told("residual", lambda: ContextResidual(1, CONTEXT, width=3)),
    told("chain", chain),
    turning(2),
    turning(3),
    turning(8),
    point_sets("O(2)", False),
    point_sets("SO(2)", False),
    point_sets("SO(2)", True),
]
