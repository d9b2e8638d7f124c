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
from eqflow.training import Task, sent

# Fixed for all runs: every model and seed sees the same camera in validation and test.
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 2_000_000, 2_000_001, 2_000_002
EVALUATION_BATCH = 64


def build(config: dict) -> nn.Module:
    """The classifier; with the zero motion alone it is the G-RNN."""
    options = {"channels": tuple(config["channels"]), "readout_norm": config["readout_norm"]}
    if config["net"] == "conv3d":
        return Conv3dClassifier(**options)
    options |= {name: config[name] for name in ("padding", "norm")}
    options["motions"] = MotionSet(Translation(*velocity) for velocity in config["motions"])
    if config["net"] == "one_frame":
        return OneFrame(**options)
    return ActionClassifier(learned_shifts=config["net"] == "learned_shifts", **options)


class OneFrame(ActionClassifier):
    """The classifier, shown the middle frame alone: what posture tells. Its W is never used."""

    def forward(self, video: Tensor, **options) -> Tensor | tuple[Tensor, Tensor]:
        """(B, T, C, H, W), T >= 1 -> logits (B, classes)."""
        return super().forward(video[:, video.shape[1] // 2, None], **options)


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
def _clips(data: str, size: int, frames: int, stride: int, standardize: bool, crowds: int) -> ActionSet:
    options = {"standardize": standardize, "test_crowds": crowds}
    return load_actions(data, size=size, frames=frames, step=stride, **options)


def clips_of(config: dict) -> ActionSet:
    """The clips of an experiment as the nets get them, before any camera motion."""
    names = ("data", "canvas", "frames", "stride", "standardize", "test_crowds")
    return _clips(*(config[name] for name in names))


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


def scores(model: nn.Module, video: Tensor, labels: Tensor, device: torch.device) -> tuple[float, Tensor]:
    """Cross-entropy in nats of a model on clips, and which it gets right: bool (N,)."""
    training, loss, right = model.training, 0.0, []
    model.eval()
    with torch.no_grad():
        for clips, truth in zip(video.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True):
            logits = model(clips.to(device)).double().cpu()
            loss += float(nn.functional.cross_entropy(logits, truth, reduction="sum"))
            right.append(logits.argmax(1) == truth)
    model.train(training)
    return loss / len(labels), torch.cat(right)


def loss_of(model: nn.Module, config: dict, batch: tuple[Tensor, Tensor]) -> Tensor:
    """What is trained on: the cross-entropy in nats of clips (B, T, 1, H, W) with labels (B,)."""
    video, labels = batch
    return nn.functional.cross_entropy(model(video), labels)


def empty_batch(config: dict, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """A batch in form, for those who count operations."""
    count, size = config["batch_size"], config["canvas"]
    video = torch.empty(count, config["frames"], 1, size, size, device=device)
    return video, torch.empty(count, dtype=torch.long, device=device)


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
        return sent(horizontal_flip(video, generator), device), sent(train.labels[index], device)

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        return loss_of(model, config, batch)

    def validate() -> dict[str, float]:
        cross_entropy, right = scores(model, validation, clips.val.labels, device)
        return {"val_loss": cross_entropy, "val_accuracy": float(right.double().mean())}

    def test(max_speed: int | None = None) -> Tensor:
        camera = torch.Generator().manual_seed(TEST_SEED)
        video = moved(clips.test.video, config, camera, max_speed)
        return scores(model, video, clips.test.labels, device)[1].double()

    def evaluate() -> dict:
        right, people = test(), clips.test.subjects
        return {
            "test_accuracy": float(right.mean()),
            "test_accuracy_by_person": {
                str(p): float(right[people == p].mean()) for p in people.unique().tolist()
            },
            "test_accuracy_by_speed": {str(r): float(test(r).mean()) for r in config["test_speeds"]},
            "parameters": sum(p.numel() for p in model.parameters()),
        }

    better = {"val_accuracy": "high", "val_loss": "low"}[config["best"]]
    return Task(batch, loss, validate, evaluate, generator, best=config["best"], better=better)
