"""KTH action recognition (Schuldt, Laptev, Caputo 2004)."""

from __future__ import annotations

ACTIONS = ("walking", "jogging", "running", "boxing", "handwaving", "handclapping")
