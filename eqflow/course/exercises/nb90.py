"""Checks of notebook 90: the board and its judge."""

from __future__ import annotations

import math

from ..exercise import exercise, require


@exercise("90.1", minutes=15)
def interval_covers(answer, salt):
    """A 95 % interval that holds the true difference in about 95 of 100 cases, paired over seeds."""
    look = "'How is a verdict computed?': differences first, then t for n - 1, s, and the root of n"
    for n in (3, 6):
        true, held, rounds = salt.uniform(-1, 1), 0, 800
        theirs, noise = 5 * salt.randn(rounds, n), salt.uniform(0.5, 2) * salt.randn(rounds, n)
        for base, gaps in zip(theirs.tolist(), noise.tolist(), strict=True):
            low, high = answer([b + true + g for b, g in zip(base, gaps, strict=True)], base)
            held += low <= true <= high
        share = held / rounds
        require(
            0.925 < share < 0.975,
            expected=f"the true difference inside in about 95 % of {rounds} cases with {n} seeds",
            got=f"{100 * share:.1f} %",
            look=look,
        )
    shared = [(salt.uniform(-1, 1), salt.uniform(-1, 1)) for _ in range(4)]
    plain = answer(*zip(*shared, strict=True))
    moved = answer(*zip(*[(a + 100 * k, b + 100 * k) for k, (a, b) in enumerate(shared)], strict=True))
    error = max(abs(a - b) for a, b in zip(plain, moved, strict=True))
    require(error < 1e-9, expected="no change by what both share at a seed", got=f"{error:.2g}", look=look)
    swapped = answer(*zip(*[(b, a) for a, b in shared], strict=True))
    error = max(abs(swapped[0] + plain[1]), abs(swapped[1] + plain[0]))
    require(error < 1e-9, expected="ends that change sign and place with the models", got=f"{error:.2g}")


@exercise("90.2", minutes=10)
def seeds_may_disagree(answer, salt):
    """Below the bound at every seed, at none, or undecided."""
    n, bound = salt.integer(2, 5), salt.uniform(0.2, 0.8)
    theirs = [salt.uniform(1, 3) for _ in range(n)]
    low = [bound * b * salt.uniform(0.3, 0.9) for b in theirs]
    high = [bound * b * salt.uniform(1.1, 3) for b in theirs]
    place = salt.integer(0, n - 1)
    one_bad = [h if k == place else a for k, (a, h) in enumerate(zip(low, high, strict=True))]
    one_bad[place] = 1e-3 * sum(theirs) + bound * theirs[place]  # barely above: the mean is below
    missing = [math.nan if k == place else a for k, a in enumerate(low)]
    cases = {"all below": (low, "holds"), "all above": (high, "fails")}
    cases |= {"one above": (one_bad, "undecided"), "one missing": (missing, "undecided")}
    for name, (ours, wanted) in cases.items():
        came = answer(ours, theirs, bound)
        require(came == wanted, expected=f'"{wanted}", {name} of {n} seeds', got=f"{came!r}")
    for name, wanted in {"one above": "undecided", "all missing": "undecided"}.items():
        ours = one_bad if name == "one above" else [math.nan] * n
        came = answer(ours[::-1], theirs[::-1], bound)
        require(came == wanted, expected=f'"{wanted}", {name}, seeds in another order', got=f"{came!r}")
