"""Action recognition under a simulated camera motion: model, batches, loss and evaluation from a run's config
alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from eqflow.data import (
    ActionSet,
    action_set_info,
    camera_motion,
    draw_velocities,
    horizontal_flip,
    load_actions,
)
from eqflow.motion import ActionClassifier, Conv3dClassifier
from eqflow.symmetry import MotionSet, Translation
from eqflow.training import Task

# Fixed for all runs: every model and seed sees the same camera in validation and test.
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 2_000_000, 2_000_001, 2_000_002
EVALUATION_BATCH = 64


def build(config: dict) -> nn.Module:
    """The classifier; with the zero motion alone it is the G-RNN."""
    channels = tuple(config["channels"])
    if config["net"] == "conv3d":
        return Conv3dClassifier(channels=channels)
    motions = MotionSet(Translation(*velocity) for velocity in config["motions"])
    options = {name: config[name] for name in ("padding", "norm")}
    shifts = config["net"] == "learned_shifts"
    return ActionClassifier(motions=motions, channels=channels, learned_shifts=shifts, **options)


@lru_cache
def _checksum(data: str) -> str:
    return action_set_info(data)[2]


def checksum(config: dict) -> str:
    """Of the clips."""
    return _checksum(config["data"])


def data_label(config: dict) -> str:
    """What captions call the data."""
    return action_set_info(config["data"])[1]


def is_stand_in(config: dict) -> bool:
    """Whether the data stands in for the paper's."""
    return action_set_info(config["data"])[3]


def loader(config: dict) -> tuple[Callable, str, int, int, int]:
    """What loads the clips, and what it is given."""
    return _load, *(config[name] for name in ("data", "canvas", "frames", "stride"))


def _load(data: str, size: int, frames: int, stride: int) -> None:
    load_actions(data, size=size, frames=frames, step=stride)


@lru_cache(maxsize=2)
def _clips(data: str, size: int, frames: int, stride: int, standardize: bool) -> ActionSet:
    return load_actions(data, size=size, frames=frames, step=stride, standardize=standardize)


def clips_of(config: dict) -> ActionSet:
    """The clips of an experiment as the nets get them, before any camera motion."""
    return _clips(*(config[name] for name in ("data", "canvas", "frames", "stride", "standardize")))


def camera_speed(config: dict) -> tuple[int, int]:
    """The fastest that the camera moves in training along x and along y, px/frame."""
    speed = config["max_speed"]
    return (speed, speed) if isinstance(speed, int) else tuple(speed)


def moved(video: Tensor, config: dict, generator: torch.Generator, max_speed: int | None = None) -> Tensor:
    """Clips (B, T, 1, H, W) as a camera at velocities drawn from `generator` sees them.

    `max_speed` stands in for that of the config, in the directions in which its camera moves.
    """
    limits = [limit if max_speed is None or not limit else max_speed for limit in camera_speed(config)]
    velocities = draw_velocities(len(video), limits, generator)
    switch_to = draw_velocities(len(video), limits, generator) if config["camera"] == "switch" else None
    return camera_motion(video, velocities, switch_to=switch_to)


def scores(model: nn.Module, video: Tensor, labels: Tensor, device: torch.device) -> tuple[float, float]:
    """(cross-entropy in nats, accuracy) of a model on clips."""
    training, loss, right = model.training, 0.0, 0
    model.eval()
    with torch.no_grad():
        for clips, truth in zip(video.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True):
            logits = model(clips.to(device)).double().cpu()
            loss += float(nn.functional.cross_entropy(logits, truth, reduction="sum"))
            right += int((logits.argmax(1) == truth).sum())
    model.train(training)
    return loss / len(labels), right / len(labels)


def task(config: dict, seed: int, model: nn.Module, device: torch.device) -> Task:
    """Batches, loss, validation and test of one run, as published: each clip starts anywhere in its sequence,
    is moved by its camera and then mirrored at random; the weights of the best validation are kept.

    Validation and test are the same at every call: the clip in the middle of each sequence, cameras drawn
    once (published: drawn anew, starts at least).
    """
    clips, generator = clips_of(config), torch.Generator().manual_seed(seed)
    train, count = clips.train, len(clips.train)
    fixed = draw_velocities(count, camera_speed(config), torch.Generator().manual_seed(TRAIN_SEED))
    validation = moved(clips.val.video, config, torch.Generator().manual_seed(VALIDATION_SEED))

    def batch() -> tuple[Tensor, Tensor]:
        index = torch.randint(count, (config["batch_size"],), generator=generator)
        video = train.draw(index, generator)
        if config["camera"] == "fixed":
            video = camera_motion(video, fixed[index])
        else:
            video = moved(video, config, generator)
        return horizontal_flip(video, generator).to(device), train.labels[index].to(device)

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        video, labels = batch
        return nn.functional.cross_entropy(model(video), labels)

    def validate() -> dict[str, float]:
        found = scores(model, validation, clips.val.labels, device)
        return dict(zip(("val_loss", "val_accuracy"), found, strict=True))

    def test(max_speed: int | None = None) -> float:
        camera = torch.Generator().manual_seed(TEST_SEED)
        return scores(model, moved(clips.test.video, config, camera, max_speed), clips.test.labels, device)[1]

    def evaluate() -> dict:
        return {
            "test_accuracy": test(),
            "test_accuracy_by_speed": {str(r): test(r) for r in config["test_speeds"]},
            "parameters": sum(p.numel() for p in model.parameters()),
        }

    better = {"val_accuracy": "high", "val_loss": "low"}[config["best"]]
    return Task(batch, loss, validate, evaluate, generator, best=config["best"], better=better)
