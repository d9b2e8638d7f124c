"""A camera over a world larger than its view: model, films, loss and evaluation from a run's config alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from eqflow.data import WorldBatch, digit_world, load_digits, unseen_for
from eqflow.motion import WorldMap
from eqflow.motion.world_rivals import PublishedWorldMap, StillWindow, ViewGRU, ViewRecurrence
from eqflow.symmetry import MotionSet, Translation
from eqflow.training import Task, sent

from .prediction import HELD_OUT, TEST_SEED, VALIDATION_SEED, checksum, data_label, is_stand_in, loader

__all__ = [
    "build",
    "checksum",
    "data_label",
    "empty_batch",
    "errors",
    "held_out",
    "is_stand_in",
    "loader",
    "loss_of",
    "nothing",
    "task",
]

AT_ONCE = 16  # films
AGES = (1, 5, 9, 13)  # bins of frames since a pixel's place was last in view: 1 to 4, ..., 13 and more


def build(config: dict) -> nn.Module:
    """The model that `config["net"]` names."""
    channels, step = config["channels"], config["max_step"]
    if config["net"] == "conv":
        return ViewRecurrence(1, channels, max_step=step)
    if config["net"] == "gru":
        return ViewGRU(1, channels, view=config["view"], max_step=step)
    kind = {"map": WorldMap, "still": WorldMap, "published": PublishedWorldMap}[config["net"]]
    motions = MotionSet(Translation(*velocity) for velocity in config["motions"])
    sizes = {"world": config["canvas"], "view": config["view"], "decoder_layers": config["decoder_layers"]}
    if config["net"] == "published":
        sizes["start"] = "identity"  # as the recurrences of `prediction` in quick
    model = kind(1, channels, motions=motions, **sizes)
    return StillWindow(model) if config["net"] == "still" else model


def draw(images: Tensor, count: int, frames: int, config: dict, generator: torch.Generator) -> WorldBatch:
    """`count` films of so many frames, of images (N, a, b)."""
    names = ("view", "digits", "max_speed", "max_step")
    about = {name: config[name] for name in names} | {"world": config["canvas"], "generator": generator}
    return digit_world(images, count, frames, **about)


def held_out(config: dict, split: str) -> WorldBatch:
    """The fixed "validation" or "test" films (these are longer), the same for every model and seed."""
    images, shown = load_digits(config["data"]), config["input_frames"]
    if split == "test":
        generator = torch.Generator().manual_seed(TEST_SEED)
        return draw(images.test, config["test_size"], shown + config["test_horizon"], config, generator)
    kept = images.train[len(images.train) - round(HELD_OUT * len(images.train)) :]
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    return draw(kept, config["val_size"], shown + config["horizon"], config, generator)


def errors(predict: Callable[[Tensor, Tensor, int], Tensor], films: WorldBatch, config: dict) -> dict:
    """Mean squared errors of predictions, float64.

    Args:
        predict: (frames (B, T, 1, h, w), actions, horizon) -> (B, horizon, 1, h, w).

    Returns:
        "per_frame" (n,), of each predicted frame; "by_age" (len(AGES),), of the pixels of the frames up to
        the trained horizon, by how many frames ago their place was last in view.
    """
    shown, near = config["input_frames"], config["horizon"]
    horizon = films.video.shape[1] - shown
    old = unseen_for(films.positions, shown, config["canvas"], config["view"])[:, :near]
    per_frame = torch.zeros(horizon, dtype=torch.float64)
    sums, counts = torch.zeros(2, len(AGES), dtype=torch.float64)
    for some in torch.arange(len(films.video)).split(AT_ONCE):
        video, actions = films.video[some], films.actions[some]
        error = (predict(video[:, :shown], actions, horizon) - video[:, shown:]).double().square()[:, :, 0]
        per_frame += error.mean((2, 3)).sum(0).cpu()
        bins = torch.bucketize(old[some], torch.tensor(AGES), right=True) - 1
        sums += torch.bincount(bins.flatten(), error[:, :near].flatten().cpu(), minlength=len(AGES))
        counts += torch.bincount(bins.flatten(), minlength=len(AGES))
    return {"per_frame": per_frame / len(films.video), "by_age": sums / counts.clamp(min=1)}


def nothing(config: dict) -> dict[str, dict]:
    """`errors` on the test films of predictors that learn nothing: black, and the last frame."""
    films = held_out(config, "test")
    black = errors(lambda x, actions, horizon: x.new_zeros(()), films, config)
    last = errors(lambda x, actions, horizon: x[:, -1:], films, config)
    return {"black": black, "last frame": last}


def loss_of(model: nn.Module, config: dict, films: tuple[Tensor, Tensor]) -> Tensor:
    """What is trained on: the mean squared error of the predicted frames of films and their actions."""
    (video, actions), shown = films, config["input_frames"]
    return nn.functional.mse_loss(model(video[:, :shown], actions, config["horizon"]), video[:, shown:])


def empty_batch(config: dict, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """A batch in form, for those who count operations."""
    count, frames, view = config["batch_size"], config["input_frames"] + config["horizon"], config["view"]
    sides = (view, view) if isinstance(view, int) else tuple(view)
    video = torch.empty(count, frames, 1, *sides, device=device)
    return video, torch.zeros(count, frames, 2, dtype=torch.long, device=device)


def task(config: dict, seed: int, model: nn.Module, device: torch.device) -> Task:
    """Films, loss, validation and test of one run; worlds are drawn anew for every batch."""
    images = load_digits(config["data"]).train
    images = images[: len(images) - round(HELD_OUT * len(images))]
    validation, generator = held_out(config, "validation"), torch.Generator().manual_seed(seed)
    shown, horizon = config["input_frames"], config["horizon"]

    def batch() -> tuple[Tensor, Tensor]:
        films = draw(images, config["batch_size"], shown + horizon, config, generator)
        return sent(films.video, device), sent(films.actions, device)

    def loss(films: tuple[Tensor, Tensor]) -> Tensor:
        return loss_of(model, config, films)

    def predict(frames: Tensor, actions: Tensor, ahead: int) -> Tensor:
        return model(frames.to(device), actions.to(device), ahead).cpu()

    def validate() -> float:
        return float(errors(predict, validation, config)["per_frame"].mean())

    def evaluate() -> dict:
        found = errors(predict, held_out(config, "test"), config)
        # A net that has blown up far out is a result; a metric has to be finite.
        per_frame = found["per_frame"].nan_to_num(1e9, 1e9).clamp(max=1e9)
        return {
            "test_mse": float(per_frame[:horizon].mean()),
            "test_mse_per_frame": per_frame.tolist(),
            "test_mse_by_age": found["by_age"].tolist(),
            "parameters": sum(p.numel() for p in model.parameters()),
        }

    return Task(batch, loss, validate, evaluate, generator, best=config["best"])
