"""One set of tests for every layer of the registry: inverse, log-determinant, symmetry, gradients, saving,
empty batches, copies, low precision, what is said of wrong events, and what a layer says of itself.

Log-determinants are compared with the autograd Jacobian of encode and of decode, each by itself: a sign that
is wrong in both would cancel in their sum.
"""

import copy
import io
import pickle

import pytest
import torch
from registry import CASES
from safetensors.torch import load_file, save_file

from eqflow.density.bases import StandardNormal
from eqflow.density.bijection import Bijection
from eqflow.density.flow import NormalizingFlow

DTYPES = [torch.float64, torch.float32]
# Relative to the largest number there is, or to 1 if that is larger. None: the case says.
TOLERANCE = {
    torch.float64: {"inverse": None, "log_det": None, "equivariance": 1e-12, "log_prob": 1e-12},
    torch.float32: {"inverse": 1e-3, "log_det": 1e-3, "equivariance": 1e-4, "log_prob": 1e-4},
}
BROKEN_ABOVE = 0.01
GRID = 200  # points per side, of the integral over the plane
INTEGRAL = 1e-4
DEVICE = torch.device("cpu")  # of layers and events; `--device` sets another

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
symmetric = pytest.mark.parametrize("case", [case for case in CASES if case.group], ids=str)
planar = pytest.mark.parametrize("case", [case for case in CASES if case.event == (2,)], ids=str)


@pytest.fixture(autouse=True)
def on_the_device_asked_for(device, monkeypatch):
    monkeypatch.setitem(globals(), "DEVICE", device)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(case, dtype=torch.float64, seed=0) -> Bijection:
    return case.make(generator(seed)).to(DEVICE, dtype).eval()


def events(case, count=4, dtype=torch.float64, seed=1):
    return torch.randn(count, *case.event, generator=generator(seed), dtype=torch.float64).to(DEVICE, dtype)


def tolerance(case, dtype, what):
    return TOLERANCE[dtype][what] or case.tolerance


def distance(a, b) -> float:
    """max |a - b| / max(1, |b|); NaN if there is one, and then every comparison fails."""
    assert a.shape == b.shape and a.dtype == b.dtype
    return ((a - b).abs().max() / b.abs().max().clamp_min(1)).item()


def worst(errors) -> float:
    """The largest; NaN if there is one, which `max` could pass over."""
    return torch.tensor(list(errors)).max().item()


def worst_equivariance(case, bijection, x) -> float:
    act_encoded = case.act_encoded or case.act
    with torch.no_grad():
        z = bijection.encode(x)[0]
        return worst(distance(bijection.encode(case.act(g, x))[0], act_encoded(g, z)) for g in case.group)


def normal_density(bijection, z) -> NormalizingFlow:
    return NormalizingFlow(StandardNormal(z.shape[1:]).to(z.device, z.dtype), bijection)


def test_names_are_unique_and_a_claimed_symmetry_has_its_control():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert all(made(case).exact for case in CASES)  # estimates are tested in test_logdet.py, test_residual.py
    assert [case.name for case in CASES if case.group and not (case.act and case.broken)] == []


@every_case
@every_dtype
def test_round_trip(case, dtype):
    bijection, x = made(case, dtype), events(case, dtype=dtype)
    limit = tolerance(case, dtype, "inverse")
    with torch.no_grad():
        z, log_det = bijection.encode(x)
        back, back_log_det = bijection.decode(z)
        assert distance(back, x) < limit
        assert distance(bijection.encode(back)[0], z) < limit
        assert distance(-back_log_det, log_det) < tolerance(case, dtype, "log_det")


def log_det_of_jacobian(function, x):
    """log |det| by autograd, event by event; x (B, ...) -> (B,)."""
    results = []
    for event in x:
        jacobian = torch.autograd.functional.jacobian(lambda e: function(e[None])[0][0].flatten(), event)
        results.append(torch.linalg.slogdet(jacobian.flatten(1)).logabsdet)
    return torch.stack(results)


@every_case
def test_log_det_of_encode_is_that_of_its_jacobian(case):
    bijection, x = made(case), events(case, 2)
    log_det = bijection.encode(x)[1].detach()
    assert distance(log_det, log_det_of_jacobian(bijection.encode, x)) < case.tolerance


@every_case
def test_log_det_of_decode_is_that_of_its_jacobian(case):
    bijection = made(case)
    z = bijection.encode(events(case, 2, seed=2))[0].detach()
    log_det = bijection.decode(z)[1].detach()
    assert distance(log_det, log_det_of_jacobian(bijection.decode, z)) < case.tolerance


@every_case
def test_log_det_is_the_same_in_float32(case):
    bijection = made(case)
    with torch.no_grad():
        expected = bijection.encode(events(case))[1]
        log_det = made(case, torch.float32).encode(events(case, dtype=torch.float32))[1]
    assert distance(log_det.double(), expected) < tolerance(case, torch.float32, "log_det")


@symmetric
@every_dtype
def test_encode_is_equivariant(case, dtype):
    error = worst_equivariance(case, made(case, dtype), events(case, dtype=dtype))
    assert error < tolerance(case, dtype, "equivariance")


@symmetric
def test_without_the_symmetry_equivariance_fails(case):
    assert worst_equivariance(case, case.broken(generator()).to(DEVICE).eval(), events(case)) > BROKEN_ABOVE


@symmetric
@every_dtype
def test_density_is_invariant_under_every_element(case, dtype):
    bijection, x = made(case, dtype), events(case, dtype=dtype)
    with torch.no_grad():
        density = normal_density(bijection, bijection.encode(x)[0])
        log_prob = density.log_prob(x)
        errors = [distance(density.log_prob(case.act(g, x)), log_prob) for g in case.group]
    assert worst(errors) < tolerance(case, dtype, "log_prob")


@planar
def test_density_integrates_to_one(case):
    bijection = made(case)
    angles = torch.arange(360, dtype=torch.float64).deg2rad()
    disc = torch.stack([angles.cos(), angles.sin()], 1).repeat(7, 1)
    disc = (disc * torch.arange(7.0, dtype=torch.float64).repeat_interleave(360)[:, None]).to(DEVICE)
    with torch.no_grad():  # where decode sends the disc of radius 6, there is all of the mass but 2e-8
        reached = bijection.decode(disc)[0]
        low, high = reached.amin(0), reached.amax(0)
        # A map of angles leaves a density that is not continuous at the origin: there a sum converges slowly.
        side = 2 * GRID if case.name.startswith("turning") else GRID
        step = (high - low) / side
        middles = (torch.arange(side).to(disc) + 0.5)[:, None] * step + low
        points = torch.cartesian_prod(*middles.T)
        log_prob = normal_density(bijection, disc).log_prob(points)
    assert abs(log_prob.exp().sum().item() * step.prod().item() - 1) < INTEGRAL


@every_case
def test_gradients_reach_every_parameter(case):
    bijection = made(case).train()
    z, log_det = bijection.encode(events(case).requires_grad_())  # some layers have no parameters
    weights = torch.randn(z.shape, generator=generator(3), dtype=z.dtype).to(DEVICE)
    ((z * weights).sum() + log_det.sum()).backward()
    for name, parameter in bijection.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()) and parameter.grad.abs().max() > 0, name


@every_case
def test_save_and_load(case, tmp_path):
    one, other, x = made(case), made(case, seed=7), events(case)
    save_file(one.state_dict(), tmp_path / "weights.safetensors")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        assert torch.equal(other.encode(x)[0], one.encode(x)[0])


@every_case
def test_an_empty_batch(case):
    bijection, x = made(case), events(case, 0)
    with torch.no_grad():
        z, log_det = bijection.encode(x)
        back, back_log_det = bijection.decode(z)
    assert back.shape == x.shape and log_det.shape == back_log_det.shape == (0,)
    assert z.shape[1:] == bijection.encode(events(case, 1))[0].shape[1:]


def through_torch_save(bijection):
    buffer = io.BytesIO()
    torch.save(bijection, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda bijection: pickle.loads(pickle.dumps(bijection)),
    "torch.save": through_torch_save,
}


@every_case
def test_copies_are_the_same_map_and_go_their_own_way(case):
    bijection, x = made(case), events(case)
    with torch.no_grad():
        expected = bijection.encode(x)
        for how, make in COPIES.items():
            other = make(bijection)
            assert all(torch.equal(a, b) for a, b in zip(other.encode(x), expected, strict=True)), how
            for parameter in other.parameters():
                parameter.add_(0.5)
            if list(other.parameters()):
                assert not torch.equal(other.train().eval().encode(x)[0], expected[0]), how
        assert torch.equal(bijection.encode(x)[0], expected[0])


@every_case
def test_autocast_changes_nothing(case):
    """Three digits would not do: what decode gives back would be off by a tenth."""
    bijection, x = made(case, torch.float32), events(case, dtype=torch.float32)
    with torch.no_grad():
        expected = bijection.encode(x)
        with torch.autocast(DEVICE.type, torch.bfloat16):
            found = bijection.encode(x)
            back = bijection.decode(found[0])[0]
            low = bijection.encode(x.bfloat16())[0]  # as a layer before it would hand it on
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert distance(back, x) < tolerance(case, torch.float32, "inverse")
    assert low.dtype == torch.float32


LOW = r"in float32 or float64 .* need the digits; got torch\.bfloat16"
SINGLE = r"expected torch\.float64 events on .*, as the parameters, .*; got torch\.float32 on"


@every_case
def test_events_of_another_precision_are_refused(case):
    bijection, x = made(case), events(case)
    z = bijection.encode(x)[0].detach()
    with pytest.raises(ValueError, match=LOW):
        bijection.encode(x.bfloat16())
    if list(bijection.parameters()):
        with pytest.raises(ValueError, match=SINGLE):
            bijection.encode(x.float())
        with pytest.raises(ValueError, match=SINGLE):
            bijection.decode(z.float())
        with pytest.raises(ValueError, match=LOW):
            bijection.bfloat16().encode(x)
        with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match=LOW):
            bijection.encode(x.bfloat16())


@every_case
def test_a_layer_says_what_it_is(case):
    bijection = made(case)
    for module in bijection.modules():
        if isinstance(module, Bijection):
            first = repr(module).split(chr(10))
            shown = first[0] if len(first) == 1 else first[0] + first[1]
            assert str(module.event_shape) in shown and type(module).__name__ in shown
            assert module.group is None or str(module.group) in shown
            assert getattr(module, "mask", None) is None or "mask keeps" in shown
