"""Densities of films of small drifting pictures: model, batches, loss and evaluation from a run's config.

The pictures are digits, averaged down to 4x4 pixels, on a torus. Every pixel of every frame gets noise of its
own, without which there would be no density. Training shows velocities of `train_speeds` alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from eqflow.data import digit_set_info, load_digits, translating_digits
from eqflow.density import ConvExponential, NormalizingFlow, StandardNormal
from eqflow.density.context import ContextChain, ContextMixture
from eqflow.density.video import VideoDensity
from eqflow.motion import TranslationCell
from eqflow.symmetry import MotionSet, Translation, cyclic
from eqflow.training import Task

VALIDATION_SEED, TEST_SEED = 4_000_001, 4_000_002  # the same films for every model and seed
HELD_OUT = 0.1  # share of the training images that is kept for validation
PICTURE = 4  # side of a picture in pixels


def build(config: dict) -> VideoDensity:
    """A recurrence over V = `config["motions"]`, and two blocks of a mixture and an exponential."""
    motions = MotionSet(Translation(*velocity) for velocity in config["motions"])
    channels, side = config["channels"], config["canvas"]
    links = []
    for _ in range(config["blocks"]):
        links.append(ContextMixture(1, channels, components=config["components"], width=config["width"]))
        links.append(ConvExponential(cyclic(1), 1, field_type="trivial", padding="circular"))
    cell = TranslationCell(1, channels, motions=motions, start=config["start"])
    density = NormalizingFlow(StandardNormal((1, side, side)), ContextChain(links))
    return VideoDensity(cell, density)


def checksum(config: dict) -> str:
    """Of the images that the films are made of."""
    return digit_set_info(config["data"])[2]


def data_label(config: dict) -> str:
    """What captions call the data."""
    label = digit_set_info(config["data"])[1]
    return f"drifting 4x4 pictures of {label}, noise of sd {config['noise']:g}"


def is_stand_in(config: dict) -> bool:
    """Whether the data stands in for a paper's; no paper has this task, so what counts is the digits."""
    return digit_set_info(config["data"])[3]


def loader(config: dict) -> tuple[Callable, str]:
    """What loads the data, and what it is given."""
    return load_digits, config["data"]


def pictures(config: dict, split: str) -> Tensor:
    """The "train", "validation" or "test" pictures, (N, 4, 4) in [0, 1]."""
    images = load_digits(config["data"])
    kept = round(HELD_OUT * len(images.train))
    chosen = {"train": images.train[:-kept], "validation": images.train[-kept:], "test": images.test}[split]
    return F.adaptive_avg_pool2d(chosen[:, None], PICTURE)[:, 0]


def draw(source: Tensor, count: int, config: dict, generator: torch.Generator, velocity=None) -> Tensor:
    """`count` films (B, T, 1, H, W) in units of a density: 4 grey - 1, where grey has noise.

    Args:
        source: Pictures (N, 4, 4).
        velocity: (vx, vy) of all, px/frame; None: of every film one of `train_speeds`, along x.
    """
    if velocity is None:
        speeds = torch.tensor(config["train_speeds"])
        vx = speeds[torch.randint(len(speeds), (count,), generator=generator)]
        velocity = torch.stack([vx, torch.zeros_like(vx)], 1)[:, None]
    about = {"canvas": config["canvas"], "velocities": velocity, "generator": generator}
    video = translating_digits(source, count, config["frames"], **about).video
    return 4 * (video + config["noise"] * torch.randn(video.shape, generator=generator)) - 1


def held_out(config: dict, split: str, velocity: tuple[int, int] = (0, 0)) -> Tensor:
    """The fixed "validation" or "test" films at a velocity: the same pictures, starts and noise for all.

    The noise does not move with the film: every frame has its own.
    """
    seed, size = {
        "validation": (VALIDATION_SEED, config["val_size"]),
        "test": (TEST_SEED, config["test_size"]),
    }[split]
    return draw(pictures(config, split), size, config, torch.Generator().manual_seed(seed), velocity)


def per_pixel(config: dict, log_prob: Tensor) -> Tensor:
    """Minus log p (B, T) as it is reported: nats per pixel, mean over the frames after `config["warm"]`."""
    return -log_prob[:, config["warm"] :].mean(1) / config["canvas"] ** 2


def nothing_learned(config: dict, velocity: tuple[int, int] = (0, 0)) -> dict[str, float]:
    """Nats per pixel of the test films under densities without a network, by name.

    "one Gaussian" for all pixels; "last frame": every pixel normal about what it was one frame ago. Means
    and variances are those of still training films.
    """
    generator = torch.Generator().manual_seed(0)
    train = draw(pictures(config, "train"), 256, config, generator, (0, 0))
    test, warm = held_out(config, "test", velocity), config["warm"]
    step = (train[:, 1:] - train[:, :-1]).std()
    wide, narrow = (
        torch.distributions.Normal(*about) for about in ((train.mean(), train.std()), (0.0, step))
    )
    found = {"one Gaussian": wide.log_prob(test[:, warm:])}
    found["last frame"] = narrow.log_prob(test[:, warm:] - test[:, warm - 1 : -1])
    return {name: -float(value.mean()) for name, value in found.items()}


def task(config: dict, seed: int, model: VideoDensity, device: torch.device) -> Task:
    """Fresh films at every step; validated on still ones; tested at every velocity of `test_speeds`."""
    source, generator = pictures(config, "train"), torch.Generator().manual_seed(seed)
    validation = held_out(config, "validation").to(device)

    def batch() -> Tensor:
        return draw(source, config["batch_size"], config, generator).to(device)

    def loss(video: Tensor) -> Tensor:
        return -model.log_prob(video).mean() / config["canvas"] ** 2

    def validate() -> float:
        with torch.no_grad():
            return float(per_pixel(config, model.log_prob(validation)).mean())

    def evaluate() -> dict:
        found = {"parameters": sum(p.numel() for p in model.parameters())}
        for vx, vy in config["test_speeds"]:
            films = held_out(config, "test", (vx, vy))
            nats = per_pixel(config, model.log_prob(films.to(device)).double().cpu())
            found[f"nats_{vx}_{vy}"] = float(nats.mean())
            found[f"error_{vx}_{vy}"] = float(nats.std() / math.sqrt(len(nats)))
        return found

    return Task(batch, loss, validate, evaluate, generator, best=config["best"])
