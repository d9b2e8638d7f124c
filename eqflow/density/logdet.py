r"""log |det (I + J)| of a residual map x + g(x) with contractive g: exact, by a cut series, by roulette.

Each function takes a pair x, y = g(x), y computed from x with gradients enabled, and returns a `LogDet`. With
||J|| < 1,

    log det (I + J) = sum_{k >= 1} (-1)^{k+1} / k  tr J^k,      tr J^k = E v^T J^k v   (Hutchinson),

with v of independent random signs. The truncated series is biased. Russian roulette draws how many terms N
there are, and divides term k by the chance of reaching it: unbiased, at the price of variance. The gradient

    d log det (I + J) = E [ ( sum_{k >= 1} (-1)^{k+1} v^T J^{k-1} )  dJ  v ]

needs the graph of one vector-Jacobian product only, that of the sum (detached) with J: memory does not
grow with the number of terms (the Neumann series).

Source: Chen et al., Residual Flows (2019), equations 6 to 8; used in Bose et al. (2021), section 4.1.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

TAILS = {"geometric": 0.5, "poisson": 2.0}  # kind: default rate


@dataclass(frozen=True)
class LogDet:
    """A log-determinant, and how much is known about it.

    Attributes:
        value: (B,). Of an estimate, the gradient is an unbiased (or equally truncated) estimate of its own,
            and is not the derivative of `value` as a function of the random numbers.
        standard_error: (B,), over the probes; 0 if exact, inf with a single probe, which cannot tell. It
            knows nothing of the bias of a truncated series: see `truncation_bound`.
        exact: Whether `value` is no estimate.
    """

    value: Tensor
    standard_error: Tensor
    exact: bool


def exact(x: Tensor, y: Tensor, *, batch: int = 256) -> LogDet:
    """From the whole Jacobian, D vector-Jacobian products for events of D numbers, `batch` of them at once.

    Args:
        x: (B, ...), requires grad.
        y: g(x), of the same shape.
        batch: More is faster and takes more memory.

    Returns:
        The exact log |det (I + J)|, differentiable if gradients are enabled.
    """
    size, keep = x.shape[1:].numel(), torch.is_grad_enabled()
    if not len(x):  # batched products fail on it
        empty = y.flatten(1).sum(1)
        return LogDet(empty, torch.zeros_like(empty), exact=True)
    units = torch.eye(size, dtype=x.dtype, device=x.device).view(size, 1, *x.shape[1:]).expand(-1, *x.shape)
    rows = [_products(chunk, x, y, create_graph=keep) for chunk in units.split(batch)]
    return of_jacobian(torch.cat(rows).flatten(2).transpose(0, 1))


def of_jacobian(jacobian: Tensor) -> LogDet:
    """The exact log |det (I + J)| of Jacobians J (B, D, D)."""
    if jacobian.shape[-1] == 2:
        (a, b), (c, d) = (row.unbind(-1) for row in jacobian.unbind(-2))
        value = ((1 + a) * (1 + d) - b * c).abs().log()
    else:
        dtype = torch.promote_types(jacobian.dtype, torch.float32)  # LAPACK knows no half precision
        eye = torch.eye(jacobian.shape[-1], dtype=dtype, device=jacobian.device)
        value = torch.linalg.slogdet(eye + jacobian).logabsdet.to(jacobian.dtype)
    return LogDet(value, torch.zeros_like(value), exact=True)


def series(
    x: Tensor, y: Tensor, *, terms: int = 10, probes: int = 1, generator: torch.Generator | None = None
) -> LogDet:
    """The first `terms` terms of the series, traces estimated with `probes` random sign vectors: biased.

    Args:
        x, y: As in `exact`.
        terms: At least 1.
        probes: At least 1.
        generator: Of the probes, on the device of x.
    """
    _require(terms=terms, probes=probes)
    return _over_probes(weighted_series(x, y, signs(x, probes, generator), torch.ones(probes, terms)))


def roulette(
    x: Tensor,
    y: Tensor,
    *,
    exact_terms: int = 2,
    tail: str = "geometric",
    rate: float | None = None,
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> LogDet:
    """Unbiased: `exact_terms` terms of the series, then N more, term exact_terms + j divided by P(N >= j).

    The number of terms is drawn once per probe for the whole batch, so the errors of the events in a batch
    are not independent. The variance is finite if the terms fall faster than the chance of reaching them: for
    the geometric law if rho^2 < 1 - rate, rho the spectral radius of J; for the Poisson law, whose tail falls
    faster than any power, strictly never, though the event that spoils it may be too rare to be met.

    Args:
        x, y: As in `exact`.
        exact_terms: At least 0.
        tail: "geometric": N >= 1 with P(N >= j) = (1 - rate)^(j - 1), mean 1 / rate; "poisson": mean `rate`.
        rate: .5 (geometric) or 2 (poisson) by default.
        probes: At least 1.
        generator: Of the probes and of N, on the device of x.

    N is drawn on the host, also from a generator of a GPU: by its state, so that no step waits for a number.
    """
    _require(probes=probes)
    if exact_terms < 0:
        raise ValueError(f"expected exact_terms >= 0; got {exact_terms}")
    if tail not in TAILS:
        raise ValueError(f"expected a tail among {tuple(TAILS)}; got {tail!r}")
    rate = TAILS[tail] if rate is None else rate
    if rate <= 0 or (tail == "geometric" and rate >= 1):
        raise ValueError(f"expected a positive rate, below 1 if geometric; got {rate} ({tail})")
    uniform = torch.rand(probes, dtype=torch.float64, generator=_on_the_host(generator)).tolist()
    weights = [[1.0] * exact_terms + tail_weights(u, tail, rate) for u in uniform]
    n = max(map(len, weights))
    padded = torch.tensor([row + [0.0] * (n - len(row)) for row in weights], dtype=torch.float64)
    return _over_probes(weighted_series(x, y, signs(x, probes, generator), padded))


def _on_the_host(generator: torch.Generator | None) -> torch.Generator | None:
    """Itself, or for one of another device a generator that its seed and its place in the stream decide."""
    if generator is None or generator.device.type == "cpu":
        return generator
    digest = hashlib.sha256(generator.get_state().numpy().tobytes()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 2)


def tail_weights(uniform: float, tail: str, rate: float) -> list[float]:
    """1 / P(N >= j) for j = 1 .. N, with N drawn by inversion: N >= j where P(N >= j) > uniform in [0, 1)."""
    weights, j = [], 1
    while (chance := _reaching(j, tail, rate)) > uniform and j < 1000:
        weights.append(1 / chance)
        j += 1
    return weights


@functools.lru_cache(1000)
def _reaching(j: int, tail: str, rate: float) -> float:
    """P(N >= j), summed from the small end, since 1 - P(N < j) would lose all digits."""
    if tail == "geometric":
        return (1 - rate) ** (j - 1)
    log_terms = (n * math.log(rate) - rate - math.lgamma(n + 1) for n in range(j, j + 60 + int(4 * rate)))
    return sum(map(math.exp, reversed(list(log_terms))))


def weighted_series(x: Tensor, y: Tensor, probes: Tensor, weights: Tensor) -> Tensor:
    """sum_k weights[:, k-1] (-1)^{k+1} / k  v^T J^k v for each probe v, with its Neumann gradient.

    The last of the products, bracket^T J v, has a graph and gives the gradient. It also holds the last term,
    so no product is made for that alone: with t_k = (-1)^{k+1} weights[:, k-1] v^T J^k v it equals the sum of
    the t_k, and the value is sum t_k / k = product / n + sum_{k < n} t_k (1 / k - 1 / n).

    Args:
        x, y: As in `exact`.
        probes: (P, B, ...).
        weights: (P, n), on the CPU: what is drawn there reaches a GPU as the numbers of its operations.

    Returns:
        (P, B).
    """
    n, rows, bracket = weights.shape[1], probes, torch.zeros_like(probes)
    value = torch.zeros(probes.shape[:2], dtype=x.dtype, device=x.device)
    if n == 0:
        return value
    for k, column in enumerate(zip(*weights.tolist(), strict=True), 1):
        column = [weight if k % 2 else -weight for weight in column]
        bracket = bracket + _scaled(rows, column)
        if k < n:
            rows = _products(rows, x, y)
            value = value + _scaled(_dot(rows, probes), [(1 / k - 1 / n) * weight for weight in column])
    last = _dot(_products(bracket, x, y, create_graph=torch.is_grad_enabled()), probes)
    return value + last.detach() / n + (last - last.detach())


def truncation_bound(dimension: int, lipschitz: float, terms: int) -> float:
    """Largest possible bias of `series`: D L^{n+1} / ((n + 1) (1 - L)), for events of D numbers.

    Raises:
        ValueError: For a Lipschitz constant L outside [0, 1): the series need not converge.
    """
    if not 0 <= lipschitz < 1:
        raise ValueError(f"expected a Lipschitz constant in [0, 1); got {lipschitz}")
    return dimension * lipschitz ** (terms + 1) / ((terms + 1) * (1 - lipschitz))


def _products(rows: Tensor, x: Tensor, y: Tensor, create_graph: bool = False) -> Tensor:
    """row^T J for rows (P, B, ...)."""
    if len(rows) == 1:  # what batches the products costs time
        return torch.autograd.grad(y, x, rows[0], retain_graph=True, create_graph=create_graph)[0][None]
    return torch.autograd.grad(
        y, x, rows, retain_graph=True, create_graph=create_graph, is_grads_batched=True
    )[0]


def _scaled(rows: Tensor, numbers: list[float]) -> Tensor:
    """Row p times number p."""
    if len(set(numbers)) == 1:
        return rows * numbers[0]
    return torch.stack([row * number for row, number in zip(rows, numbers, strict=True)])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(2).sum(2)


def signs(x: Tensor, probes: int, generator: torch.Generator | None) -> Tensor:
    """Independent random signs (probes, *x.shape)."""
    bits = torch.randint(2, (probes, *x.shape), dtype=x.dtype, device=x.device, generator=generator)
    return bits.mul_(2).sub_(1)


def _over_probes(values: Tensor) -> LogDet:
    value, spread = values.mean(0), values.detach()
    error = spread.std(0) / len(spread) ** 0.5 if len(spread) > 1 else torch.full_like(spread[0], math.inf)
    return LogDet(value, error, exact=False)


def _require(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"expected a positive number of {name}; got {count}")
