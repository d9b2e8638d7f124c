"""Sequence models equivariant to motion."""

from .cells import TranslationCell
from .models import FramePredictor

__all__ = ["FramePredictor", "TranslationCell"]
