"""One plain training loop: Adam, gradient clipping, validation, and a state from which it resumes exactly.

Nothing is read or written here: the caller gets the state at intervals and hands it back to resume.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


class TrainingError(RuntimeError):
    """The run cannot go on: a loss or a gradient is not finite."""


class StateError(ValueError):
    """A state belongs to another model or loop: it cannot be resumed. Nothing was changed by it."""


@dataclass(frozen=True)
class Task:
    """What one run is trained on.

    Attributes:
        batch: draws the next batch from `generator`, on the device that the model is on.
        loss: of a batch; draws nothing.
        validate: the validation loss; draws nothing.
        evaluate: the final metrics, JSON values only; draws nothing.
        generator: the source of all randomness of the batches; part of the resume state.
    """

    batch: Callable[[], Any]
    loss: Callable[[Any], torch.Tensor]
    validate: Callable[[], float]
    evaluate: Callable[[], dict]
    generator: torch.Generator


@dataclass(frozen=True)
class Trained:
    """`history`: one dict (step, seconds, train_loss, val_loss) per validation, train_loss being the mean
    since the last; `seconds`: time of the training steps, validation apart; `data_seconds`: of which the
    batches took."""

    history: list[dict]
    seconds: float
    data_seconds: float

    @property
    def kept(self) -> dict:
        """The row of `history` whose weights the model has."""
        return self.history[-1]


def train(
    model: nn.Module,
    task: Task,
    *,
    steps: int,
    lr: float,
    clip: float,
    val_every: int,
    resume: dict | None = None,
    save: Callable[[dict], None] | None = None,
    save_seconds: float = 20.0,
    progress: Callable[[int, float], None] | None = None,
) -> Trained:
    """Train `model` in place for `steps` steps.

    Args:
        clip: largest norm of the gradient.
        val_every: steps between validations; the last step is always validated.
        resume: a state that `save` got, to go on from as if nothing had happened: the result is the same, bit
            for bit on the CPU with as many threads.
        save: gets the state about every `save_seconds` and after the last step. It holds tensors, numbers,
            strings, lists and dicts only (loadable with `weights_only=True`).
        progress: called with (step, loss) after each step.

    Raises:
        TrainingError: at a loss, gradient or validation loss that is not finite; the weights are still the
            good ones of the step before (after it, for a validation loss), and the last saved state stands.
        StateError: if `resume` is of another model or loop.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    start, seconds, data_seconds, history, losses = 0, 0.0, 0.0, [], []
    if resume is not None:
        _check_state(resume, model)
        model.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        task.generator.set_state(resume["generator"])
        torch.set_rng_state(resume["rng"])
        start, seconds, data_seconds = (resume[name] for name in ("step", "seconds", "data_seconds"))
        history, losses = list(resume["history"]), list(resume["losses"])

    def state(step: int) -> dict:
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": task.generator.get_state(),
            "rng": torch.get_rng_state(),
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
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), clip))
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise TrainingError(
                f"expected a finite loss and gradient; got loss {value:.3g}, gradient norm {norm:.3g} "
                f"at step {step} of {steps} (learning rate {lr:g})"
            )
        optimizer.step()
        losses.append(value)
        seconds += time.perf_counter() - began
        if step % val_every == 0 or step == steps:
            val_loss = float(task.validate())
            if not math.isfinite(val_loss):
                raise TrainingError(
                    f"expected a finite validation loss; got {val_loss:.3g} at step {step} of {steps}"
                )
            train_loss = math.fsum(losses) / len(losses)
            history.append({"step": step, "seconds": seconds, "train_loss": train_loss, "val_loss": val_loss})
            losses.clear()
        if save and (step == steps or time.perf_counter() - saved_at >= save_seconds):
            save(state(step))
            saved_at = time.perf_counter()
        if progress:
            progress(step, value)
    return Trained(history, seconds, data_seconds)


def _check_state(state: dict, model: nn.Module) -> None:
    parts = {"model", "optimizer", "generator", "rng", "step", "seconds", "data_seconds", "history", "losses"}
    if not isinstance(state, dict) or not parts <= state.keys():
        raise StateError(f"expected a state of this training loop, with {', '.join(sorted(parts))}")
    now, then = ({n: tuple(v.shape) for n, v in s.items()} for s in (model.state_dict(), state["model"]))
    if now != then:
        name = min(n for n in now.keys() | then.keys() if now.get(n) != then.get(n))
        raise StateError(f"expected {name} of shape {now.get(name)}; got {then.get(name)}")
