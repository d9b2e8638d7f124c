"""Next-frame prediction by models of neither paper; videos, loss and evaluation are those of `prediction`."""

from __future__ import annotations

from eqflow.motion import FramePredictor
from eqflow.motion.rivals import ConvLSTMCell, ToldPredictor

from .prediction import checksum, data_label, empty_batch, is_stand_in, loader, loss_of, task

__all__ = ["build", "checksum", "data_label", "empty_batch", "is_stand_in", "loader", "loss_of", "task"]


def build(config: dict) -> FramePredictor:
    """The rival that `config["net"]` names."""
    channels, layers = config["channels"], {"decoder_layers": config["decoder_layers"]}
    if config["net"] == "convlstm":
        return FramePredictor(ConvLSTMCell(1, channels, kernel_size=config["kernel_size"]), **layers)
    about = {name: config[name] for name in ("kernel_size", "start")}
    return ToldPredictor(channels, fastest=config["max_speed"], **about, **layers)
