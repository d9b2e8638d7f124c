"""The course: exercises checked by property, three builds of each notebook, and a grader.

`exercise` and `salt` are what a check is written with, `exercises/` holds the checks, one file per notebook,
and `feedback` runs one on an answer. Nothing here takes part in a result: no figure, number or verdict rests
on it.
"""

from .exercise import Wrong, all_exercises, exercise, find, gap, require
from .feedback import CheckFailed, NotWritten, Outcome, judge
from .salt import Salt, cohort

__all__ = [
    "CheckFailed",
    "NotWritten",
    "Outcome",
    "Salt",
    "Wrong",
    "all_exercises",
    "cohort",
    "exercise",
    "find",
    "gap",
    "judge",
    "require",
]
