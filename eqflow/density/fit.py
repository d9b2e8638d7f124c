"""Maximum likelihood of a density on your own points or images, in one call."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from eqflow.fitting import fit as fit_task
from eqflow.fitting import split
from eqflow.training import Task, Trained, sent

from .bits import require_noise
from .elementwise import ActNorm, dequantize, initialize
from .flow import NormalizingFlow
from .flow_matching import FlowMatching
from .residual import GResidual

VALIDATION_BATCH = 256
ESTIMATING = (GResidual, FlowMatching)
FIRST_EVENTS = 256  # that actnorms start from


def draw_from(density: nn.Module, generator: torch.Generator | None) -> None:
    """Where the estimates of log-determinants draw their random numbers; None: torch's own generator."""
    for module in density.modules():
        if isinstance(module, ESTIMATING):
            module.generator = generator


@contextmanager
def drawing_from(density: nn.Module, generator: torch.Generator | None) -> Iterator[None]:
    """`draw_from` for a while; then every layer has the generator that it had."""
    layers = [module for module in density.modules() if isinstance(module, ESTIMATING)]
    before = [layer.generator for layer in layers]
    draw_from(density, generator)
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.generator = own


def fit(
    density: NormalizingFlow,
    events: Tensor,
    *,
    steps: int,
    context: Tensor | None = None,
    validation: Tensor | None = None,
    validation_context: Tensor | None = None,
    batch_size: int = 64,
    lr: float = 1e-3,
    clip: float | None = 10.0,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    warmup: int = 0,
    ema: float | None = None,
    levels: int = 256,
    val_every: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    save_seconds: float = 20.0,
    progress: bool = True,
    seed: int = 0,
) -> Trained:
    """Train a density in place, where its parameters are; it ends with its best weights, in evaluation mode.

    Integer images get fresh dequantization noise whenever they are shown, and are validated with noise that
    is drawn once. Actnorms start from some of the events, if all are still the identity. Batches, noise and
    estimates of log-determinants depend on `seed` alone; the global generator is left as it was.

    Args:
        density: A `NormalizingFlow`, or a module with its log_prob, such as an `OrbitAverage` of one.
        events: (N, *event_shape): uint8 images, or floating-point points or images, shown as they are.
        context: Labels (N,) of a conditional density.
        validation: Events that choose the weights; None: a tenth of `events`, which is not trained on.
        validation_context: Labels of `validation`.
        steps, batch_size: how many batches of how many events, drawn at random.
        lr: Learning rate of Adam, the highest of the schedule.
        clip: Largest norm of the gradient, which is shortened to it; None: any.
        betas: How slowly Adam forgets gradients and their squares, between 0 and 1.
        weight_decay: Times the weights, is added to the gradient (L2).
        schedule: "constant", or "cosine", which falls from `lr` nearly to 0 at the last step.
        warmup: Steps in which the rate rises to `lr` in a straight line; fewer than `steps` with "cosine".
        ema: Decay per step of an average of the weights, which is validated and is what the density ends
            with; None: no average.
        levels: Of integer images.
        val_every: Steps between validations; None: twenty in all.
        checkpoint: A file to resume from, if it is there, and to save to about every `save_seconds`.
        progress: Show a bar.

    Returns:
        `history`, a list of rows for `pandas.DataFrame`, and `seconds`. Losses are in bits/dim for integer
        images, else in nats per event.

    Raises:
        ValueError: for events or labels of another form, and for floating-point images that are grey values
            without noise, on which a density can be as high as it likes.
        StateError: for a checkpoint that is damaged, or of another model, data or setting.
        TrainingError: at a loss or gradient that is not finite.
    """
    parameter = next(density.parameters())
    device, dtype = parameter.device, parameter.dtype
    carried = next((module for module in density.modules() if isinstance(module, NormalizingFlow)), None)
    shape = events.shape[1:] if carried is None else carried.bijection.event_shape
    _check(shape, "events", events, "context", context)
    integers = not events.is_floating_point()
    if events.ndim == 4 and not integers:
        require_noise(events[:FIRST_EVENTS], levels)
    if validation is None:
        trained_on, held_out = split(len(events), seed)
        validation, validation_context = events[held_out], None if context is None else context[held_out]
        events, context = events[trained_on], None if context is None else context[trained_on]
    else:
        _check(shape, "validation", validation, "validation_context", validation_context)
        if validation.is_floating_point() == integers or (context is None) != (validation_context is None):
            raise ValueError(
                f"expected validation events as those that train ({events.dtype}, "
                f"{'without' if context is None else 'with'} labels); got {validation.dtype}, "
                f"{'without' if validation_context is None else 'with'} labels"
            )
    per_event = math.prod(events.shape[1:]) * math.log(2)
    generator, draws = torch.Generator().manual_seed(seed), torch.Generator(device).manual_seed(seed)

    def shown(pixels: Tensor, noise: torch.Generator) -> Tensor:
        x = dequantize(pixels.cpu(), noise, levels=levels) if integers else pixels
        return sent(x, device).to(dtype)

    def loss_of(x: Tensor, labels: Tensor | None) -> Tensor:
        """Per event, in the units of the history."""
        nats = -(density.log_prob(x) if labels is None else density.log_prob(x, labels.to(device)))
        return nats / per_event + math.log2(levels) if integers else nats

    def batch() -> tuple[Tensor, Tensor | None]:
        index = torch.randint(len(events), (min(batch_size, len(events)),), generator=generator)
        index = index.to(events.device)
        x = shown(events[index], generator)
        draws.manual_seed(int(torch.randint(2**62, (), generator=generator)))  # the state has one generator
        return x, None if context is None else context[index.to(context.device)]

    fixed = shown(validation, torch.Generator().manual_seed(seed + 1))

    def validate() -> float:
        total, labels = 0.0, validation_context
        with drawing_from(density, torch.Generator(device).manual_seed(seed + 1)):
            for part in torch.arange(len(fixed)).split(VALIDATION_BATCH):
                of_part = None if labels is None else labels[part.to(labels.device)]
                total += float(loss_of(fixed[part.to(device)], of_part).double().sum())
        return total / len(fixed)

    about = {"seed": seed, "batch_size": batch_size, "events": list(events.shape), "dtype": str(events.dtype)}
    with drawing_from(density, draws):
        actnorms = [module for module in density.modules() if isinstance(module, ActNorm)]
        if carried is not None and actnorms and all(map(_is_identity, actnorms)):
            some = torch.randperm(len(events), generator=torch.Generator().manual_seed(seed))[:FIRST_EVENTS]
            start = shown(events[some.to(events.device)], torch.Generator().manual_seed(seed))
            labels = () if context is None else (context[some.to(context.device)].to(device),)
            initialize(carried.bijection, start, *labels)
        return fit_task(
            density,
            Task(batch, lambda shown: loss_of(*shown).mean(), validate, dict, generator, best="val_loss"),
            steps=steps,
            about=about | {"levels": levels},
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


def _is_identity(layer: ActNorm) -> bool:
    return not any(bool(parameter.any()) for parameter in layer.parameters())


def _check(
    shape: tuple[int | None, ...], name: str, events: Tensor, of_labels: str, labels: Tensor | None
) -> None:
    """ValueError for events that are not of a shape, or labels that are not one for each."""
    if not isinstance(events, Tensor):
        raise ValueError(f"expected {name} as a torch.Tensor; got {type(events).__name__}")
    wanted = ", ".join("any" if size is None else str(size) for size in shape)
    kind = events.dtype == torch.uint8 or events.is_floating_point()
    sizes = events.shape[1:]
    fits = len(sizes) == len(shape) and all(a in (None, b) for a, b in zip(shape, sizes, strict=True))
    if not (kind and fits and len(events)):
        raise ValueError(
            f"expected {name} (N, {wanted}), N >= 1, uint8 or floating point; "
            f"got {tuple(events.shape)}, {events.dtype}"
        )
    if events.is_floating_point() and not bool(events.isfinite().all()):
        raise ValueError(f"expected finite {name}; got NaN or infinite ones")
    if labels is not None and tuple(labels.shape) != (len(events),):
        raise ValueError(f"expected {of_labels} ({len(events)},), one per event; got {tuple(labels.shape)}")
