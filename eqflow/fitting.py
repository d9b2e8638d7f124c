"""What `density.fit` and `motion.fit` share: the training loop with a progress bar and a checkpoint file.

A checkpoint is the SHA-256 of what follows, then the state as `torch.save` writes it. It is replaced as a
whole, so that a process that is killed while it writes leaves the one before.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .training import StateError, Task, Trained, train

DIGEST = 32  # bytes
HELD_OUT = 0.1  # share of the examples that validate, where no others are given


def save_checkpoint(path: Path, content: dict) -> None:
    """Write `content` (tensors, numbers, strings, lists, dicts) as a whole or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(hashlib.sha256(data).digest() + data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict:
    """What `save_checkpoint` wrote, on the CPU.

    Raises:
        StateError: for a file that is damaged, or no checkpoint.
    """
    data = path.read_bytes()
    if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
        raise StateError(f"expected a whole checkpoint; {path} is damaged: delete it to start again")
    return torch.load(io.BytesIO(data[DIGEST:]), map_location="cpu", weights_only=True)


def split(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(which examples train, which validate): a tenth validates, at random but the same for a seed."""
    if count < 2:
        raise ValueError(f"expected at least 2 examples, one of them to validate; got {count}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held_out = max(1, round(HELD_OUT * count))
    return order[held_out:], order[:held_out]


def fit(
    model: nn.Module,
    task: Task,
    *,
    steps: int,
    about: dict,
    checkpoint: str | os.PathLike | None,
    progress: bool,
    seed: int,
    val_every: int | None = None,
    save_seconds: float = 20.0,
    **settings,
) -> Trained:
    """`train`, resumed from and saved to a file; the global generator is as it was afterwards.

    Args:
        about: plain values that a checkpoint must share to be resumed: batch size, seed, shapes.
        checkpoint: the file, or None.
        seed: of what draws from the global generator, such as dropout.
        val_every: None for twenty validations.
        settings: those of `train`.

    Raises:
        StateError: for a checkpoint that is damaged, or of another model, data or setting.
    """
    path, resume = None if checkpoint is None else Path(checkpoint), None
    if path is not None and path.exists():
        try:
            content = load_checkpoint(path)
            if content["about"] != about:
                raise StateError(f"expected a state of {about}; got one of {content['about']}")
            resume = content["state"]
        except KeyError as error:
            raise StateError(f"expected a checkpoint of fit; got {path} without {error}") from error
    bar = tqdm(total=steps, initial=resume["step"] if resume else 0, disable=not progress, unit="step")

    def report(step: int, loss: float) -> None:
        bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
        bar.update()

    save = None if path is None else lambda state: save_checkpoint(path, {"about": about, "state": state})
    with bar, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            trained = train(
                model,
                task,
                steps=steps,
                val_every=max(1, steps // 20) if val_every is None else val_every,
                resume=resume,
                save=save,
                save_seconds=save_seconds,
                progress=report,
                **settings,
            )
        except StateError as error:
            raise StateError(f"{error} (in {path})") from error
    model.eval()
    return trained
