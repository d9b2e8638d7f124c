"""Checks of notebook 40: log-determinants, exact and estimated."""

from __future__ import annotations

import torch

from ..exercise import exercise, require


@exercise("40.1", minutes=10)
def cut_series_keeps_its_bound(answer, salt):
    """log det (I + J) by traces of powers: within the bound on what is cut off."""
    size = 6
    J = salt.randn(size, size)
    rho = salt.uniform(0.4, 0.7)
    J = rho * J / torch.linalg.matrix_norm(J, 2)
    truth = float(torch.linalg.slogdet(torch.eye(size).double() + J).logabsdet)
    for terms in (1, 2, 3, 8, 40):
        bound = size * rho ** (terms + 1) / ((terms + 1) * (1 - rho)) + 1e-10
        off = abs(float(answer(J, terms)) - truth)
        require(
            off <= bound,
            expected=f"an error of at most {bound:.1e} nats after {terms} terms",
            got=f"{off:.1e}",
            look="'A series, and what cutting it costs': signs alternate, and term k is divided by k",
        )
    still = abs(float(answer(J, 1)) - float(J.trace()))
    require(
        still < 1e-9,
        expected="the trace of J, where the first term is all",
        got=f"{still:.1e} off",
        look="the first term of the series",
    )


@exercise("40.2", minutes=20)
def every_term_counts_once(answer, salt):
    """Weights of the roulette with which every term counts once on average."""
    keep, exact_terms = salt.uniform(0.3, 0.8), salt.integer(0, 4)
    for place in range(exact_terms + 12):  # place 0 is the term k = 1
        mean = 0.0
        for extra in range(1, 400):
            weights = answer(extra, exact_terms, keep)
            require(
                len(weights) == exact_terms + extra,
                expected=f"{exact_terms} + {extra} weights, one per term computed",
                got=f"{len(weights)}",
                look="'Russian roulette'",
            )
            chance = keep ** (extra - 1) * (1 - keep)  # of N = extra, where P(N >= j) = keep^(j-1)
            mean += chance * float(weights[place]) if place < len(weights) else 0.0
        require(
            abs(mean - 1) < 1e-6,
            expected=f"term {place + 1} counted once on average ({exact_terms} exact, keep {keep:.2f})",
            got=f"{mean:.3f} times",
            look="'Russian roulette': divide each term by the chance that it is reached",
        )
