"""The checkpoint of a run that is under way: a state to resume from, after its own checksum."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch

from ..files import atomic_write

CHECKPOINT = "checkpoint"  # in the run's folder
HEADER = b"eqflow checkpoint, sha256 of what follows: "


def save_state(folder: Path, state: dict) -> None:
    """Keep a state to resume from, after its checksum."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    checksum = hashlib.sha256(payload).hexdigest().encode()
    atomic_write(folder / CHECKPOINT, HEADER + checksum + b"\n" + payload)


def load_state(folder: Path) -> tuple[dict | None, str]:
    """(the state of an interrupted run, ''), (None, '') if there is none, (None, what is wrong with it)."""
    try:
        head, _, payload = (folder / CHECKPOINT).read_bytes().partition(b"\n")
        if head != HEADER + hashlib.sha256(payload).hexdigest().encode():
            raise ValueError("its content does not have its checksum")
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"expected a dict; got {type(state).__name__}")
        return (state, "") if "step" in state else (None, f"checkpoint of {folder.name} is of another layout")
    except FileNotFoundError:
        return None, ""
    except Exception as error:  # whatever a file makes torch raise, the answer is to train from the start
        return None, f"checkpoint of {folder.name} is damaged ({error})"
