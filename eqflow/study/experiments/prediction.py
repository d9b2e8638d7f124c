"""Next-frame prediction of moving digits: model, batches, loss and evaluation from a run's config alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import nn

from eqflow.data import bouncing_digits, digit_set_info, load_digits, rotating_digits, translating_digits
from eqflow.motion import FramePredictor, RotationCell, TranslationCell
from eqflow.symmetry import MotionSet, Translation, rotation_set
from eqflow.training import Task, sent

# Fixed for all runs: every model and seed is validated and tested on the same videos.
VALIDATION_SEED, TEST_SEED = 1_000_001, 1_000_002
HELD_OUT = 0.1  # share of the training images that is kept for validation
AT_ONCE = 64  # videos


def motions_of(config: dict) -> MotionSet:
    """The generator set of a run's model."""
    if config["orientations"]:
        return rotation_set(config["motions"])
    return MotionSet(Translation(*velocity) for velocity in config["motions"])


def build(config: dict) -> nn.Module:
    """The frame predictor; with the zero motion alone it is the G-RNN."""
    motions, channels = motions_of(config), config["channels"]
    names = ("kernel_size", "velocity_mixing", "nonlinearity", "start")
    options = {"motions": motions} | {name: config[name] for name in names}
    if turns := config["orientations"]:
        options |= {name: config[name] for name in ("rotate", "interpolation")}
        cell = RotationCell(1, channels // turns, orientations=turns, **options)
    else:
        cell = TranslationCell(1, channels, **options)
    options = {name: config[name] for name in ("decoder_layers", "decoder", "pool", "rollout")}
    return FramePredictor(cell, **options)


@lru_cache
def _checksum(data: str) -> str:
    return digit_set_info(data)[2]


def checksum(config: dict) -> str:
    """Of the images that the videos are made of."""
    return _checksum(config["data"])


def data_label(config: dict) -> str:
    """What captions call the data."""
    return digit_set_info(config["data"])[1]


def is_stand_in(config: dict) -> bool:
    """Whether the data stands in for the paper's."""
    return digit_set_info(config["data"])[3]


def loader(config: dict) -> tuple[Callable, str]:
    """What loads the data, and what it is given."""
    return load_digits, config["data"]


def draw(
    images: torch.Tensor, count: int, config: dict, generator: torch.Generator, velocities=None
) -> torch.Tensor:
    """`count` videos (B, T, 1, H, W) of images (N, H, W), T = input_frames + horizon.

    `velocities`: instead of drawn ones, as the data set takes them.
    """
    canvas, speed = config["canvas"], config["max_speed"]
    about = {"canvas": canvas if isinstance(canvas, int) else tuple(canvas), "digits": config["digits"]}
    about |= {"velocities": velocities, "generator": generator}
    frames = config["input_frames"] + config["horizon"]
    if config["video"] == "rotating":
        return rotating_digits(images, count, frames, speeds=config["speeds"], **about).video
    about["max_speed"] = speed if isinstance(speed, int) else tuple(speed)
    make = {"translating": translating_digits, "bouncing": bouncing_digits}[config["video"]]
    return make(images, count, frames, **about).video


def held_out_videos(config: dict, split: str, *, count: int | None = None, velocities=None) -> torch.Tensor:
    """The fixed "validation" or "test" videos (B, T, 1, H, W) of an experiment, the same for every model and
    seed.

    Args:
        count: at most so many test videos; fewer are other videos of the same images, not the first ones.
        velocities: instead of the drawn ones, for test videos; digits and starts stay the same.
    """
    images = load_digits(config["data"])
    if split == "test":
        count, generator = count or config["test_size"], torch.Generator().manual_seed(TEST_SEED)
        return draw(images.test, min(count, config["test_size"]), config, generator, velocities)
    kept = images.train[len(images.train) - round(HELD_OUT * len(images.train)) :]
    return draw(kept, config["val_size"], config, torch.Generator().manual_seed(VALIDATION_SEED))


def frame_errors(model: nn.Module, videos: torch.Tensor, config: dict, device: torch.device) -> torch.Tensor:
    """Mean squared error of each predicted frame, float64 (horizon,)."""
    shown, total = config["input_frames"], torch.zeros(config["horizon"], dtype=torch.float64)
    training = model.training
    model.eval()
    with torch.no_grad():
        for video in videos.split(AT_ONCE):
            video = video.to(device)
            error = model(video[:, :shown], config["horizon"]) - video[:, shown:]
            total += error.double().square().mean(dim=(2, 3, 4)).sum(0).cpu()  # (horizon,)
    model.train(training)
    return total / len(videos)


def learns_nothing(videos: torch.Tensor, shown: int) -> dict[str, torch.Tensor]:
    """Error of each predicted frame of predictors that learn nothing, by name: what a model has to beat.

    Args:
        videos: (B, T, C, H, W).
        shown: frames that are given; the others are predicted.

    Returns:
        Mean squared errors, float64 (T - shown,): of the mean of the inputs, their last frame, and black.
    """
    if not 0 < shown < videos.shape[1]:
        raise ValueError(f"expected frames to see and frames to predict; got {shown} of {videos.shape[1]}")
    seen, ahead = videos.double().split([shown, videos.shape[1] - shown], 1)
    drawn = {"mean of the inputs": seen.mean(1, keepdim=True), "last frame": seen[:, -1:]}
    drawn["black"] = torch.zeros_like(seen[:, :1])
    return {name: (frame - ahead).square().mean(dim=(0, 2, 3, 4)) for name, frame in drawn.items()}


def loss_of(model: nn.Module, config: dict, video: torch.Tensor) -> torch.Tensor:
    """What is trained on: the mean squared error of the predicted frames of videos (B, T, 1, H, W)."""
    shown = config["input_frames"]
    return nn.functional.mse_loss(model(video[:, :shown], config["horizon"]), video[:, shown:])


def empty_batch(config: dict, device: torch.device | str) -> torch.Tensor:
    """A batch in form, for those who count operations."""
    canvas = config["canvas"]
    sides = (canvas, canvas) if isinstance(canvas, int) else canvas
    frames = config["input_frames"] + config["horizon"]
    return torch.empty(config["batch_size"], frames, 1, *sides, device=device)


def task(config: dict, seed: int, model: nn.Module, device: torch.device) -> Task:
    """Batches, loss, validation and test of one run; velocities are re-drawn whenever an image is shown."""
    images = load_digits(config["data"]).train
    images = images[: len(images) - round(HELD_OUT * len(images))][: config["train_images"]]
    validation = held_out_videos(config, "validation")
    generator = torch.Generator().manual_seed(seed)
    shown = config["input_frames"]

    def batch() -> torch.Tensor:
        return sent(draw(images, config["batch_size"], config, generator), device)

    def loss(video: torch.Tensor) -> torch.Tensor:
        return loss_of(model, config, video)

    def validate() -> float:
        return float(frame_errors(model, validation, config, device).mean())

    def evaluate() -> dict:
        videos = held_out_videos(config, "test")
        errors = frame_errors(model, videos, config, device)
        return {
            "test_mse": float(errors.mean()),
            "test_mse_per_frame": errors.tolist(),
            "black_mse": float(videos[:, shown:].double().square().mean()),
            "parameters": sum(p.numel() for p in model.parameters()),
        }

    return Task(batch, loss, validate, evaluate, generator, best=config["best"])
