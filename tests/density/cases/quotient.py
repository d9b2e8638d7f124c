"""Layers on the quotient fields that D4's squeeze makes; two and three scales of one channel; labels."""

import torch
from case import Case

from eqflow.density.bijection import Bijection, Chain
from eqflow.density.circulant import GroupCirculant
from eqflow.density.coupling import GCoupling
from eqflow.density.elementwise import ActNorm
from eqflow.density.fields import FieldType
from eqflow.density.masks import folded_checkerboard
from eqflow.density.quotient import QuotientResidual
from eqflow.density.residual import GResidual
from eqflow.density.squeeze import Squeeze
from eqflow.symmetry import cyclic, dihedral

from . import core
from .coupling import SMALL, generic

C1, C4, D4 = cyclic(1), cyclic(4), dihedral(4)
ONCE = Squeeze(D4, 2).encoded_type  # 2 quotients of 4 channels
TWICE = Squeeze(D4, Squeeze(D4).encoded_type).encoded_type  # 2 of them, and a regular field

SPLINES = {"joint": True, "splines": 3}


def actnorm(fields):
    shape = (fields.channels, 3, 3)
    return Case(
        f"actnorm-{fields}",
        lambda g: core.generic(ActNorm(shape, field_type=fields), g),
        shape,
        D4,
        fields.act,
        broken=lambda g: core.generic(ActNorm(shape), g),  # a scale per channel
    )


def squeezed(fields):
    def raster(generator):
        squeeze = Squeeze(D4, fields)
        squeeze.order = torch.arange(len(squeeze.order))
        return squeeze

    squeeze = Squeeze(D4, fields)
    shape = (fields.channels, 4, 4)
    return Case(
        f"squeeze-{fields}", lambda g: squeeze, shape, D4, fields.act, squeeze.encoded_type.act, raster
    )


def coupling(name, fields, side, **options):
    shape = (fields.channels, side, side)
    return Case(
        f"coupling-{name}-{fields}",
        lambda g: generic(GCoupling(D4, shape, field_type=fields, **SMALL, **options), g),
        shape,
        D4,
        fields.act,
        broken=lambda g: generic(GCoupling(C1, shape, **SMALL, **options), g),
    )


def circulant(fields):
    return Case(
        f"circulant-{fields}",
        lambda g: generic(GroupCirculant(D4, fields), g),
        (fields.channels, 3, 3),
        D4,
        fields.act,
        broken=lambda g: generic(GroupCirculant(C1, fields.channels), g),
    )


def residual(fields, side, **options):
    shape = (fields.channels, side, side)

    def plain(generator):
        return generic(GResidual(C1, shape, hidden_fields=(8, 8), **options), generator)

    return Case(
        f"residual-{fields}",
        lambda g: generic(QuotientResidual(fields, shape[1:], hidden_fields=(2, 1), **options), g),
        shape,
        D4,
        fields.act,
        broken=plain,
    )


def scales(group, side, count):
    """Actnorm and two couplings at every scale."""

    def make(generator, group=group):
        fields, links = FieldType.of(group, 1, "trivial"), []
        for scale in range(count):
            if scale:
                links.append(Squeeze(group, fields))
                fields = links[-1].encoded_type
            shape = (fields.channels, side // 2**scale, side // 2**scale)
            links.append(core.generic(ActNorm(shape, field_type=fields), generator))
            options = SMALL | {"field_type": fields, "mask": folded_checkerboard(*shape[1:])}
            options["max_log_scale"] = 0.5  # or four layers would amplify rounding a thousandfold
            links += [generic(GCoupling(group, shape, flip=flip, **options), generator) for flip in (0, 1)]
        return Chain(links)

    encoded = make(torch.Generator()).encoded_type
    return Case(
        f"{count}-scales-{group}",
        make,
        (1, side, side),
        group,
        group.act_image,
        encoded.act,
        broken=lambda g: make(g, group=C1),
    )


class Labelled(Bijection):
    """A conditional layer, for one label."""

    def __init__(self, bijection, label):
        super().__init__(bijection.event_shape, bijection.encoded_shape)
        self.bijection, self.label = bijection, label

    def _encode(self, x):
        return self.bijection.encode(x, torch.full((len(x),), self.label, device=x.device))

    def _decode(self, z):
        return self.bijection.decode(z, torch.full((len(z),), self.label, device=z.device))


def labelled(label):
    def make(generator, group=D4):
        mask, shape = folded_checkerboard(5, 5), (2, 5, 5)
        links = [generic(GCoupling(group, shape, mask=mask, classes=3, **SMALL), generator)]
        return Labelled(Chain([*links, core.generic(ActNorm(shape, classes=3), generator)]), label)

    return Case(
        f"conditional-{label}-D4", make, (2, 5, 5), D4, D4.act_image, broken=lambda g: make(g, group=C1)
    )


CASES = [
    *(actnorm(fields) for fields in (ONCE, TWICE)),
    squeezed(TWICE),
    coupling("split", ONCE, 3),
    coupling("split-flip", TWICE, 2, flip=True),
    coupling("mask-odd", TWICE, 3, mask=folded_checkerboard(3, 3)),
    coupling("mask-even", ONCE, 4, mask=folded_checkerboard(4, 4), flip=True),
    coupling("joint", TWICE, 3, mask=folded_checkerboard(3, 3), joint=True, inner_kernel_size=1),
    coupling("splines", ONCE, 3, flip=True, **SPLINES),
    coupling("splines-mask", ONCE, 4, mask=folded_checkerboard(4, 4), **SPLINES),
    circulant(TWICE),
    *(residual(fields, 3) for fields in (ONCE, TWICE)),
    *(scales(group, 12, 3) for group in (C4, D4)),
    *(labelled(label) for label in (0, 2)),
]
