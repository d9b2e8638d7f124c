"""Next-frame prediction by a gated recurrence; videos, loss and evaluation are those of `prediction`."""

from __future__ import annotations

from eqflow.motion import FramePredictor
from eqflow.motion.grid_cell import GridCell

from .prediction import checksum, data_label, is_stand_in, loader, motions_of, task

__all__ = ["build", "checksum", "data_label", "is_stand_in", "loader", "task"]


def build(config: dict) -> FramePredictor:
    """A convolutional GRU whose slices move; with the zero motion alone an ordinary one."""
    about = {"motions": motions_of(config), "kernel_size": config["kernel_size"], "gated": True}
    return FramePredictor(
        GridCell(1, config["channels"], **about),
        decoder_layers=config["decoder_layers"],
        pool=config["pool"],
        rollout=config["rollout"],
    )
