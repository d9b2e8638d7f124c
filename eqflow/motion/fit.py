"""Next-frame prediction of your own videos, in one call."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from eqflow.fitting import fit as fit_task
from eqflow.fitting import split
from eqflow.training import Task, Trained, sent

Sampler = Callable[[int, torch.Generator], Tensor]
DRAWN_TO_VALIDATE = 64  # videos, from a sampler


def fit(
    model: nn.Module,
    videos: Tensor | Sampler,
    *,
    steps: int,
    inputs: int = 10,
    validation: Tensor | None = None,
    batch_size: int = 16,
    lr: float = 1e-3,
    clip: float | None = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    warmup: int = 0,
    ema: float | None = None,
    val_every: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    save_seconds: float = 20.0,
    progress: bool = True,
    seed: int = 0,
) -> Trained:
    """Train a frame predictor in place, where its parameters are: to read `inputs` frames, predict the rest.

    It ends with its best weights, in evaluation mode. Batches depend on `seed` alone; the global generator is
    left as it was.

    Args:
        model: A `FramePredictor`, or a module (frames (B, T, C, H, W), horizon) -> (B, horizon, C, H, W).
        videos: (N, T, C, H, W), T > inputs: floating point, or uint8, which is divided by 255; or a function
            (n, generator) -> n such videos, drawn anew for every batch.
        validation: Videos that choose the weights; None: a tenth of `videos`, which is not trained on, or 64
            that the function draws from a generator of their own.
        steps, batch_size: how many batches of how many videos, drawn at random.
        inputs: Frames that are read; the loss is the mean squared error of all others.
        lr: Learning rate of Adam, the highest of the schedule.
        clip: Largest norm of the gradient, which is shortened to it; None: any.
        betas: How slowly Adam forgets gradients and their squares, between 0 and 1.
        weight_decay: Times the weights, is added to the gradient (L2).
        schedule: "constant", or "cosine", which falls from `lr` nearly to 0 at the last step.
        warmup: Steps in which the rate rises to `lr` in a straight line; fewer than `steps` with "cosine".
        ema: Decay per step of an average of the weights, which is validated and is what the model ends with;
            None: no average.
        val_every: Steps between validations; None: twenty in all.
        checkpoint: A file to resume from, if it is there, and to save to about every `save_seconds`.
        progress: Show a bar.

    Returns:
        `history`, a list of rows for `pandas.DataFrame`, and `seconds`. Losses are mean squared errors.

    Raises:
        ValueError: for videos of another form.
        StateError: for a checkpoint that is damaged, or of another model, data or setting.
        TrainingError: at a loss or gradient that is not finite.
    """
    parameter = next(model.parameters())
    generator = torch.Generator().manual_seed(seed)
    if not callable(videos):
        _check(videos, inputs, "videos")
        if validation is None:
            trained_on, held_out = split(len(videos), seed)
            videos, validation = videos[trained_on], videos[held_out]
    elif validation is None:
        validation = videos(DRAWN_TO_VALIDATE, torch.Generator().manual_seed(seed + 1))
    _check(validation, inputs, "validation")

    def shown(video: Tensor) -> Tensor:
        scale = 1 if video.is_floating_point() else 255
        return sent(video, parameter.device).to(parameter.dtype) / scale

    def batch() -> Tensor:
        if not isinstance(videos, Tensor):
            drawn = videos(batch_size, generator)
            _check(drawn, inputs, "drawn videos")
            return shown(drawn)
        index = torch.randint(len(videos), (min(batch_size, len(videos)),), generator=generator)
        return shown(videos[index.to(videos.device)])

    def errors(video: Tensor) -> Tensor:
        return model(video[:, :inputs], video.shape[1] - inputs) - video[:, inputs:]

    def validate() -> float:
        parts = validation.split(batch_size)
        total = sum(float(errors(shown(video)).double().square().sum()) for video in parts)
        return total / validation[:, inputs:].numel()

    about = {"seed": seed, "batch_size": batch_size, "inputs": inputs}
    about["videos"] = list(videos.shape) if isinstance(videos, Tensor) else None
    return fit_task(
        model,
        Task(batch, lambda video: errors(video).square().mean(), validate, dict, generator, best="val_loss"),
        steps=steps,
        about=about,
        checkpoint=checkpoint,
        progress=progress,
        seed=seed,
        val_every=val_every,
        save_seconds=save_seconds,
        lr=lr,
        clip=clip,
        betas=betas,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup=warmup,
        ema=ema,
    )


def _check(videos: Tensor, inputs: int, name: str) -> None:
    """ValueError for what are no videos that go on after `inputs` frames."""
    if not isinstance(videos, Tensor):
        raise ValueError(f"expected {name} as a torch.Tensor; got {type(videos).__name__}")
    kind = videos.dtype == torch.uint8 or videos.is_floating_point()
    if not (kind and videos.ndim == 5 and len(videos) and videos.shape[1] > inputs >= 1):
        raise ValueError(
            f"expected {name} (N, T, C, H, W), N >= 1, T > {inputs}, uint8 or floating point; "
            f"got {tuple(videos.shape)}, {videos.dtype}"
        )
    if videos.is_floating_point() and not bool(videos.isfinite().all()):
        raise ValueError(f"expected finite {name}; got NaN or infinite ones")
