"""A multi-scale density of images that is exactly invariant under a planar group: Glow, with symmetry."""

from __future__ import annotations

from torch import Tensor

from eqflow.symmetry import PlanarGroup

from .bases import StandardNormal
from .bijection import Bijection, Chain
from .circulant import GroupCirculant
from .coupling import GCoupling
from .elementwise import ActNorm, Logit
from .fields import FieldType
from .flow import NormalizingFlow
from .masks import folded_checkerboard, is_invariant
from .squeeze import Squeeze


def glow(
    group: PlanarGroup,
    shape: tuple[int, int, int],
    *,
    scales: int = 3,
    blocks: int = 4,
    hidden_fields: int = 12,
    depth: int = 2,
    splines: int = 0,
    classes: int | None = None,
    padding: str = "zero",
    alpha: float = 0.05,
) -> NormalizingFlow:
    """p(x) of images in [0, 1], with p(g x) = p(x) for every g of the group; `cyclic(1)` gives a plain Glow.

    After a logit, every scale has blocks of an actnorm, a 1x1 map that mixes whole fields (`GroupCirculant`)
    and a coupling with one network for scales and shifts; between scales 2x2 blocks of pixels become channels
    (`Squeeze`). Couplings split pixels by the folded checkerboard where the group keeps it, else fields.
    `fit` and `initialize` set the actnorms from data.

    Args:
        group: C1, C2, C4, D1, D2 or D4; with one scale any C_n or D_n, given two channels to split.
        shape: (C, H, W), the sides divisible by 2^(scales - 1).
        scales, blocks: Scales, and blocks in each.
        hidden_fields, depth: Regular fields in each hidden layer of a coupling's network, and hidden layers.
        splines: Bins of a spline that bends each coupled number before it is scaled and shifted; 0: none.
        classes: How many labels there are: p(x | label); None for a density without.
        padding: Of every convolution, "zero" or "circular".
        alpha: Of the logit.

    Raises:
        ValueError: For sides that cannot be halved so often, and groups that do not map the grid to itself.

    Source: Kingma and Dhariwal 2018, and Dinh et al. 2017 for the masks. The coupling and the equivariant
    linear map are those of Bose et al. 2021 (Proposition 2, section 4.6); to stack them in several scales of
    exact fields is ours, and nothing is factored out between scales.
    """
    if shape[1] % 2 ** (scales - 1) or shape[2] % 2 ** (scales - 1):
        raise ValueError(f"expected sides divisible by {2 ** (scales - 1)} for {scales} scales; got {shape}")
    fields = FieldType.of(group, shape[0], "trivial")
    links: list[Bijection] = [Logit(shape, alpha)]
    options = {"hidden_fields": hidden_fields, "depth": depth, "inner_kernel_size": 1, "padding": padding}
    options |= {"joint": True, "splines": splines, "classes": classes}
    for scale in range(scales):
        if scale:
            links.append(Squeeze(group, fields))
            fields = links[-1].encoded_type
            shape = (fields.channels, shape[1] // 2, shape[2] // 2)
        mask = invariant_mask(group, shape)
        for block in range(blocks):
            links.append(ActNorm(shape, group, field_type=fields))
            if fields.channels > 1:  # else actnorm has scaled it
                links.append(GroupCirculant(group, fields))
            flip = bool(block % 2)
            links.append(GCoupling(group, shape, field_type=fields, mask=mask, flip=flip, **options))
    links.append(ActNorm(shape, group, field_type=fields, classes=classes))
    return NormalizingFlow(StandardNormal(shape), Chain(links))


def invariant_mask(group: PlanarGroup, shape: tuple[int, int, int]) -> Tensor | None:
    """The folded checkerboard, where it can split the pixels of images (C, H, W); else None, to split fields.

    Turns by less than a quarter keep no mask, and 2x2 pixels have none.
    """
    mask = folded_checkerboard(*shape[1:])
    return mask if mask.any() and is_invariant(mask, group) else None
