"""Flow matching in the plane with as many sines as it is given; all else is as in `likelihood`."""

from __future__ import annotations

from eqflow.density import FlowMatching
from eqflow.density.features import FeatureField

from .likelihood import checksum, data_label, is_stand_in, loader, task

__all__ = ["build", "checksum", "data_label", "is_stand_in", "loader", "task"]


def build(config: dict) -> FlowMatching:
    """With the group "O(2)" the net sees the radius, else the coordinates."""
    about = {"radial": config["group"] == "O(2)", "width": config["hidden_fields"][0]}
    return FlowMatching(FeatureField(config["frequencies"], **about), tuple(config["event"]), steps=20)
