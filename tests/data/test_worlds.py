"""Films of a camera over a world: what is in view stands in the world, and the tour sees all of it."""

from __future__ import annotations

import pytest
import torch

from eqflow.data import digit_world, load_digits, unseen_for
from eqflow.data.worlds import tour, window

IMAGES = load_digits("embedded").test
OPTIONS = {"world": 24, "view": 12, "digits": 3}


def film(seed=0, batch=3, frames=20, images=IMAGES, **options):
    return digit_world(
        images, batch, frames, **OPTIONS | options, generator=torch.Generator().manual_seed(seed)
    )


def whole_world(films, frame):
    """The world at a frame, put together from what made it: (B, 1, 24, 24)."""
    out = torch.zeros(len(films.video), 1, 24, 24)
    for b in range(len(out)):
        for d in range(films.index.shape[1]):
            tile = torch.zeros(24, 24)
            tile[:8, :8] = IMAGES[films.index[b, d]]
            x, y = (films.starts[b, d] + frame * films.velocities[b, d]).tolist()
            out[b, 0] += tile.roll((y, x), (0, 1))
    return out.clamp(0, 1)


def test_the_view_is_a_window_of_the_world():
    films = film()
    assert films.video.shape == (3, 20, 1, 12, 12) and films.actions.shape == (3, 20, 2)
    assert torch.equal(films.positions, (films.positions[:, :1] + films.actions.cumsum(1)) % 24)
    for t in (0, 7, 19):
        world = whole_world(films, t)
        assert torch.equal(films.video[:, t], window(world, films.positions[:, t], (12, 12)))
        elsewhere = window(world, films.positions[:, t] + 5, (12, 12))
        assert not torch.equal(films.video[:, t], elsewhere)  # control


@pytest.mark.parametrize(
    "world, view, step", [((24, 24), (12, 12), 4), ((30, 20), (7, 9), 3), ((8, 8), (8, 8), 1)]
)
def test_the_tour_sees_every_place(world, view, step):
    path = tour(world, view, step)
    assert path.numel() == 0 or path.abs().max() <= step

    def covered(path):
        place = torch.cat([torch.zeros(1, 2, dtype=torch.int64), path.cumsum(0)])
        seen = torch.zeros(world, dtype=torch.bool)
        for x, y in place.tolist():
            rows, columns = (torch.arange(v) + p for v, p in zip(view, (y, x), strict=True))
            seen[(rows % world[0])[:, None], columns % world[1]] = True
        return bool(seen.all())

    assert covered(path)
    assert len(path) == 0 or not covered(path[:-1])  # control: not a step too many


def test_a_film_begins_with_the_tour_turned_at_random():
    actions, path = film(batch=64).actions, tour((24, 24), (12, 12), 4)
    assert torch.equal(actions[:, 1 : 1 + len(path)].abs(), path.abs().expand(64, -1, -1))
    signs = {tuple(a) for a in actions[:, 1 : 1 + len(path)].sign().amax(1).tolist()}
    assert len(signs) > 1 and not actions[:, 0].any()
    free = film(batch=64, toured=False).actions
    assert not torch.equal(free[:, 1 : 1 + len(path)].abs(), path.abs().expand(64, -1, -1))


def test_other_actions_the_same_world():
    plain = film(toured=False)
    boosted = film(actions=plain.actions + torch.tensor([1, -1]))
    assert torch.equal(plain.starts, boosted.starts) and torch.equal(plain.index, boosted.index)
    t = torch.arange(20)[:, None]
    assert torch.equal(boosted.positions, (plain.positions + t * torch.tensor([1, -1])) % 24)
    again = film(toured=False)
    assert torch.equal(plain.video, again.video) and not torch.equal(plain.video, film(1, toured=False).video)


def test_how_long_a_place_has_not_been_seen():
    positions = torch.tensor([[[0, 0], [4, 0], [4, 0], [0, 0], [12, 0]]])
    age = unseen_for(positions, 2, 24, 12)
    assert age.shape == (1, 3, 12, 12)
    assert (age[0, 0] == 1).all()  # in view at frame 1, where it was last
    assert (age[0, 1, :, :4] == 3).all() and (age[0, 1, :, 4:] == 2).all()
    assert (age[0, 2, :, :4] == 3).all() and (age[0, 2, :, 4:] == 6).all()  # never seen: T + 1


def test_wrong_arguments():
    with pytest.raises(ValueError, match="a world that holds"):
        film(view=30)
    with pytest.raises(ValueError, match=r"expected actions \(20, 2\)"):
        film(actions=torch.zeros(3, 2))
    with pytest.raises(ValueError, match="at least 1"):
        film(max_step=0)
    with pytest.raises(ValueError, match="floating images"):
        film(images=IMAGES[0])
