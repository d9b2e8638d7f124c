"""Checks of notebook 50: a world larger than the view."""

from __future__ import annotations

import torch

from ..exercise import exercise, require


@exercise("50.1", minutes=10)
def window_of_a_slice(answer, salt):
    """The corner of the window in the map of those who drift."""
    world, look = salt.integer(20, 30), "section 'In whose coordinates should a memory be kept?'"
    v, boost = (torch.tensor([int(m.vx), int(m.vy)]) for m in salt.velocities(2, 3))
    thing = torch.tensor([salt.integer(0, world - 1), salt.integer(0, world - 1)])
    places = []
    for t in range(6):
        camera = torch.tensor([salt.integer(0, world - 1), salt.integer(0, world - 1)])
        corner = torch.as_tensor(answer(camera, t, v, world))
        inside = corner.shape == (2,) and bool(((corner >= 0) & (corner < world)).all())
        require(inside, expected=f"two numbers from 0 to {world - 1}", got=f"{corner.tolist()}", look=look)
        seen_at = (thing + t * v - camera) % world  # where the drifting thing is in the view
        places.append(((corner + seen_at) % world).tolist())
        other = torch.as_tensor(answer((camera + t * boost) % world, t, v + boost, world))
        require(
            bool((other == corner).all()),
            expected="the same corner after a boost of camera and slice",
            got=f"{other.tolist()} instead of {corner.tolist()}",
            look="section 'Galileo's ship'",
        )
    require(
        all(place == thing.tolist() for place in places),
        expected=f"a thing that drifts with {tuple(v.tolist())} at the same place of its map in every frame",
        got=f"places {places}",
        look=look,
    )


@exercise("50.2", minutes=20)
def tour_sees_all(answer, salt):
    """A tour of the torus, with no step too many."""
    view, step = salt.integer(6, 9), salt.integer(2, 4)
    world = view * salt.integer(2, 3)
    steps = [tuple(int(a) for a in pair) for pair in answer(world, view, step)]
    longest = max((max(abs(dx), abs(dy)) for dx, dy in steps), default=0)
    require(
        longest <= step, expected=f"steps up to {step} px", got=f"one of {longest} px", look="min(step, ...)"
    )
    seen, place = torch.zeros(world, world, dtype=torch.bool), (0, 0)
    for dx, dy in [(0, 0), *steps]:
        place = ((place[0] + dx) % world, (place[1] + dy) % world)
        columns, rows = ((torch.arange(view) + p) % world for p in place)
        seen[rows[:, None], columns] = True
    missed = int((~seen).sum())
    require(
        missed == 0, expected="every place in view once", got=f"{missed} places never seen", look="the rows"
    )
    turns = -(-world // view)
    most = turns * -(-(world - view) // step) + (turns - 1) * -(-view // step)
    require(
        len(steps) <= most,
        expected=f"at most {most} steps",
        got=f"{len(steps)}",
        look="the hint: a row's length",
    )
