"""Checks of notebook 15: speeds that training never showed."""

from __future__ import annotations

from ...symmetry import Translation
from ..exercise import exercise, gap, require
from .nb11 import pairs_of, random_cell, states_of


@exercise("15.1", minutes=10)
def acquaintances_are_told(answer, salt):
    """Which slices have, to this digit, a relative velocity that training has shown."""
    listed = [(0, 0), *pairs_of(salt.velocities(salt.integer(4, 10), 3))]
    reach = salt.integer(1, 2)
    for nu in [*pairs_of(salt.velocities(4, 4)), (0, 0)]:
        # d is known if it is mu - nu'' for some slice mu: if some slice lies within `reach` of it
        near = [
            max(abs(vx - nu[0] - a), abs(vy - nu[1] - b)) <= reach for vx, vy in listed for a, b in listed
        ]
        wanted = [any(near[i * len(listed) : (i + 1) * len(listed)]) for i in range(len(listed))]
        came = [bool(k) for k in answer(listed, reach, nu)]
        require(
            came == wanted,
            expected=f"{sum(wanted)} of {len(listed)} acquaintances for a digit at {nu}, reach {reach}",
            got=f"{sum(came)}" + ("" if sum(came) != sum(wanted) else ", but other ones"),
            look="'What the theorem promises': only relative velocities count; slices share weights",
        )


@exercise("15.2", minutes=10)
def list_comes_along(answer, salt):
    """With the list centred on the digit every slice is the moved slice of the digit at rest."""
    motions, video = salt.velocities(5, 2), salt.randn(2, 5, 1, 8, 9)
    nu = next(v for v in salt.velocities(9, 3) if v.vx != v.vy)
    cell = random_cell(salt, motions)
    other = random_cell(salt, [Translation(*v) for v in answer(pairs_of(motions), pairs_of([nu])[0])])
    other.load_state_dict(cell.state_dict())
    before, after = states_of(cell, video), states_of(other, nu(video))
    promised = nu(before.flatten(2, 3)).view_as(before)
    error = gap(after, promised, what="the states")
    require(
        error < 1e-12,
        expected=f"for a digit at {nu} every slice of the digit at rest, moved along, in the same order",
        got=f"a difference of {error:.2g} of the largest value",
        look="relative velocity: slice minus digit",
    )
