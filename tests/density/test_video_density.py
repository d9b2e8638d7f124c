"""A likelihood that no motion changes: its three conditions, and what happens without each of them."""

import math

import pytest
import torch
from cases.core import generic

from eqflow.density import ConvExponential, NormalizingFlow, StandardNormal
from eqflow.density.context import ContextChain, ContextMixture, Contextual
from eqflow.density.video import VideoDensity
from eqflow.motion import TranslationCell
from eqflow.motion.grid_cell import GridCell
from eqflow.symmetry import MotionSet, Translation, cyclic

SIDE = 4
CLOSED = [(a, b) for a in range(SIDE) for b in range(SIDE)]
SETS = {
    "all": CLOSED,
    "open": [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)],
    "one": [(0, 0)],
    "even": [(a, b) for a in (0, 2) for b in (0, 2)],
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Masked(Contextual):
    """Pixels of a checkerboard pass through a mixture, the others as they are: a mask."""

    def __init__(self, layer):
        super().__init__(1, layer.context_channels)
        self.layer = layer

    def _encode(self, x, context):
        height, width = x.shape[2:]
        where = (torch.arange(height)[:, None] + torch.arange(width)) % 2 == 0
        below, above, density = self.layer._sums(x, self.layer._mixture(context))
        slope = (density - below - above).masked_fill(~where, 0)
        return torch.where(where, below - above, x), slope.flatten(1).sum(1)


def made(velocities, masked=False, cell=TranslationCell):
    exponential = ConvExponential(cyclic(1), 1, field_type="trivial", padding="circular")
    layer = ContextMixture(1, 3, components=2, width=4)
    chain = ContextChain([Masked(layer) if masked else layer, exponential])
    motions = MotionSet(Translation(*v) for v in velocities)
    density = NormalizingFlow(StandardNormal((1, SIDE, SIDE)), chain)
    return generic(VideoDensity(cell(1, 3, motions=motions), density), generator(), 0.5)


def films(count=3, frames=4):
    return torch.randn(count, frames, 1, SIDE, SIDE, generator=generator(1), dtype=torch.float64)


@torch.no_grad()
def gap(model, velocity):
    x = films()
    return (model.log_prob(Translation(*velocity)(x)) - model.log_prob(x)).abs().max().item()


@pytest.mark.parametrize("cell", [TranslationCell, GridCell])
def test_no_motion_changes_it(cell):
    model = made(SETS["all"], cell=cell)
    assert max(gap(model, v) for v in [*CLOSED, (-1, 3), (5, -2)]) < 1e-10


def test_first_condition_a_closed_set_of_velocities():
    for name in ("open", "one"):
        assert gap(made(SETS[name]), (1, 0)) > 1e-3, name
    even = made(SETS["even"])
    assert gap(even, (2, 2)) < 1e-10 and gap(even, (1, 0)) > 1e-3


def test_second_condition_no_mask():
    masked = made(SETS["all"], masked=True)
    assert gap(masked, (1, 0)) > 1e-3 and gap(masked, (2, 0)) < 1e-10


def test_what_stands_still_elsewhere_has_the_same_density():
    x, model = films(), made(SETS["one"])
    with torch.no_grad():
        assert (model.log_prob(x.roll((1, 2), (3, 4))) - model.log_prob(x)).abs().max() < 1e-10


def test_it_is_a_density_frame_by_frame():
    """Against the Jacobian of a frame, and with nothing of later frames in the earlier ones."""
    model, x = made(SETS["all"]), films(1)
    with torch.no_grad():
        log_prob, contexts = model.log_prob(x), model.contexts(x)
    bijection = model.density.bijection
    for t in range(x.shape[1]):
        context = contexts[:, t]
        jacobian = torch.autograd.functional.jacobian(lambda e, c=context: bijection.encode(e, c)[0], x[:, t])
        z = bijection.encode(x[:, t], context)[0].detach()
        base = -0.5 * z.square().sum() - 0.5 * SIDE**2 * math.log(2 * math.pi)
        assert abs(base + jacobian.view(SIDE**2, -1).slogdet()[1] - log_prob[0, t]) < 1e-10
    with torch.no_grad():
        other = torch.cat([x[:, :2], films(2)[1:, 2:]], 1)
        found = model.log_prob(other)
    assert torch.equal(found[:, :2], log_prob[:, :2]) and (found - log_prob)[:, 2:].abs().min() > 1e-6


def test_samples_go_on_from_what_was_seen():
    model, x = made(SETS["all"]), films(2)
    with torch.no_grad():
        film = model.sample(x[:, :2], 5, generator())
        assert film.shape == (2, 5, 1, SIDE, SIDE) and torch.equal(film[:, :2], x[:, :2])
        # a moved beginning, told noise that moves as well, goes on as the moved film
        noise, base = torch.randn(3, 2, 1, SIDE, SIDE, dtype=torch.float64), model.density.base
        velocity = Translation(1, 2)

        def with_noise(first, moved):
            draws = iter([velocity.act(z, t + 2) if moved else z for t, z in enumerate(noise)])
            base.sample = lambda n, generator=None: next(draws)
            return model.sample(first, 5)

        still, moving = with_noise(x[:, :2], False), with_noise(velocity(x[:, :2]), True)
    assert (moving - velocity(still)).abs().max() < 1e-9
    del base.sample
    begun = model.sample(3, 2, generator())
    assert begun.shape == (3, 2, 1, SIDE, SIDE) and torch.equal(begun, model.sample(3, 2, generator()))


def test_gradients_reach_every_parameter():
    model = made(SETS["open"])
    (-model(films()).sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_errors_name_what_was_expected():
    model = made(SETS["one"])
    plain = NormalizingFlow(
        StandardNormal((1, SIDE, SIDE)), ConvExponential(cyclic(1), 1, field_type="trivial")
    )
    for call, message in (
        (lambda: model.log_prob(films()[0]), r"films \(B, T, 1, 4, 4\); got \(4, 1, 4, 4\)"),
        (lambda: model.sample(films(), 2), r"1 <= n <= 2; got \(3, 4, 1, 4, 4\)"),
        (lambda: VideoDensity(model.cell, plain), "a context of 3 channels; got none"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
