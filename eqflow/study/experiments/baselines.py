"""Densities of images that no network has learned, which a trained one must beat before its score counts.

All are fitted in closed form on the training images; what they leave open is chosen on the validation images.
Beaten by one of them, a model is undertrained, whatever it beats beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor

from eqflow.density import Logit, dequantize

from . import likelihood
from .likelihood import LEVELS, SUBSET_SEED

Density = Callable[[Tensor], Tensor]  # events (B, C, H, W) in [0, 1] -> log p (B,), nats
WEIGHTS = (1.0, 4.0, 16.0, 64.0, 256.0)  # pseudo-counts, as so many images
SHRINKAGE = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
MOST = 4000  # training images are enough for a histogram, and for a covariance that is shrunk


def baselines(config: dict, *, orbit: bool = False) -> dict[str, float]:
    """Bits/dim of the test events of an experiment under densities that learn nothing, by name.

    Args:
        config: of a run of the experiment: its data, and the training images that it may see.
        orbit: on all versions of the test events under `config["symmetry"]`, and fitted to all of the
            training images' ("average group bits/dim").
    """
    return dict(_baselines(tuple((k, config[k]) for k in _READ), tuple(config["event"]), orbit))


_READ = ("source", "symmetry", "alpha", "train_size", "val_size", "test_size")


@lru_cache
def _baselines(settings: tuple, event: tuple[int, ...], orbit: bool) -> dict[str, float]:
    config = dict(settings) | {"event": event}
    images = likelihood.images_of(config["source"]).train
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SUBSET_SEED))
    group = likelihood.planar_group(config["symmetry"] if orbit else "C1")

    def versions(x: Tensor) -> Tensor:
        return torch.cat([group.act_image(g, x) for g in group])

    train = versions(images[order[: config["train_size"]]][:MOST])
    val, test = (versions(likelihood.held_out(config, split)) for split in ("validation", "test"))

    def bits(density: Density, x: Tensor) -> float:
        return float(likelihood.unit(config, density(x.double())).mean())

    candidates = {
        "grey histogram": [grey_histogram(train)],
        "per-pixel histogram": pixel_histograms(train),
        "logit Gaussian": logit_gaussians(train, config["alpha"]),
    }
    best = {name: min(some, key=lambda density: bits(density, val)) for name, some in candidates.items()}
    return {name: bits(density, test) for name, density in best.items()}


def grey_histogram(images: Tensor) -> Density:
    """One histogram of the 256 values for all pixels of a channel. uint8 (N, C, H, W)."""
    counts = _counts(images).sum((1, 2), keepdim=True) + 1  # (C, 1, 1, 256)
    table = (counts / counts.sum(-1, keepdim=True)).log()
    return lambda x: _looked_up(table.expand(-1, *x.shape[2:], -1), x)


def pixel_histograms(images: Tensor, weights: Sequence[float] = WEIGHTS) -> list[Density]:
    """A histogram for every pixel, with `weight` images' worth of the grey histogram mixed in."""
    counts = _counts(images)
    grey = counts.sum((1, 2), keepdim=True) + 1
    grey /= grey.sum(-1, keepdim=True)
    tables = [((counts + weight * grey) / (len(images) + weight)).log() for weight in weights]
    return [partial(_looked_up, table) for table in tables]


def _counts(images: Tensor) -> Tensor:
    """How often each pixel has each value, float64 (C, H, W, 256)."""
    pixels = images.flatten(1).long()
    where = pixels + LEVELS * torch.arange(pixels.shape[1])
    found = torch.bincount(where.flatten(), minlength=LEVELS * pixels.shape[1])
    return found.view(*images.shape[1:], LEVELS).double()


def _looked_up(table: Tensor, x: Tensor) -> Tensor:
    """log p of dequantized events from the log probabilities (C, H, W, 256) of their levels."""
    level = (x * LEVELS).long().clamp(0, LEVELS - 1)
    chosen = table.expand(len(x), *table.shape).gather(-1, level[..., None])
    return (chosen + math.log(LEVELS)).flatten(1).sum(1)


def logit_gaussians(images: Tensor, alpha: float, shrinkage: Sequence[float] = SHRINKAGE) -> list[Density]:
    """One Gaussian of all pixels after the logit, its covariance shrunk towards the diagonal."""
    logit = Logit(tuple(images.shape[1:]), alpha).double()
    with torch.no_grad():
        x = dequantize(images, torch.Generator().manual_seed(0), levels=LEVELS, dtype=torch.float64)
        y = logit.encode(x)[0].flatten(1)
    mean, covariance = y.mean(0), torch.cov(y.T, correction=0)
    diagonal = torch.diag(covariance.diag())

    def density(shrink: float) -> Density:
        gaussian = torch.distributions.MultivariateNormal(mean, covariance.lerp(diagonal, shrink))

        def log_prob(x: Tensor) -> Tensor:
            with torch.no_grad():
                z, log_det = logit.encode(x)
            return gaussian.log_prob(z.flatten(1)) + log_det

        return log_prob

    return [density(shrink) for shrink in shrinkage]
