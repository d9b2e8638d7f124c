"""Checks of notebook 33: coupling layers."""

from __future__ import annotations

import torch
from torch.func import jacrev, vmap

from ...symmetry import dihedral
from ..exercise import exercise, require
from ..same import same


@exercise("33.1", minutes=10)
def sign_changes_pass(answer, salt):
    """A coupling layer of two vectors that commutes with a change of all signs, whatever its networks."""
    u, v, weight, bias = salt.randn(20, 3), salt.randn(20, 3), salt.randn(3, 3), salt.randn(3)

    def s(u):
        return torch.tanh(u @ weight + bias)

    def t(u):
        return torch.sin(u @ weight.T + 2 * bias)

    found, log_det = answer(u, v, s, t)
    mirrored, mirrored_log_det = answer(-u, -v, s, t)
    look = "'Images: the group shuffles': what must s and t do when u changes its sign?"
    same(mirrored, -found, expected="-v' for (-u, -v)", look=look)
    same(mirrored_log_det, log_det, expected="the same log-determinant for (-u, -v)", look=look)
    slopes = vmap(jacrev(lambda v, u: answer(u[None], v[None], s, t)[0][0]))(v, u)
    words = "the log-determinant that automatic differentiation finds"
    same(log_det, torch.linalg.slogdet(slopes).logabsdet, expected=words, look="the log-det is the sum of s")
    spread = slopes.diagonal(dim1=1, dim2=2).std(dim=0).min()
    shifted = answer(u, torch.zeros_like(v), s, t)[0].abs().amax(0).min()
    require(
        bool(spread > 1e-3 and shifted > 1e-3),
        expected="a scale and a shift that depend on u",
        got="a constant",
        look="keep of each network the part that has the right sign",
    )


@exercise("33.2", minutes=15)
def mask_keeps_a_quarter(answer, salt):
    """A mask that D4 leaves alone and that keeps about a quarter of the pixels."""
    for _ in range(3):
        side = salt.choice([8, 12, 16, 20, 28])
        mask = torch.as_tensor(answer(side))
        require(
            mask.dtype == torch.bool and mask.shape == (side, side),
            expected=f"a bool mask of {side} x {side}",
            got=f"{mask.dtype} of {tuple(mask.shape)}",
            look="folded_checkerboard gives one",
        )
        image = mask[None, None].double()
        broken = [g for g in dihedral(4) if not dihedral(4).act_image(g, image).equal(image)]
        require(
            not broken,
            expected="the same mask after every element of D4",
            got=f"another one after the elements {broken}",
            look="'One channel only': distances to the nearest border do not change",
        )
        share = float(image.mean())
        require(
            0.15 < share < 0.35,
            expected=f"about a quarter of the pixels on side {side}",
            got=f"{share:.0%}",
            look="a quarter is a half of a half",
        )


@exercise("33.3", minutes=15)
def scale_turns_with_the_image(answer, salt):
    """A scale network that pools over the group only, and turns with the image."""
    group, count = salt.group(["C4", "D4"]), 3
    features = salt.randn(2, count * len(group), 6, 6)  # regular fields
    weight, bias = salt.randn(1, count, 1, 1), salt.randn(1)
    found = answer(features, len(group), weight, bias)
    look = "notebook 37, 'Exact against soft': what is pooled, and over what"
    for g in group:
        moved = answer(group.act_field(g, features), len(group), weight, bias)
        words = f"a picture that turns with the image, under {group}"
        same(moved, group.act_image(g, found), expected=words, look=look)
    spread = float(found.flatten(1).std(1).min())
    require(spread > 1e-3, expected="another number at every pixel", got="one for the whole image", look=look)
