"""The layers that every model has: actnorm and logit, and a chain of them."""

import torch
from case import Case

from eqflow.density.bijection import Bijection, Chain, Inverse, no_change
from eqflow.density.elementwise import ActNorm, Logit
from eqflow.symmetry import cyclic, dihedral
from eqflow.symmetry.linear import act_features

D4 = dihedral(4)


def generic(bijection, generator, size=0.4):
    """In float64, with every parameter drawn anew."""
    with torch.no_grad():
        for parameter in bijection.double().parameters():
            parameter.normal_(0, size, generator=generator)
    return bijection


class Offset(Bijection):
    """Adds a number of its own to every pixel: invertible, and equivariant to nothing."""

    def __init__(self, event_shape, generator):
        super().__init__(event_shape)
        self.register_buffer("offset", torch.randn(event_shape, generator=generator, dtype=torch.float64))

    def _encode(self, x):
        return x + self.offset, no_change(x)

    def _decode(self, z):
        return z - self.offset, no_change(z)


def regular_actnorm(group, fields, side):
    shape = (fields * group.field_size, side, side)
    return Case(
        f"actnorm-regular-{group}",
        lambda g: generic(ActNorm(shape, group, field_type="regular"), g),
        shape,
        group,
        group.act_field,
        broken=lambda g: generic(ActNorm(shape), g),  # a scale per channel instead of one per field
    )


def vector_actnorm(group, channels):
    return Case(
        f"actnorm-vectors-{channels}-{group}",
        lambda g: generic(ActNorm((channels,), field_type="vector"), g),
        (channels,),
        group,
        lambda g, x: act_features(group, g, x, "vector"),
        broken=lambda g: generic(ActNorm((channels,)), g),
    )


def image_actnorm():
    return ActNorm((3, None, None))


def logit_inverse():
    """This way round, so that any x will do."""
    return Inverse(Logit((1, 5, 5), alpha=0.05))


CASES = [
    regular_actnorm(cyclic(4), 2, 3),
    regular_actnorm(D4, 1, 4),
    vector_actnorm(cyclic(5), 4),
    vector_actnorm(dihedral(8), 6),
    vector_actnorm(cyclic(7), 2),
    Case(
        "actnorm-trivial",
        lambda g: generic(image_actnorm(), g),
        (3, 4, 4),
        D4,
        D4.act_image,
        broken=lambda g: Chain([generic(image_actnorm(), g), Offset((3, 4, 4), g)]),
    ),
    Case(
        "logit-inverse",
        lambda g: logit_inverse(),
        (1, 5, 5),
        D4,
        D4.act_image,
        broken=lambda g: Chain([Offset((1, 5, 5), g), logit_inverse()]),
    ),
    Case(
        "chain",
        lambda g: generic(Chain([image_actnorm(), Chain([image_actnorm(), Inverse(image_actnorm())])]), g),
        (3, 3, 3),
        D4,
        D4.act_image,
        broken=lambda g: Chain([generic(image_actnorm(), g), Offset((3, 3, 3), g)]),
    ),
]
