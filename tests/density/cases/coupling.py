"""Coupling of images and of plane vectors, autoregressive layers: groups C1 to D8, even and odd sizes."""

import torch
from case import Case

from eqflow.density.autoregressive import GAutoregressive
from eqflow.density.bijection import Inverse
from eqflow.density.coupling import GCoupling
from eqflow.density.masks import folded_checkerboard
from eqflow.density.vector_coupling import VectorCoupling
from eqflow.symmetry import cyclic, dihedral
from eqflow.symmetry.linear import act_features

C1, C2, C4, D2, D4 = cyclic(1), cyclic(2), cyclic(4), dihedral(2), dihedral(4)
SMALL = {"hidden_fields": 3, "depth": 1}


def generic(bijection, generator):
    """In float64; the last layers, which start near zero, speak as loudly as the others, and so do biases."""
    bijection.double().reset_parameters(generator)
    with torch.no_grad():
        for parameter in bijection.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.2)
    return bijection


class HadamardCoupling(VectorCoupling):
    """Remark 1: a vector-valued s(u), turning with u, in v * exp(s(u)) + t(u). Not equivariant."""

    def affine(self, u):
        m, shift = super().affine(u)
        return torch.diag_embed(self.heads(u)[1][:, : m.shape[1]]), shift


def image_case(name, layer, group, event, **options):
    act = group.act_field if options.get("field_type") == "regular" else group.act_image

    def make(g):
        return generic(layer(group, event, **SMALL, **options), g)

    def broken(g):  # the same without symmetry
        free = {key: value for key, value in options.items() if key != "field_type"}
        return generic(layer(C1, event, **SMALL, **free), g)

    if group == C1:
        return Case(f"{name}-C1", make, event)
    return Case(f"{name}-{group}", make, event, group, act, broken=broken)


def iaf(*args, **options):
    return InverseWithReset(GAutoregressive(*args, **options))


class InverseWithReset(Inverse):
    def reset_parameters(self, generator=None):
        self.bijection.reset_parameters(generator)


def points_case(group, vectors, tested_on=None, **options):
    claimed = tested_on or group
    return Case(
        f"coupling-{vectors}-vectors-{group}-{options.get('mode', 'matrix')}",
        lambda g: generic(VectorCoupling(group, vectors, hidden=6, **options), g),
        (2 * vectors,),
        claimed,
        lambda g, x: act_features(claimed, g, x, "vector"),
        broken=lambda g: generic(HadamardCoupling(group, vectors, hidden=6, **options), g),
    )


regular = {"field_type": "regular"}

CASES = [
    image_case("coupling", GCoupling, C1, (3, 4, 5)),
    image_case("coupling", GCoupling, D2, (2, 3, 6)),
    image_case("coupling-3-channels", GCoupling, D4, (3, 5, 5)),
    image_case("coupling-regular", GCoupling, C2, (6, 4, 4), **regular),
    image_case("coupling-regular-flip", GCoupling, C4, (12, 3, 3), flip=True, **regular),
    image_case("coupling-regular", GCoupling, D4, (16, 4, 4), **regular),
    image_case("coupling-mask-odd", GCoupling, C4, (1, 5, 5), mask=folded_checkerboard(5, 5)),
    image_case(
        "coupling-mask-even-flip", GCoupling, D4, (1, 6, 6), mask=folded_checkerboard(6, 6), flip=True
    ),
    image_case("coupling-mask-rectangle", GCoupling, D2, (2, 4, 5), mask=folded_checkerboard(4, 5)),
    image_case("coupling-mask-regular", GCoupling, C4, (4, 4, 4), mask=folded_checkerboard(4, 4), **regular),
    Case("coupling-soft", lambda g: generic(GCoupling(C4, (2, 5, 6), soft=True, **SMALL), g), (2, 5, 6)),
    Case("coupling-vectors-C1", lambda g: generic(VectorCoupling(C1, 2, hidden=6), g), (4,)),
    points_case(cyclic(2), 3),
    points_case(cyclic(5), 2),
    points_case(cyclic(5), 3, mode="scalar", flip=True),
    points_case(dihedral(8), 4),
    points_case("SO(2)", 2, cyclic(7)),
    points_case("SO(2)", 5, cyclic(7), flip=True),
    points_case("SO(2)", 3, cyclic(7), mode="scalar"),
    points_case("O(2)", 2, dihedral(5)),
    points_case("O(2)", 4, dihedral(5)),
    image_case("autoregressive-3-blocks", GAutoregressive, C1, (3, 4, 5), blocks=3),
    image_case("autoregressive-3-blocks", GAutoregressive, D4, (3, 5, 5), blocks=3),
    image_case("autoregressive-regular", GAutoregressive, C4, (8, 4, 4), **regular),
    image_case("autoregressive-inverse", iaf, C4, (3, 4, 4), blocks=3),
]
