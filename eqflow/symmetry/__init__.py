"""What both papers share: groups, motions, how they act, and how exact a model is.

Steerable convolutions are in :mod:`eqflow.symmetry.steerable`. For groups that are exact on the pixel grid
they need nothing else; the first layer of any other group loads escnn, and that takes seconds.
"""

from .checks import assert_equivariant, equivariance_error, invariance_error
from .groups import PlanarGroup, RotationGroup, cyclic, dihedral
from .motions import Motion, MotionSet, Rotation, Translation, rotation_set, translation_grid

__all__ = [
    "Motion",
    "MotionSet",
    "PlanarGroup",
    "Rotation",
    "RotationGroup",
    "Translation",
    "assert_equivariant",
    "cyclic",
    "dihedral",
    "equivariance_error",
    "invariance_error",
    "rotation_set",
    "translation_grid",
]
