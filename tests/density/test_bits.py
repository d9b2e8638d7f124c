"""Bits per dimension: reference values, terms that add up, and estimates that do not pass as exact."""

import math

import numpy as np
import pytest
import torch

from eqflow.density.bases import StandardNormal
from eqflow.density.bijection import Bijection, Chain
from eqflow.density.bits import bits_per_dim, log_prob_terms
from eqflow.density.elementwise import ActNorm, Logit, dequantize
from eqflow.density.flow import NormalizingFlow, OrbitAverage
from eqflow.symmetry import dihedral

SHAPE = (1, 4, 4)
D4 = dihedral(4)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def grey(count=6):
    return torch.randint(256, (count, *SHAPE), generator=generator(), dtype=torch.uint8)


class Uniform(torch.nn.Module):
    """The density 1 on the unit cube."""

    exact = True

    def log_prob(self, x):
        return x.new_zeros(len(x))


class Noisy(Bijection):
    """The identity, whose log-determinant 0 is guessed with a standard deviation of 1."""

    def __init__(self):
        super().__init__(SHAPE)
        self.generator = generator(5)

    @property
    def exact(self):
        return False

    def _encode(self, x):
        return x, torch.randn(len(x), generator=self.generator).to(x)


def model(*more):
    links = [Logit(SHAPE, 0.05), ActNorm(SHAPE), *more]
    with torch.no_grad():
        links[1].log_scale.fill_(0.3)
    return NormalizingFlow(StandardNormal(SHAPE), Chain(links))


def test_a_uniform_model_needs_eight_bits():
    assert bits_per_dim(Uniform(), grey(), generator=generator())["bits/dim"]["sum"] == 8
    assert bits_per_dim(Uniform(), grey() // 64, levels=4, generator=generator())["bits/dim"]["sum"] == 2


@pytest.mark.parametrize("alpha, expected", [(1e-6, 8.813222699), (0.05, 8.207529431)])
def test_reference_values_of_the_logit_on_uniform_data(alpha, expected):
    """One picture holds Gauss-Legendre nodes; intervals that shrink towards 0 and 1 resolve alpha there."""
    edges = np.concatenate([[0], np.logspace(-9, -0.5, 40), 1 - np.logspace(-0.5, -9, 40), [1]])
    nodes, weights = np.polynomial.legendre.leggauss(32)
    edges = np.unique(edges)
    width = np.diff(edges)[:, None]
    x = torch.from_numpy(edges[:-1, None] + width * (nodes + 1) / 2).flatten()
    w = torch.from_numpy(width * weights / 2).flatten()
    density = NormalizingFlow(StandardNormal((1, 1, 1)), Logit((1, 1, 1), alpha))
    log_prob = density.log_prob(x.view(-1, 1, 1, 1))
    assert 8 - (w @ log_prob).item() / math.log(2) == pytest.approx(expected, abs=1e-9)


def test_terms_add_up_to_the_log_prob():
    density, x = model(), dequantize(grey(), generator())
    table = bits_per_dim(density, x)
    assert list(table.index) == [
        "base (StandardNormal)",
        "1 Logit",
        "2 ActNorm",
        "dequantization (log2 256)",
        "sum",
    ]
    assert table["bits/dim"][:-1].sum() == pytest.approx(table["bits/dim"]["sum"], abs=1e-12)
    per_image = 8 - density.log_prob(x).detach().double() / (16 * math.log(2))
    assert table["bits/dim"]["sum"] == pytest.approx(per_image.mean().item(), abs=1e-6)
    assert table["standard error over images"]["sum"] == pytest.approx(
        per_image.std().item() / 6**0.5, abs=1e-6
    )
    assert table["bits/dim"]["2 ActNorm"] == pytest.approx(-0.3 / math.log(2), abs=1e-6)
    assert set(table["how"]) == {"exact", "constant"}
    assert (table["standard error of the estimate"] == 0).all()


def test_integers_are_dequantized_and_batches_change_nothing():
    density = model()
    whole = bits_per_dim(density, grey(), generator=generator(2))
    parts = bits_per_dim(density, dequantize(grey(), generator(2)), batch_size=4)
    assert np.allclose(whole.iloc[:, :3], parts.iloc[:, :3], atol=1e-6)


def test_integers_are_dequantized_in_the_precision_of_the_model():
    density = model().double()
    x = dequantize(grey(), generator(), dtype=torch.float64)
    assert bits_per_dim(density, grey(), generator=generator()).equals(bits_per_dim(density, x))


def test_terms_of_nested_chains_are_those_of_their_links():
    density = model(Chain([ActNorm(SHAPE), Chain([ActNorm(SHAPE)])]))
    terms = log_prob_terms(density, dequantize(grey(), generator()))
    assert list(terms) == ["base (StandardNormal)", "1 Logit", "2 ActNorm", "3 ActNorm", "4 ActNorm"]


def test_estimates_are_refused_and_then_labelled():
    density, x = model(Noisy()), dequantize(grey(200), generator())
    with pytest.raises(ValueError, match="exact log-determinants; got estimates from Noisy"):
        bits_per_dim(density, x)
    table = bits_per_dim(density, x, allow_estimates=True, repeats=20)
    assert list(table["how"]) == ["exact", "exact", "exact", "estimate", "constant", "estimate"]
    unit = 1 / (16 * math.log(2)) / (200 * 20) ** 0.5  # of a mean over images and repeats
    error = table["standard error of the estimate"]
    assert 0.5 * unit < error["3 Noisy"] < 1.6 * unit
    assert error["sum"] == pytest.approx(error["3 Noisy"])
    assert error["1 Logit"] == 0
    assert abs(table["bits/dim"]["3 Noisy"]) < 4 * unit


def test_one_repeat_of_an_estimate_has_no_standard_error():
    table = bits_per_dim(model(Noisy()), grey(), allow_estimates=True, repeats=1, generator=generator())
    assert math.isnan(table["standard error of the estimate"]["sum"])


def test_an_average_over_a_group_is_one_term():
    average = OrbitAverage(model(), D4, D4.act_image)
    table = bits_per_dim(average, grey(), generator=generator())
    assert list(table.index) == ["log density (OrbitAverage)", "dequantization (log2 256)", "sum"]
    alone = bits_per_dim(model(), grey(), generator=generator())  # invariant already
    assert table["bits/dim"]["sum"] == pytest.approx(alone["bits/dim"]["sum"], abs=1e-6)
    with pytest.raises(ValueError, match="estimates from OrbitAverage"):
        bits_per_dim(OrbitAverage(model(Noisy()), D4, D4.act_image), grey())


@pytest.mark.parametrize(
    "images, message",
    [
        (torch.rand(3, 4, 4), r"images \(B, C, H, W\); got \(3, 4, 4\)"),
        (grey().float(), r"integers 0..255 or dequantized numbers in \[0, 1\]; got 1 to 254"),
        (grey().long() + 9, "integers 0..255; got"),
    ],
)
def test_errors_say_what_was_expected(images, message):
    with pytest.raises(ValueError, match=message):
        bits_per_dim(model(), images)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [255, 256])
def test_grey_values_without_noise_are_refused(step, dtype):
    """A density may be as high as it likes on the grey values themselves."""
    x = grey().to(torch.float32) / step
    with pytest.raises(
        ValueError, match=f"dequantized numbers; got multiples of 1/{step} only. Pass the int"
    ):
        bits_per_dim(model(), x.to(dtype))
    bits_per_dim(model(), x + torch.rand(x.shape, generator=generator()) / 1000)
    with pytest.raises(ValueError, match="multiples of 1/3 only"):
        bits_per_dim(model(), (grey() // 64).float() / 3, levels=4)


class Averaging(Bijection):
    """Keeps a running mean in training, as batch norms do."""

    def __init__(self):
        super().__init__(SHAPE)
        self.register_buffer("mean", torch.zeros(()))

    def _encode(self, x):
        if self.training:
            self.mean.lerp_(x.mean(), 0.1)
        return x - self.mean, torch.zeros(len(x))


def test_the_model_is_left_as_it_was():
    """Its buffers, and the mode of every module."""
    density = model(Averaging())
    density.bijection[1].eval()
    modes = [module.training for module in density.modules()]
    assert density.training and len(set(modes)) == 2
    table = bits_per_dim(density, grey(), generator=generator())
    assert [module.training for module in density.modules()] == modes
    assert density.bijection[2].mean == 0
    assert bits_per_dim(model(), grey(), generator=generator())["bits/dim"]["sum"] == table["bits/dim"]["sum"]
    density.log_prob(dequantize(grey()))
    assert density.bijection[2].mean != 0  # the control


def test_labels():
    density = model(ActNorm(SHAPE, classes=2))
    with torch.no_grad():
        density.bijection[2].shift[1] = 3.0
    tables = [
        bits_per_dim(density, grey(), generator=generator(), context=torch.full((6,), label), batch_size=4)
        for label in (0, 1)
    ]
    alone = bits_per_dim(model(), grey(), generator=generator())
    assert tables[0]["bits/dim"]["sum"] == pytest.approx(alone["bits/dim"]["sum"], abs=1e-6)
    assert tables[1]["bits/dim"]["sum"] > alone["bits/dim"]["sum"] + 1
    average = OrbitAverage(density, D4, D4.act_image)
    found = bits_per_dim(average, grey(), generator=generator(), context=torch.ones(6, dtype=torch.long))
    assert found["bits/dim"]["sum"] == pytest.approx(tables[1]["bits/dim"]["sum"], abs=1e-6)
