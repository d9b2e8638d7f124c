"""Next-frame prediction by a linear recurrence; videos, loss and evaluation are those of `prediction`."""

from __future__ import annotations

from eqflow.motion.linear import LinearTranslationCell
from eqflow.motion.linear_predictor import LinearPredictor

from .prediction import checksum, data_label, empty_batch, is_stand_in, loader, loss_of, motions_of, task

__all__ = ["build", "checksum", "data_label", "empty_batch", "is_stand_in", "loader", "loss_of", "task"]


def build(config: dict) -> LinearPredictor:
    """The predictor around a linear cell with `config["motions"]`."""
    about = {"motions": motions_of(config), "kernel_size": config["kernel_size"]}
    return LinearPredictor(LinearTranslationCell(1, config["channels"], **about))
