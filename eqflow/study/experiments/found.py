"""Next-frame prediction with velocities that are found; the rest is that of `prediction`."""

from __future__ import annotations

from eqflow.motion.found import FoundMotionPredictor

from .prediction import checksum, data_label, empty_batch, is_stand_in, loader, loss_of, task

__all__ = ["build", "checksum", "data_label", "empty_batch", "is_stand_in", "loader", "loss_of", "task"]


def build(config: dict) -> FoundMotionPredictor:
    """The predictor, with `config["count"]` slices."""
    about = {name: config[name] for name in ("count", "kernel_size", "start", "decoder_layers")}
    return FoundMotionPredictor(config["channels"], fastest=config["max_speed"], **about)
