"""Checks of notebook 30: equivariant map, invariant base, invariant density."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.func import jacrev, vmap

from ..exercise import exercise, require
from ..same import same


@exercise("30.1", minutes=10)
def average_is_an_invariant_density(answer, salt):
    """The average over a group is invariant, weighs 1, and stands small numbers."""
    group, centre = salt.group(["C3", "C4", "D3", "D4"]), 1 + salt.rand(2)
    moves = [partial(group.act_points, g) for g in group]

    def log_p(x):
        return -(x - centre).square().sum(1) / 2 - math.log(2 * math.pi)

    x = 2 * salt.randn(30, 2)
    found = answer(log_p, moves, x)
    for move in moves:
        words = f"the same for every element of {group}"
        same(answer(log_p, moves, move(x)), found, expected=words, look="'Another way: the average'")
    axis = torch.linspace(-9, 9, 121, dtype=torch.float64)
    mass = float(
        answer(log_p, moves, torch.cartesian_prod(axis, axis)).exp().sum() * (axis[1] - axis[0]) ** 2
    )
    require(
        abs(mass - 1) < 1e-6,
        expected="a density: mass 1 on a wide grid",
        got=f"mass {mass:.4f}",
        look="the formula of p_G: it is the densities that are averaged, not their logarithms",
    )
    small = answer(lambda x: log_p(x) - 2000, moves, x)
    words = "log p lower by 2000 where every log p is lower by 2000"
    same(small, found - 2000, expected=words, look="torch.logsumexp: exp(-2000) is 0 in float64")


@exercise("30.2", minutes=10)
def slices_move_like_a_disc(answer, salt):
    """Turns and mirror images of a disc in n slices: 2n permutations that keep neighbours side by side."""
    n = salt.integer(5, 9)
    moves = {tuple(int(i) for i in move) for move in answer(n)}
    whole = set(range(n))
    require(
        all(set(move) == whole and len(move) == n for move in moves),
        expected=f"permutations of 0 to {n - 1}",
        got="something else among them",
        look="a move says of each slice at which place it ends",
    )
    require(
        len(moves) == 2 * n,
        expected=f"{2 * n} different moves of {n} slices",
        got=f"{len(moves)}",
        look="'The quartered circle': four turns, and four mirrored turns, of 24",
    )
    closed = all(tuple(a[i] for i in b) in moves for a in moves for b in moves)
    require(
        closed,
        expected="moves such that one after the other is again one of them",
        got="two that make a third, which is not listed",
        look="a turn after a mirror is a mirror",
    )
    torn = [m for m in moves if any((m[(i + 1) % n] - m[i]) % n not in (1, n - 1) for i in range(n))]
    require(
        not torn,
        expected="neighbours that stay neighbours: the disc is not cut",
        got=f"{len(torn)} moves that tear some apart",
        look="'The quartered circle': the other rearrangements are no motion of the disc",
    )


@exercise("30.3", minutes=15)
def twist_is_invisible(answer, salt):
    """A map that is not equivariant to mirrors, and leaves a normal density as it is."""
    x = 1.5 * salt.randn(60, 2)
    where = "'Break it', the trap: what does the normal base look at?"
    words = "the distance of every point from the origin kept"
    same(answer(x).norm(dim=1), x.norm(dim=1), expected=words, look=where)
    slopes = vmap(jacrev(lambda point: answer(point[None])[0]))(x)
    words = "areas kept: |det J| = 1"
    same(torch.linalg.det(slopes).abs(), torch.ones(60).double(), expected=words, look=where)
    mirror = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    apart = float((answer(x * mirror) - answer(x) * mirror).abs().max())
    require(
        apart > 0.01,
        expected="mirrored first or mirrored afterwards: not the same",
        got=f"a difference of {apart:.1e}",
        look="a turn by an angle that depends on the distance has a sense of rotation",
    )
    turn = torch.linalg.lstsq(x, answer(x)).solution
    straight = float((x @ turn - answer(x)).abs().max())
    require(
        straight > 0.01,
        expected="a map that bends: no single matrix does the same",
        got=f"a matrix that does it to {straight:.1e}",
        look="the angle has to depend on the point",
    )
