"""What each notebook trains, in four sizes; on which data; and what learns nothing beside it."""

from .data_check import missing_data
from .profiles import PROFILES, Profile, get_profile
from .registry import NOTEBOOKS, WORTH, experiments_of, runs_for

__all__ = [
    "NOTEBOOKS",
    "PROFILES",
    "WORTH",
    "Profile",
    "experiments_of",
    "get_profile",
    "missing_data",
    "runs_for",
]
