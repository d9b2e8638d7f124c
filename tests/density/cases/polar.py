"""Maps in polar coordinates; the same map about another centre is what breaks their symmetry."""

import torch
from case import Case
from cases.core import Offset, generic

from eqflow.density.bijection import Chain, Inverse
from eqflow.density.polar import AngularMap, RadialMap
from eqflow.symmetry import dihedral


def radial(generator):
    bijection = generic(RadialMap(5), generator, 0.1)
    with torch.no_grad():
        bijection.mean += torch.tensor([-0.3, 0.0, 0.3, 0.5, 0.8], dtype=torch.float64)
        bijection.scale -= 2  # tails that fall soon
    return bijection


def both(n):
    def make(generator):
        return Chain([radial(generator), generic(AngularMap(dihedral(n), 3), generator)])

    return make


def case(name, make, group):
    def broken(generator):
        offset = Offset((2,), generator)
        return Chain([offset, make(generator), Inverse(offset)])

    return Case(f"polar-{name}", make, (2,), group, group.act_points, broken=broken)


CASES = [
    case("radial", radial, dihedral(7)),
    case("angular", lambda g: generic(AngularMap(dihedral(3), 2), g), dihedral(3)),
    case("both", both(8), dihedral(8)),
]
