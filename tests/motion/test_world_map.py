"""A map larger than the view: boosts, frames of reference, memory; and the published recurrence beside it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from eqflow.data import digit_world, load_digits
from eqflow.motion import WorldMap
from eqflow.motion.world_rivals import PublishedWorldMap, StillWindow, ViewGRU, ViewRecurrence
from eqflow.symmetry import MotionSet, Translation, translation_grid

T, AHEAD, WORLD, VIEW = 6, 4, 12, 8
CLOSED = MotionSet(Translation(x, y) for x in range(WORLD) for y in (0,))  # all of the torus, along x
NU = torch.tensor([1, 0])


def films(batch=2, frames=T + AHEAD, **options):
    images = load_digits("embedded").test.double()
    options = {"world": WORLD, "view": VIEW, "digits": 2, "max_step": 2} | options
    return digit_world(images, batch, frames, **options, generator=torch.Generator().manual_seed(1))


def build(kind=WorldMap, motions=None, hidden=3, **options):
    torch.manual_seed(0)
    options = {"world": WORLD, "view": VIEW} | options
    return kind(1, hidden, motions=motions or translation_grid(1), **options).double().requires_grad_(False)


def gap(a, b):
    return float((a - b).abs().max() / b.abs().max())


# --- Galilean boosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [WorldMap, PublishedWorldMap])
def test_a_boost_of_the_camera_permutes_the_slices(kind):
    """The same frames, every step + nu: slice nu' becomes slice nu' + nu, moved by t nu as the camera is."""
    films_, net = films(), build(kind, translation_grid(2))
    frames, index = films_.video[:, :T], {(m.vx, m.vy): i for i, m in enumerate(net.motions)}
    before, after = (
        net(frames, actions, AHEAD, return_map=True)[1] for actions in (films_.actions, films_.actions + NU)
    )
    # The first action is the corner of the map, and is boosted as well: T steps by frame T - 1.
    wanted, shift = before.roll((0, T), (-2, -1)), []
    for (x, y), i in index.items():
        if (x + 1, y) in index:
            shift.append(gap(after[:, index[x + 1, y]], wanted[:, i]))
    assert len(shift) == 20 and max(shift) < 1e-12
    assert gap(after, wanted) > 0.01  # control: slice by slice, not permuted


@pytest.mark.parametrize("kind", [WorldMap, PublishedWorldMap])
def test_predictions_do_not_see_a_boost_where_v_is_closed(kind):
    films_ = films()
    frames, actions = films_.video[:, :T], films_.actions
    closed, cut = build(kind, CLOSED), build(kind, translation_grid(0))
    assert gap(closed(frames, actions + NU, AHEAD), closed(frames, actions, AHEAD)) < 1e-12
    assert gap(cut(frames, actions + NU, AHEAD), cut(frames, actions, AHEAD)) > 0.01  # control
    other = torch.tensor([0, 1])  # control: not along x, where V is closed
    assert gap(closed(frames, actions + other, AHEAD), closed(frames, actions, AHEAD)) > 0.01


@pytest.mark.parametrize("kind", [WorldMap, PublishedWorldMap])
def test_where_the_map_begins_does_not_matter(kind):
    films_, net = films(), build(kind)
    actions = films_.actions.clone()
    actions[:, 0] += 5
    moved, still = (net(films_.video[:, :T], a, AHEAD) for a in (actions, films_.actions))
    assert gap(moved, still) < 1e-12
    actions[:, 1] += 5  # control: a step that was not made
    assert gap(net(films_.video[:, :T], actions, AHEAD), still) > 0.01


# --- the same map in other frames of reference --------------------------------------------------------------


def test_the_published_form_moves_the_map_instead_of_the_window():
    """Egocentric: the window stays in the corner, the map is rolled by nu minus the action."""
    films_, net = films(), build(PublishedWorldMap)
    x, a = films_.video, films_.actions
    h, out = torch.zeros(2, 9, 3, WORLD, WORLD, dtype=torch.float64), []
    for t in range(T + AHEAD):
        frame = x[:, t] if t < T else out[-1] if out else x[:, T - 1]
        moved = torch.stack(
            [
                torch.stack([m.act(s, 1) for m, s in zip(net.motions, sample, strict=True)]).roll(
                    (-int(step[1]), -int(step[0])), (-2, -1)
                )
                for sample, step in zip(h, a[:, t], strict=True)
            ]
        )
        u = torch.zeros(2, 3, WORLD, WORLD, dtype=torch.float64)
        u[:, :, :VIEW, :VIEW] = net.input_conv(frame)
        padded = F.pad(moved.flatten(0, 1), (1, 1, 1, 1), mode="circular")
        h = torch.relu(F.conv2d(padded, net.hidden_conv.weight).view_as(h) + u[:, None])
        if t >= T:
            seen = h.amax(1)[..., :VIEW, :VIEW]
            for layer in net.decoder[:-1]:
                seen = torch.relu(layer(seen))
            out.append(net.decoder[-1](seen))
    assert gap(net(x[:, :T], a, AHEAD), torch.stack(out, 1)) < 1e-12


def test_written_out_slice_by_slice():
    """The docstring's formula, for one film, with every slice a picture that stands still."""
    films_, net = films(1), build()
    x, p = films_.video[0], films_.actions[0].cumsum(0)
    found = net(films_.video[:, :T], films_.actions, AHEAD, return_map=True)[1][0]
    for i, motion in enumerate(net.motions):
        g = torch.zeros(3, WORLD, WORLD, dtype=torch.float64)
        for t in range(T):
            c = (p[t] - t * torch.tensor([int(motion.vx), int(motion.vy)])).tolist()
            own = g.roll((-c[1], -c[0]), (1, 2))  # from where the camera is
            u = net.input_conv(x[t][None])
            wide = own.roll((1, 1), (1, 2))[None, :, : VIEW + 2, : VIEW + 2]
            here = own[None, :, :VIEW, :VIEW]
            a = torch.sigmoid(net.gate(torch.cat([here, u], 1)))
            own[:, :VIEW, :VIEW] = ((1 - a) * here + a * torch.relu(net.hidden_conv(wide) + u))[0]
            g = own.roll((c[1], c[0]), (1, 2))
        assert gap(found[i], motion.act(g, T - 1)) < 1e-12


# --- memory -------------------------------------------------------------------------------------------------


def test_what_is_out_of_view_is_remembered_to_the_bit():
    """Once round the torus in 40 frames, or no step at all: back at the same place, the same picture."""
    net, films_ = build(motions=translation_grid(0)), films(frames=T + 40)
    lap, rest = films_.actions.clone(), films_.actions.clone()
    rest[:, T:], lap[:, T:] = 0, torch.tensor([[3, 0]] * 4 * 5 + [[0, -3]] * 4 * 5)
    far, near = (net(films_.video[:, :T], actions, 40) for actions in (lap, rest))
    assert torch.equal(far[:, 39], near[:, 0]) and torch.equal(far[:, 3], near[:, 0])
    assert not torch.equal(far[:, 38], near[:, 0])  # control: elsewhere


def test_a_world_no_larger_than_the_view_is_frame_prediction():
    """World = view and a camera at rest: wherever a digit has been seen, its own slice says where it is."""
    net = build(world=8, motions=translation_grid(1))
    films_ = films(world=8, actions=torch.zeros(T + AHEAD, 2))
    first = net(films_.video[:, :T], films_.actions, AHEAD)
    lap = net(films_.video[:, :T], torch.zeros(2, T + 9, 2, dtype=torch.int64), 9)
    assert torch.equal(lap[:, :AHEAD], first) and torch.equal(lap[:, 8], lap[:, 0])  # once round the torus
    assert not torch.equal(lap[:, 1], lap[:, 0])


# --- the others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "net",
    [
        lambda: build(),
        lambda: build(PublishedWorldMap),
        lambda: StillWindow(build()),
        lambda: ViewRecurrence(1, 4, max_step=2).double(),
        lambda: ViewGRU(1, 8, view=VIEW, max_step=2).double(),
    ],
)
def test_one_call_for_all(net):
    """Shapes; all that is drawn is used; the future's frames are not looked at."""
    torch.manual_seed(0)
    net, films_ = net().requires_grad_(True), films()
    out = net(films_.video[:, :T], films_.actions, AHEAD)
    assert out.shape == (2, AHEAD, 1, VIEW, VIEW) and out.dtype == torch.float64
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_without_self_motion_actions_do_not_count():
    films_, net = films(), build()
    zero = torch.zeros_like(films_.actions)
    still = StillWindow(net)(films_.video[:, :T], films_.actions, AHEAD)
    assert torch.equal(still, net(films_.video[:, :T], zero, AHEAD))
    assert not torch.equal(still, net(films_.video[:, :T], films_.actions, AHEAD))


def test_wrong_arguments():
    net, films_ = build(), films()
    frames, actions = films_.video[:, :T], films_.actions
    with pytest.raises(ValueError, match=r"expected frames \(B, T, 1, 8, 8\)"):
        net(frames[..., :4], actions, AHEAD)
    with pytest.raises(ValueError, match=r"expected whole actions \(2, 9, 2\)"):
        net(frames, actions, 3)
    with pytest.raises(ValueError, match="expected whole actions"):
        net(frames, actions.double(), AHEAD)
    with pytest.raises(ValueError, match="horizon"):
        net(frames, actions, 0)
    with pytest.raises(ValueError, match="a view within the world"):
        build(view=20)
    with pytest.raises(ValueError, match="whole pixels"):
        build(motions=[Translation(0.5, 0)])
    with pytest.raises(ValueError, match="multiples of 4"):
        ViewGRU(1, 8, view=6, max_step=2)
