"""What the papers claim, and what evidence earns by rules that stood before the run."""

from .claims import Claim, Verdict, judge, load_claims
from .evidence import ClaimError, Evidence
from .scoreboard import write_readme, write_scoreboard

__all__ = [
    "Claim",
    "ClaimError",
    "Evidence",
    "Verdict",
    "judge",
    "load_claims",
    "write_readme",
    "write_scoreboard",
]
