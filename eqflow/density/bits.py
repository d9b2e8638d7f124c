"""Bits per dimension, as the sum of its terms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import torch
from torch import Tensor, nn

from .bijection import Bijection, Chain
from .elementwise import dequantize
from .flow import NormalizingFlow

COLUMNS = ["bits/dim", "standard error over images", "standard error of the estimate", "how"]


def links(bijection: Bijection) -> Iterator[Bijection]:
    """The bijections of a chain, and of the chains in it, in the order of `encode`."""
    if isinstance(bijection, Chain):
        for link in bijection:
            yield from links(link)
    else:
        yield bijection


def log_prob_terms(
    density: nn.Module, x: Tensor, context: Tensor | None = None
) -> dict[str, tuple[Tensor, bool]]:
    """The summands of log p(x), x (B, *event_shape): name -> ((B,) nats, whether it is exact).

    For a `NormalizingFlow` the base and every link of its bijection; for any other density log p itself.
    """
    labels = [] if context is None else [context]
    if not isinstance(density, NormalizingFlow):
        return {f"log density ({type(density).__name__})": (density.log_prob(x, *labels), density.exact)}
    terms = {}
    for number, link in enumerate(links(density.bijection), 1):
        x, log_det = link.encode(x, None if link.classes is None else context)
        terms[f"{number} {type(link).__name__}"] = (log_det, link.exact)
    return {f"base ({type(density.base).__name__})": (density.base.log_prob(x), True), **terms}


@torch.no_grad()
def bits_per_dim(
    density: nn.Module,
    images: Tensor,
    *,
    context: Tensor | None = None,
    levels: int = 256,
    generator: torch.Generator | None = None,
    allow_estimates: bool = False,
    repeats: int = 8,
    batch_size: int = 256,
) -> pd.DataFrame:
    r"""Mean bits per dimension of images, one row per term; the last row is their sum.

    It is log2 levels - log2 p(x) / D, with p the density on [0, 1]^D and D the numbers of an image: by Jensen
    an upper bound on the bits of a code for the integer images. The model is evaluated in eval mode, and left
    as it was.

    Args:
        density: A `NormalizingFlow` on images in [0, 1] (so its first link is usually a `Logit`), or a module
            with log_prob and exact, such as an `OrbitAverage`, which gets one row.
        images: (B, C, H, W): integers 0 .. levels - 1, dequantized here, or numbers in [0, 1] that are
            dequantized already, used as they are.
        context: Labels (B,), of a density that has classes.
        levels: How many grey values there are.
        generator: Draws the dequantization noise.
        allow_estimates: Whether log-determinants that are estimates may enter; their rows say so.
        repeats: How many times an estimate is drawn; its spread gives the standard error of their mean. A
            truncated series has a bias too, of which this says nothing.
        batch_size: Images at a time.

    Returns:
        Rows named by term, with columns "bits/dim"; "standard error over images"; "standard error of the
        estimate", 0 where the term is exact; and "how": "exact", "estimate" or "constant".

    Raises:
        ValueError: For an estimate that was not allowed, and for images of another form or range, or without
            noise: a density can be as high as it likes on grey values, and so can the score.
    """
    if not density.exact and not allow_estimates:
        raise ValueError(
            f"expected exact log-determinants; got estimates from {', '.join(_estimated(density))}. Make them"
            " exact, or pass allow_estimates=True and report the standard error"
        )
    if images.ndim != 4 or not len(images):
        raise ValueError(f"expected images (B, C, H, W); got {tuple(images.shape)}")
    if not images.is_floating_point():
        parameter = next(density.parameters(), None)
        dtype = torch.float32 if parameter is None else parameter.dtype
        images = dequantize(images, generator, levels=levels, dtype=dtype)
    elif not 0 <= images.min() <= images.max() <= 1:
        raise ValueError(
            f"expected integers 0..{levels - 1} or dequantized numbers in [0, 1]; got {images.min():g} to "
            f"{images.max():g}, {images.dtype}"
        )
    else:
        require_noise(images, levels)
    with _evaluating(density):
        repeats = 1 if density.exact else repeats
        runs = [_terms(density, images, context, batch_size) for _ in range(repeats)]
    to_bits = -1 / (images[0].numel() * math.log(2))
    bits = {name: torch.stack([run[name][0] for run in runs]) * to_bits for name in runs[0]}  # (repeats, B)
    rows = {name: _row(values, runs[0][name][1]) for name, values in bits.items()}
    constant = math.log2(levels)
    rows[f"dequantization (log2 {levels})"] = [constant, 0.0, 0.0, "constant"]
    rows["sum"] = _row(sum(bits.values()) + constant, density.exact)
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis("term")


def _estimated(density: nn.Module) -> list[str]:
    """Names of the links whose log-determinant is an estimate."""
    modules = links(density.bijection) if isinstance(density, NormalizingFlow) else [density]
    return [type(module).__name__ for module in modules if not module.exact]


def require_noise(images: Tensor, levels: int) -> None:
    """ValueError if all numbers are grey values, x / 255, or x / 256 without noise."""
    for step in (levels - 1, levels):
        scaled = images.double() * step  # in float32 k / 255 is off by 1e-5 of a step
        if ((scaled - scaled.round()).abs() < 1e-3).all():
            raise ValueError(
                f"expected dequantized numbers; got multiples of 1/{step} only. Pass the integers "
                f"0..{levels - 1}, or add the noise first, with dequantize"
            )


@contextmanager
def _evaluating(density: nn.Module) -> Iterator[None]:
    """Eval mode, and afterwards for every module the mode that it had."""
    modes = {module: module.training for module in density.modules()}
    density.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _terms(
    density: nn.Module, images: Tensor, context: Tensor | None, batch_size: int
) -> dict[str, tuple[Tensor, bool]]:
    """As `log_prob_terms`, in batches, the summands in float64."""
    starts = range(0, len(images), batch_size)
    labels = [None for _ in starts] if context is None else context.split(batch_size)
    batches = [
        log_prob_terms(density, *batch) for batch in zip(images.split(batch_size), labels, strict=True)
    ]
    return {
        name: (torch.cat([batch[name][0] for batch in batches]).double(), exact)
        for name, (_, exact) in batches[0].items()
    }


def _row(values: Tensor, exact: bool) -> list:
    """Mean, standard errors and label of one term, (repeats, B)."""
    repeats, count = values.shape
    over_images = (values.mean(0).std() / count**0.5).item() if count > 1 else math.nan
    of_estimate = 0.0
    if not exact:
        of_estimate = (values.mean(1).std() / repeats**0.5).item() if repeats > 1 else math.nan
    return [values.mean().item(), over_images, of_estimate, "exact" if exact else "estimate"]
