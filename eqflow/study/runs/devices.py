"""Which device is asked for, and which GPU of this machine each of several runs side by side gets."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch


def choose_device(device: str) -> torch.device:
    """The torch device for "auto", "cpu", "cuda" or "cuda:1"; ValueError for others and for absent ones."""
    kind, _, index = str(device).partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"expected DEVICE 'auto', 'cpu' or 'cuda'; got {device!r}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(f"expected a CUDA device for DEVICE {device!r}; found {torch.cuda.device_count()}")
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def devices(device: torch.device) -> dict[str, float]:
    """The GPUs that `device` means ("cuda": all that are visible), as CUDA_VISIBLE_DEVICES names them, with
    their bytes of memory."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = visible.split(",") if visible else [str(i) for i in range(count)]
    wanted = range(count) if device.index is None else [device.index]
    return {names[i].strip(): torch.cuda.get_device_properties(i).total_memory for i in wanted}


def assigned(memory: Mapping[str, float], need: float, count: int | None = None) -> list[str]:
    """The device of each process: one process per device, more of them (up to `count`) where memory allows.

    Args:
        memory: bytes of each device.
        need: bytes of the largest run. It is a guess, so that every device gets one process in any case.
        count: of processes; None: as many as there are devices.

    Returns:
        Names of devices, in turns: with room for two on "0" and one on "1", ["0", "1", "0"].
    """
    count = len(memory) if count is None else count
    room = {name: max(1, int(size // need)) for name, size in memory.items()}
    turns = range(max(room.values(), default=0))
    return [name for turn in turns for name in memory if turn < room[name]][:count]
