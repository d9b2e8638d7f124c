"""One plain training loop: Adam, gradient clipping, validation, and a state from which it resumes exactly.

Nothing is read or written here: the caller gets the state at intervals and hands it back to resume.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SCHEDULES = ("constant", "cosine")
LOOK_EVERY = 16  # steps on a GPU between two reads of losses and gradient norms, for which the host waits


class TrainingError(RuntimeError):
    """The run cannot go on: a loss or a gradient is not finite."""


class StateError(ValueError):
    """A state belongs to another model, loop or setting: it cannot be resumed. Nothing was changed by it."""


@dataclass(frozen=True)
class Task:
    """What one run is trained on.

    Attributes:
        batch: draws the next batch from `generator`, on the device that the model is on.
        loss: of a batch; draws from `generator` or from nothing.
        validate: columns of numbers, "val_loss" among them; or that one as a plain number. Draws nothing;
            called in evaluation mode without gradients.
        evaluate: the final metrics, JSON values only; draws nothing.
        generator: the source of all randomness of the batches; part of the resume state.
        best: the column by which the best weights are kept, to be those of the model in the end; None: the
            last.
        better: "low" or "high", of that column; the earlier of two equal ones is kept.
    """

    batch: Callable[[], Any]
    loss: Callable[[Any], Tensor]
    validate: Callable[[], Mapping[str, float] | float]
    evaluate: Callable[[], dict]
    generator: torch.Generator
    best: str | None = None
    better: str = "low"

    def __post_init__(self) -> None:
        if self.better not in ("low", "high"):
            raise ValueError(f"expected better to be 'low' or 'high'; got {self.better!r}")


@dataclass(frozen=True)
class Trained:
    """What training gave beside the weights.

    Attributes:
        history: one dict (step, seconds, train_loss, val_loss and what else `validate` tells) per validation,
            train_loss being the mean since the last.
        seconds: time of the training steps, validation apart; data_seconds: of which the batches took.
        kept: the row of `history` whose weights the model has: the best, or the last.
    """

    history: list[dict]
    seconds: float
    data_seconds: float
    kept: dict


def learning_rate(step: int, *, lr: float, steps: int, schedule: str = "constant", warmup: int = 0) -> float:
    """Of step 1, ..., steps: a line up to `lr` in `warmup` steps, then constant or half a cosine to 0."""
    if step <= warmup:
        return lr * step / warmup
    if schedule == "constant":
        return lr
    return lr * 0.5 * (1 + math.cos(math.pi * (step - 1 - warmup) / (steps - warmup)))


class Average:
    """Exponential moving average of a model's weights and other floating-point state; the rest is its own.

    At update t the decay is min(decay, (1 + t) / (10 + t)), so that the first weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"expected 0 < ema < 1; got {decay}")
        self.decay, self.values = decay, copied(model.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        state = model.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[n] for n in moving], [state[n] for n in moving], 1 - decay)
        for name in state.keys() - set(moving):
            self.values[name].copy_(state[name])

    @contextmanager
    def lent_to(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights meanwhile."""
        own = copied(model.state_dict())
        model.load_state_dict(self.values)
        try:
            yield
        finally:
            model.load_state_dict(own)


def sent(x: Tensor, device: torch.device | str) -> Tensor:
    """A batch on its way to where the model is; on a GPU nobody waits until it is there."""
    if torch.device(device).type != "cuda" or x.is_cuda:
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of its own."""
    return {name: value.detach().clone() for name, value in state.items()}


def train(
    model: nn.Module,
    task: Task,
    *,
    steps: int,
    lr: float,
    clip: float | None,
    val_every: int,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    warmup: int = 0,
    ema: float | None = None,
    resume: dict | None = None,
    save: Callable[[dict], None] | None = None,
    save_seconds: float = 20.0,
    progress: Callable[[int, float], None] | None = None,
) -> Trained:
    """Train `model` in place for `steps` steps.

    Args:
        clip: largest norm of the gradient; None: any.
        val_every: steps between validations; the last step is always validated.
        betas, eps, weight_decay: of Adam; the decay is added to the gradient (L2).
        schedule, warmup: of the learning rate, see `learning_rate`; warmup in steps.
        ema: decay of an average of the weights, which is validated, and is what the model has in the end.
        resume: a state that `save` got, to go on from as if nothing had happened: the result is the same, bit
            for bit on the CPU with as many threads. More `steps` than before are allowed at a constant rate.
        save: gets the state about every `save_seconds` and after the last step. It holds tensors, numbers,
            strings, lists and dicts only (loadable with `weights_only=True`); what it holds changes with the
            next step.
        progress: called with (step, loss) after each step; on a GPU every `LOOK_EVERY` steps.

    On a GPU no step waits for the device: losses and norms are read, and found to be finite or not, every
    `LOOK_EVERY` steps and before a validation or a save. From the first step that is not finite on weights
    stand still until then.

    Raises:
        TrainingError: at a loss, gradient or validation column that is not finite; the weights are still the
            good ones of the step before (after it, for a validation), and the last saved state stands.
        StateError: if `resume` is of another model, loop or setting; model and generators are untouched.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"expected a schedule of {', '.join(SCHEDULES)}; got {schedule!r}")
    if steps < 1 or val_every < 1 or warmup < 0 or (warmup and schedule == "cosine" and warmup >= steps):
        raise ValueError(
            "expected steps and val_every of at least 1, and 0 <= warmup < steps; "
            f"got {steps}, {val_every}, {warmup}"
        )
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(
        parameters,
        lr=lr,
        betas=tuple(betas),
        eps=eps,
        weight_decay=weight_decay,
        fused=all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters),
    )
    average = None if ema is None else Average(model, ema)
    settings = {"lr": lr, "clip": clip, "val_every": val_every, "betas": list(betas), "eps": eps}
    settings |= {"weight_decay": weight_decay, "schedule": schedule, "warmup": warmup, "ema": ema}
    settings |= {"best": task.best, "better": task.better}
    if schedule != "constant":
        settings["steps"] = steps
    watch = _Watch(optimizer, steps, lr)
    look_every = LOOK_EVERY if any(p.is_cuda for p in parameters) and optimizer.defaults["fused"] else 1
    start, seconds, data_seconds, history, losses, best = 0, 0.0, 0.0, [], [], None
    if resume is not None:
        check_state(resume, model, optimizer, task, settings, steps)
        model.load_state_dict(resume["model"])
        if average:
            average.values = copied({n: v.to(average.values[n].device) for n, v in resume["average"].items()})
        task.generator.set_state(resume["generator"])
        torch.set_rng_state(resume["rng"])
        start, seconds, data_seconds = (resume[name] for name in ("step", "seconds", "data_seconds"))
        history, losses, best = list(resume["history"]), list(resume["losses"]), resume["best"]

    def state(step: int) -> dict:
        return {
            "model": model.state_dict(),
            "average": average.values if average else None,
            "best": best,
            "optimizer": optimizer.state_dict(),
            "generator": task.generator.get_state(),
            "rng": torch.get_rng_state(),
            "settings": settings,
            "step": step,
            "seconds": seconds,
            "data_seconds": data_seconds,
            "history": history,
            "losses": losses,
        }

    model.train()
    saved_at = time.perf_counter()
    for step in range(start + 1, steps + 1):
        began = time.perf_counter()
        batch = task.batch()
        data_seconds += time.perf_counter() - began
        optimizer.zero_grad(set_to_none=True)
        loss = task.loss(batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, math.inf if clip is None else clip)
        watch.see(step, loss.detach(), norm)
        if look_every == 1:
            losses += watch.read()
        else:
            watch.stand_still()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, lr=lr, steps=steps, schedule=schedule, warmup=warmup)
        optimizer.step()
        if average:
            average.update(model, step)
        validates = step % val_every == 0 or step == steps
        saves = save and (step == steps or time.perf_counter() - saved_at >= save_seconds)
        look = step % look_every == 0 or validates or saves
        if look:
            losses += watch.read()
        seconds += time.perf_counter() - began
        if validates:
            with average.lent_to(model) if average else nullcontext():
                columns = validated(model, task, step, steps)
                row = {"step": step, "seconds": seconds, "train_loss": math.fsum(losses) / len(losses)}
                history.append(row | columns)
                losses.clear()
                if task.best and _is_better(columns[task.best], best, task.better):
                    best = {"row": len(history) - 1, "value": columns[task.best]}
                    best["model"] = copied(model.state_dict())
        if saves:
            save(state(step))
            saved_at = time.perf_counter()
        if progress and look:
            progress(step, watch.last)
    if best:
        model.load_state_dict(best["model"])
    elif average:
        model.load_state_dict(average.values)
    return Trained(history, seconds, data_seconds, history[best["row"] if best else -1])


class _Watch:
    """Losses and gradient norms of the last steps, where they were computed, until somebody reads them."""

    def __init__(self, optimizer: torch.optim.Adam, steps: int, lr: float) -> None:
        self.optimizer, self.steps, self.lr, self.seen, self.bad = optimizer, steps, lr, [], None
        self.last = math.nan

    def see(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Keep those of a step, before its update."""
        self.seen.append((step, loss, norm))

    def stand_still(self) -> None:
        """Let the updates from this one on do nothing if its loss or gradient is not finite."""
        _, loss, norm = self.seen[-1]
        bad = (~(loss + norm).isfinite()).float()
        self.bad = bad if self.bad is None else self.bad.maximum(bad)
        self.optimizer.found_inf = self.bad  # what gradient scalers tell the fused update

    def read(self) -> list[float]:
        """The losses since the last time; TrainingError at the first step that is not finite."""
        if not self.seen:
            return []
        steps, *pairs = zip(*self.seen, strict=True)
        losses, norms = torch.stack([torch.stack(numbers).double() for numbers in pairs]).tolist()
        self.seen = []
        for step, value, norm in zip(steps, losses, norms, strict=True):
            if not (math.isfinite(value) and math.isfinite(norm)):
                raise TrainingError(
                    f"expected a finite loss and gradient; got loss {value:.3g}, gradient norm {norm:.3g} "
                    f"at step {step} of {self.steps} (learning rate {self.lr:g})"
                )
            self.last = value
        return losses


def validated(model: nn.Module, task: Task, step: int, steps: int) -> dict[str, float]:
    """The columns of a validation, "val_loss" first, as plain finite numbers."""
    model.eval()
    try:
        with torch.no_grad():
            found = task.validate()
    finally:
        model.train()
    columns = dict(found) if isinstance(found, Mapping) else {"val_loss": found}
    columns = {name: float(columns[name]) for name in sorted(columns, key=lambda name: name != "val_loss")}
    for needed in filter(None, ("val_loss", task.best)):
        if needed not in columns:
            raise ValueError(f"expected a validation with the column {needed!r}; got {sorted(columns)}")
    for name, value in columns.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"expected a finite {name} at validation; got {value:.3g} at step {step} of {steps}"
            )
    return columns


def check_state(
    state: dict, model: nn.Module, optimizer: torch.optim.Adam, task: Task, settings: dict, steps: int
) -> None:
    """StateError unless `state` can be resumed by this model and these settings.

    Only `optimizer` gets its part of it: it is the loop's own.
    """
    parts = {"model", "average", "best", "optimizer", "generator", "rng", "settings", "step", "seconds"}
    parts |= {"data_seconds", "history", "losses"}
    if not isinstance(state, dict) or not parts <= state.keys():
        missing = sorted(parts - state.keys()) if isinstance(state, dict) else sorted(parts)
        raise StateError(f"expected a state of this training loop; got one without {', '.join(missing)}")
    if state["settings"] != settings:
        names = settings.keys() | state["settings"].keys()
        other = sorted(n for n in names if settings.get(n) != state["settings"].get(n))
        now, then = ({n: values.get(n) for n in other} for values in (settings, state["settings"]))
        raise StateError(f"expected a state trained with {now}; got one with {then}")
    if state["step"] > steps:
        raise StateError(f"expected a state of at most {steps} steps; got one of step {state['step']}")
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    sets = {"weights": state["model"], "averaged weights": state["average"] if settings["ema"] else None}
    sets["best weights"] = state["best"]["model"] if state["best"] else None
    for what, values in sets.items():
        if values is None:
            continue
        found = {name: tuple(value.shape) for name, value in values.items()}
        if found != shapes:
            name = min(n for n in shapes.keys() | found.keys() if shapes.get(n) != found.get(n))
            raise StateError(
                f"expected {what} of this model, {name} of shape {shapes.get(name)}; got {found.get(name)}"
            )
    try:
        optimizer.load_state_dict(state["optimizer"])
        for parameter, moments in optimizer.state.items():
            if moments["exp_avg"].shape != parameter.shape:
                raise ValueError(f"moments of shape {tuple(moments['exp_avg'].shape)}")
        torch.Generator(task.generator.device).set_state(state["generator"])
        torch.Generator().set_state(state["rng"])
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise StateError(f"expected the optimizer and generators of this loop; got {error}") from error


def _is_better(value: float, best: dict | None, better: str) -> bool:
    return best is None or (value < best["value"] if better == "low" else value > best["value"])
