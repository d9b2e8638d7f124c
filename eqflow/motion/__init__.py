"""Sequence models equivariant to motion."""

from .baselines import Conv3dClassifier
from .cells import TranslationCell
from .classifier import ActionClassifier
from .fit import fit
from .found import FoundMotionPredictor
from .linear import LinearTranslationCell
from .linear_predictor import LinearPredictor
from .models import FramePredictor
from .phase import layered_fit, phase_correlation
from .rotation import RotationCell
from .state import State
from .world_map import WorldMap

__all__ = [
    "ActionClassifier",
    "Conv3dClassifier",
    "FoundMotionPredictor",
    "FramePredictor",
    "LinearPredictor",
    "LinearTranslationCell",
    "RotationCell",
    "State",
    "TranslationCell",
    "WorldMap",
    "fit",
    "layered_fit",
    "phase_correlation",
]
