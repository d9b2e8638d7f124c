"""The site's own modules, which belong to no package."""

import sys
from pathlib import Path

SITE = Path(__file__).resolve().parents[2] / "site"
sys.path[:0] = [str(SITE), str(SITE / "extensions")]
