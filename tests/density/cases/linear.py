"""Squeeze, convolution exponential, Fourier, group-circulant maps, and the chain of Theorem 3."""

from functools import partial

import torch
from case import Case

from eqflow.density.bijection import Chain
from eqflow.density.circulant import GroupCirculant
from eqflow.density.exponential import ConvExponential
from eqflow.density.fourier import FourierConv, UnitaryDFT
from eqflow.density.squeeze import Squeeze
from eqflow.density.universality import act_padded, padded_chain
from eqflow.symmetry import cyclic, dihedral

from .core import generic

C1, C2, C4, D2, D4 = cyclic(1), cyclic(2), cyclic(4), dihedral(2), dihedral(4)


def act_of(group, field_type):
    return group.act_field if field_type == "regular" else group.act_image


def squeezed(group, in_type, side):
    """Fields mixed pixel by pixel, and squeezed."""
    fields = 1 if in_type == "regular" else 2
    channels = fields * (len(group) if in_type == "regular" else 1)
    squeeze = Squeeze(group, fields, in_type=in_type)

    def broken(generator):
        raster = Squeeze(group, fields, in_type=in_type)
        raster.order = torch.arange(len(raster.order))
        return raster

    return Case(
        f"squeeze-{in_type}-{group}",
        lambda g: Chain(
            [
                generic(GroupCirculant(group, fields, field_type=in_type), g),
                Squeeze(group, fields, in_type=in_type),
            ]
        ),
        (channels, side, side),
        group,
        act_of(group, in_type),
        squeeze.encoded_type.act,
        broken,
    )


def squeezed_twice(group, side):
    def make(generator, raster=False):
        first = Squeeze(group)
        second = Squeeze(group, first.encoded_type)
        if raster:
            second.order = torch.arange(len(second.order))
        return Chain([generic(GroupCirculant(group, 1, field_type="trivial"), generator), first, second])

    return Case(
        f"squeeze-twice-{group}",
        make,
        (1, side, side),
        group,
        group.act_image,
        make(torch.Generator())[2].encoded_type.act,
        lambda g: make(g, raster=True),
    )


def exponential(group, field_type, padding, side, kernel_size=3):
    fields = 1 if field_type == "regular" else 2
    channels = fields * (len(group) if field_type == "regular" else 1)
    options = {"padding": padding, "kernel_size": kernel_size}
    broken = None
    if len(group) > 1:
        broken = lambda g: generic(ConvExponential(C1, channels, **options), g)  # noqa: E731
    return Case(
        f"exponential-{padding}-{field_type}-{group}",
        lambda g: generic(ConvExponential(group, fields, field_type=field_type, **options), g),
        (channels, side, side),
        group if broken else None,
        act_of(group, field_type),
        broken=broken,
    )


def fourier(group, field_type, size):
    channels = 2 * (len(group) if field_type == "regular" else 1)
    return Case(
        f"fourier-{field_type}-{group}",
        lambda g: generic(FourierConv(group, 2, size, field_type=field_type), g),
        (channels, *size),
        group,
        act_of(group, field_type),
        broken=lambda g: generic(FourierConv(C1, channels, size), g),
    )


def circulant(group, field_type, fields, side):
    channels = fields * (len(group) if field_type == "regular" else 1)
    return Case(
        f"circulant-{field_type}-{group}",
        lambda g: generic(GroupCirculant(group, fields, field_type=field_type), g),
        (channels, side, side),
        group,
        act_of(group, field_type),
        broken=lambda g: (
            Chain([generic(FourierConv(C1, channels, (side, side)), g)])
            if field_type == "trivial"
            else generic(GroupCirculant(C1, channels), g)
        ),
    )


def transform(size):
    def make(generator, group=D4):
        return Chain([generic(FourierConv(group, 1, size), generator), UnitaryDFT((1, *size))])

    return Case(f"dft-{size[0]}x{size[1]}", make, (1, *size), D4, D4.act_image, broken=lambda g: make(g, C1))


def twist(x, sign=1.0):
    """A turn by an angle that depends on the radius; commutes with every rotation."""
    angle = 2 * sign * torch.exp(-x.square().sum(1) / 2)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)


def universal(group):
    def sheared(x):
        return twist(x + torch.tensor([0.5, 0.0]).to(x))

    def make(generator):
        return padded_chain(twist, partial(twist, sign=-1), 2, lipschitz=2.0)

    def broken(generator):
        return padded_chain(
            sheared, lambda y: twist(y, -1) - torch.tensor([0.5, 0.0]).to(y), 2, lipschitz=2.0
        )

    def act(g, x):
        return act_padded(lambda v: group.act_points(g, v), x)

    return Case(f"padded-twist-{group}", make, (4,), group, act, broken=broken)


CASES = [
    *(squeezed(group, "trivial", 4) for group in (C2, C4, D2, D4)),
    *(squeezed(group, "regular", 2) for group in (C2, C4, D2, D4)),
    squeezed_twice(C4, 4),
    squeezed_twice(D4, 8),
    *(exponential(group, "regular", "zero", 3) for group in (C1, C2, C4, D2, D4)),
    *(exponential(group, "regular", "circular", 4) for group in (C2, C4, D2, D4)),
    exponential(C4, "trivial", "zero", 4, kernel_size=5),
    exponential(D4, "trivial", "circular", 5, kernel_size=5),
    *(fourier(group, "regular", (4, 4)) for group in (C4, D4)),
    fourier(D2, "trivial", (3, 4)),
    fourier(C4, "trivial", (5, 5)),
    fourier(D4, "trivial", (4, 4)),
    *(circulant(group, "regular", 2, 2) for group in (C2, C4, D2, D4)),
    circulant(D4, "trivial", 3, 3),
    transform((4, 4)),
    transform((5, 5)),
    universal(cyclic(5)),
]
