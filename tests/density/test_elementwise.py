"""Actnorm, logit and dequantization, beyond what every layer is tested for."""

import math

import pytest
import torch

from eqflow.density.bijection import Chain
from eqflow.density.elementwise import ActNorm, Logit, dequantize, initialize
from eqflow.symmetry import cyclic


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_actnorm_is_set_from_data():
    norm = ActNorm((8, 3, 3), cyclic(4), field_type="regular")
    x = 3 * torch.randn(20, 8, 3, 3, generator=generator()) + 5
    norm.initialize(x)
    fields = norm.encode(x)[0].unflatten(1, (2, 4)).transpose(0, 1).flatten(1)
    assert fields.mean(1).abs().max() < 1e-5
    assert (fields.std(1, correction=0) - 1).abs().max() < 1e-5
    assert len(norm.log_scale) == len(norm.shift) == 2


def test_actnorm_of_vectors_has_no_shift():
    norm, x = ActNorm((4,), field_type="vector"), 3 * torch.randn(50, 4, generator=generator()) + 1
    norm.initialize(x)
    z = norm.encode(x)[0]
    assert norm.shift is None and len(norm.log_scale) == 2
    assert (z.unflatten(1, (2, 2)).square().mean((0, 2)) - 1).abs().max() < 1e-5


def test_actnorm_of_a_nearly_constant_field_stays_bounded():
    """The second channel is 5 up to rounding: 1 / std is 1e12, and -mean / std is no shift to start from."""
    x = torch.randn(50, 2, 3, 3, generator=generator(), dtype=torch.float64)
    x[:, 1] = 5 + 5e-12 * x[:, 1]
    norm = ActNorm((2, 3, 3)).double()
    norm.initialize(x)
    assert norm.shift.abs().max() < 1001 and norm.log_scale.max() <= math.log(1000)
    z = norm.encode(x)[0]
    assert abs(z[:, 0].std().item() - 1) < 0.01 and abs(z[:, 1].mean().item()) < 1e-9
    norm.initialize(1e-9 * x)  # not so units: all fields of small numbers get variance 1
    assert torch.allclose(norm.encode(1e-9 * x)[0], z)


def test_actnorm_starts_as_the_identity_and_goes_back():
    norm, x = ActNorm((2, 3, 3)), torch.randn(4, 2, 3, 3, generator=generator())
    assert torch.equal(norm.encode(x)[0], x)
    norm.initialize(x)
    norm.reset_parameters()
    assert torch.equal(norm.encode(x)[0], x)


def test_chain_is_set_in_order():
    x = torch.rand(40, 1, 4, 4, generator=generator())
    chain = Chain([Logit((1, 4, 4)), Chain([ActNorm((1, 4, 4)), ActNorm((1, 4, 4))])])
    z = initialize(chain, x)
    assert torch.equal(z, chain.encode(x)[0].detach())
    assert abs(z.mean().item()) < 1e-5 and abs(z.std(correction=0).item() - 1) < 1e-5
    assert chain[1][1].log_scale.abs().max() < 1e-5  # the first one left it nothing to do


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logit_at_the_ends(alpha, dtype):
    x = torch.tensor([[0.0, 0.5, 1.0]], dtype=dtype)
    z = Logit((3,), alpha).encode(x)[0]
    end = math.log((1 - alpha) / alpha)
    expected = torch.tensor([[-end, 0.0, end]], dtype=dtype)
    assert torch.allclose(z, expected, rtol=1e-6 if dtype == torch.float32 else 1e-12, atol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_logit_of_events_outside_is_minus_infinity_for_these_alone(alpha):
    x = torch.tensor([[0.2, 0.5], [0.2, 1.5], [-0.5, 0.5]], requires_grad=True)
    z, log_det = Logit((2,), alpha).encode(x)
    assert log_det[1:].tolist() == [-math.inf] * 2 and bool(z.isfinite().all())
    assert torch.equal(log_det[:1], Logit((2,), alpha).encode(x[:1])[1])
    (z.sum() + log_det[0]).backward()
    assert x.grad[0].abs().min() > 0 and x.grad[1:].tolist() == [[0, 0], [0, 0]]
    assert Logit((2,), alpha).encode(torch.tensor([[math.nan, 0.5]]))[1].isnan()  # no event, no density


def test_nothing_is_set_from_grey_values():
    chain = Chain([Logit((2,)), ActNorm((2,))])
    with pytest.raises(ValueError, match="under Logit; got 1 of 2 outside, with numbers from 0 to 255"):
        initialize(chain, torch.tensor([[0.0, 255.0], [0.0, 1.0]]))


def test_dequantize_is_uniform_within_a_level():
    images = torch.randint(256, (50, 1, 20, 20), generator=generator(), dtype=torch.uint8)
    x = dequantize(images, generator(1), dtype=torch.float64)
    assert torch.equal((x * 256).floor().to(torch.uint8), images)
    noise = x * 256 - images
    assert abs(noise.mean().item() - 0.5) < 0.01 and abs(noise.var().item() - 1 / 12) < 0.003
    assert torch.equal(x, dequantize(images, generator(1), dtype=torch.float64))
    assert dequantize(images, generator()).dtype == torch.float32


@pytest.mark.parametrize(
    "wrong, message",
    [
        (
            lambda: ActNorm((5, 2, 2), cyclic(4), field_type="regular"),
            r"events \(fields \* 4, ...\); got \(5",
        ),
        (lambda: ActNorm((4,), field_type="regular"), "\"regular\" with a group; got 'regular', group None"),
        (lambda: ActNorm((4,), field_type="spin"), "got 'spin'"),
        (lambda: ActNorm((1, 2, 2)).initialize(torch.zeros(3, 1, 2, 2)), "fields that vary"),
        (lambda: Logit((2,), 0.5), r"alpha in \[0, .5\); got 0.5"),
        (lambda: dequantize(torch.rand(3)), "integers 0..255; got torch.float32"),
        (lambda: dequantize(torch.tensor([256])), "integers 0..255; got 256..256"),
    ],
)
def test_errors_say_what_was_expected(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
