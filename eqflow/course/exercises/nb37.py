"""Checks of notebook 37: coupling densities of images."""

from __future__ import annotations

import math
from functools import partial

import torch

from ...symmetry import dihedral
from ..exercise import exercise, require
from ..same import same


@exercise("37.1", minutes=10)
def group_bits_are_a_mean_of_bits(answer, salt):
    """Average group bits/dim: a mean over orientations of what a code needs for each."""
    group, weight = salt.group(["C4", "D2", "D4"]), salt.randn(2 * 6 * 6)
    moves = [partial(group.act_image, g) for g in group]
    x = salt.rand(5, 2, 6, 6)

    def log_p(x):
        return 20 * (x.flatten(1) @ weight).tanh()

    look = "'Average group bits/dim', the formula"
    found = torch.as_tensor(answer(log_p, x, moves))
    words = "the same when all images are turned first"
    same(torch.as_tensor(answer(log_p, moves[1](x), moves)), found, expected=words, look=look)
    each = torch.stack([torch.as_tensor(answer(log_p, x, [move])) for move in moves])
    words = "the mean of the scores of the single orientations, not the score of their mean"
    same(found, each.mean(0), expected=words, look=look)
    flat = torch.as_tensor(answer(lambda x: torch.zeros(len(x)).double(), x, moves))
    words = "8 bits for a density that knows nothing"
    same(flat, torch.full_like(flat, 8.0), expected=words, look=look)
    better = torch.as_tensor(answer(lambda x: log_p(x) + x[0].numel() * math.log(2), x, moves))
    words = "one bit less where every number is twice as likely"
    same(better, found - 1, expected=words, look="D counts pixels and channels")


@exercise("37.2", minutes=15)
def orientations_fall_into_classes(answer, salt):
    """Which orientations a model with a smaller group cannot tell apart."""
    group = dihedral(salt.choice([4, 6]))
    half = group.n // 2
    inner = salt.choice([[0, half], [0, group.n + 1], [0, half, group.n, group.n + half]])
    classes = [frozenset(c) for c in answer(group, inner)]
    require(
        sorted(g for c in classes for g in c) == list(group),
        expected=f"every element of {group} in one class",
        got=f"classes of {sorted(map(len, classes))} elements",
        look="'One image, eight orientations'",
    )
    free = salt.randn(len(group))
    score = torch.stack([sum(free[group.compose(h, g)] for h in inner) for g in group])  # p(hx) = p(x)
    within = max(float(score[list(c)].max() - score[list(c)].min()) for c in classes)
    require(
        within < 1e-9,
        expected=f"one score per class, for a model with p(hx) = p(x), h in {inner}",
        got=f"scores that differ by {within:.1e} within a class",
        look="gx is moved by h afterwards: is that hg or gh?",
    )
    require(
        len(classes) == len(group) // len(inner),
        expected=f"{len(group) // len(inner)} classes, as large as can be",
        got=f"{len(classes)}",
        look="all that h in the inner group can reach belongs together",
    )
