"""Checks of notebook 20: speeds between the generators."""

from __future__ import annotations

from itertools import combinations

from ..exercise import exercise, require


@exercise("20.1", minutes=10)
def list_covers(answer, salt):
    """No list of so many generators has a smaller largest distance."""
    for _ in range(3):
        low, length, count = salt.integer(-7, 0), salt.integer(6, 12), salt.integer(1, 4)
        speeds = list(range(low, low + length))

        def reach(chosen, speeds=speeds):
            return max(min(abs(v - nu) for nu in chosen) for v in speeds)

        made = [int(nu) for nu in answer(speeds, count)]
        require(
            0 < len(made) <= count and made == list(answer(speeds, count)),
            expected=f"from 1 to {count} whole velocities",
            got=f"{list(answer(speeds, count))}",
        )
        best = min(reach(chosen) for chosen in combinations(speeds, count))
        require(
            reach(made) <= best,
            expected=f"no speed of {low} to {speeds[-1]} farther than {best} from {count} generators",
            got=f"{reach(made)} px/frame with {made}",
            look="the ends of the range are poor places for a generator",
        )


@exercise("20.2", minutes=10)
def steps_stay_near(answer, salt):
    """Whole steps that never leave the true place by more than half a pixel."""
    for _ in range(4):
        speed, frames = salt.uniform(-3, 3), salt.integer(20, 60)
        steps = list(answer(speed, frames))
        whole = len(steps) == frames and all(float(s).is_integer() for s in steps)
        require(whole, expected=f"{frames} whole steps", got=f"{len(steps)} steps, {steps[:6]} ...")
        off = max(abs(sum(steps[:t]) - speed * t) for t in range(1, frames + 1))
        require(
            off <= 0.5 + 1e-9,
            expected=f"a place within half a pixel of {speed:.3f} t in all {frames} frames",
            got=f"one that is {off:.2f} px off",
            look="what has to be rounded: the speed, or the place",
        )
