"""Sequence models equivariant to motion."""

from .baselines import Conv3dClassifier
from .cells import TranslationCell
from .classifier import ActionClassifier
from .finer import on_finer_grid
from .fit import fit
from .found import FoundMotionPredictor
from .grid_cell import GridCell
from .linear import LinearTranslationCell
from .linear_predictor import LinearPredictor
from .models import FramePredictor
from .more_motions import Drift, Scaling, Shear, log_polar
from .phase import layered_fit, phase_correlation
from .rotation import RotationCell
from .state import State
from .world_map import WorldMap

__all__ = [
    "ActionClassifier",
    "Conv3dClassifier",
    "Drift",
    "FoundMotionPredictor",
    "FramePredictor",
    "GridCell",
    "LinearPredictor",
    "LinearTranslationCell",
    "RotationCell",
    "Scaling",
    "Shear",
    "State",
    "TranslationCell",
    "WorldMap",
    "fit",
    "layered_fit",
    "log_polar",
    "on_finer_grid",
    "phase_correlation",
]
