"""Log-determinants of I + J: reference values, and estimators whose expectation is taken exactly.

Unbiasedness is shown twice: by summing over every probe and every number of terms, without chance, and by
sampling, within standard errors.
"""

import itertools
import math

import pytest
import torch

from eqflow.density.lipschitz import convolve
from eqflow.density.logdet import exact, roulette, series, tail_weights, truncation_bound, weighted_series
from eqflow.density.residual import GResidual
from eqflow.symmetry import cyclic

TAILS = [("geometric", 0.5), ("poisson", 2.0)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def of(g, x):
    """The pair that the functions take."""
    x = x.clone().requires_grad_()
    return x, g(x)


def layer_on_points(seed=0):
    """A generic contraction of the plane, with parameters: x -> g(x)."""
    layer = GResidual(cyclic(1), (2,), hidden_fields=(4, 4), generator=generator(seed)).double()
    return layer.net


def brute_force(g, x):
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda e: g(e[None]).flatten(), event).flatten(1) for event in x]
    )
    return torch.linalg.slogdet(torch.eye(jacobian.shape[-1], dtype=x.dtype) + jacobian).logabsdet


def smooth_bump(x):
    return 0.5 * torch.exp(-x.square().sum(1, keepdim=True)) * x


def five_taps(padding):
    filter = torch.tensor([[0, 0.1, 0], [0.1, 0.2, 0.1], [0, 0.1, 0]], dtype=torch.float64)[None, None]
    return lambda x: convolve(x, filter, padding=padding)


QUARTER_TURN = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
REFERENCES = {
    "bump": (smooth_bump, torch.tensor([[0.3, -0.4]], dtype=torch.float64), 0.5067675527832411),
    "half a quarter turn": (lambda x: 0.5 * x @ QUARTER_TURN.T, noise(1, 2), math.log(1.25)),
    "convolution, circular": (five_taps("circular"), noise(1, 1, 4, 4), 2.6866783651801045),
    "convolution, zero": (five_taps("zero"), noise(1, 1, 4, 4), 2.7463588569590307),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_values(name):
    g, x, expected = REFERENCES[name]
    found = exact(*of(g, x))
    assert found.exact and found.standard_error.item() == 0
    assert found.value.item() == pytest.approx(expected, abs=1e-14)
    if name.startswith("convolution"):  # all eigenvalues of J are below .6 in size
        many = series(*of(g, x), terms=60, probes=400, generator=generator())
        assert abs(many.value.item() - expected) < 4 * many.standard_error.item()
        assert not many.exact


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("batch", [2, 256])
def test_exact_agrees_with_brute_force_and_so_does_its_gradient(size, batch):
    matrix = (0.6 * noise(size, size) / size**0.5).requires_grad_()
    g = lambda x: torch.tanh(x @ matrix.T)  # noqa: E731
    x = noise(5, size, seed=2)
    value = exact(*of(g, x), batch=batch).value
    assert torch.allclose(value, brute_force(g, x), atol=1e-13)
    (gradient,) = torch.autograd.grad(value.sum(), matrix)
    shifted = matrix.detach().clone()
    shifted[0, 1] += 1e-6
    slope = brute_force(lambda v: torch.tanh(v @ shifted.T), x) - value.detach()
    assert gradient[0, 1].item() == pytest.approx(slope.sum().item() / 1e-6, abs=1e-5)


@pytest.mark.parametrize("event", [(2, 1, 1), (1, 2, 1), (1, 1, 2)])
def test_images_of_two_numbers_are_events_of_two_numbers(event):
    layer = GResidual(cyclic(1), event, hidden_fields=(3, 3), generator=generator()).double().eval()
    x = noise(4, *event)
    log_det = layer.encode(x)[1]
    assert torch.allclose(log_det, brute_force(layer.net, x), atol=1e-12) and log_det.abs().max() > 1e-5


def test_an_empty_batch_has_an_empty_log_det():
    x, y = of(smooth_bump, noise(0, 3))
    assert exact(x, y).value.shape == (0,)


def test_exact_keeps_no_graph_without_gradients():
    x, y = of(smooth_bump, noise(3, 2))
    with torch.no_grad():
        assert not exact(x, y).value.requires_grad
        assert not roulette(x, y, generator=generator()).value.requires_grad


ALL_SIGNS = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=2)), dtype=torch.float64)


def over_all_probes(g, x, weights):
    """The expectation of the weighted series over the four sign vectors of the plane."""
    return every_probe(*of(g, x), weights).mean(0)


def every_probe(x, y, weights):
    probes = ALL_SIGNS[:, None].expand(-1, *x.shape)
    return weighted_series(x, y, probes, torch.tensor([weights] * 4, dtype=torch.float64))


def test_the_series_is_the_truncated_one_term_by_term():
    matrix = torch.tensor([[0.4, -0.3], [0.2, 0.5]], dtype=torch.float64)
    for terms in (1, 2, 5):
        powers = [torch.linalg.matrix_power(matrix, k).trace() for k in range(1, terms + 1)]
        expected = sum((-1) ** (k + 1) / k * power for k, power in enumerate(powers, 1))
        found = over_all_probes(lambda x: x @ matrix.T, noise(3, 2), [1.0] * terms)
        assert torch.allclose(found, expected.expand(3), atol=1e-15)


def test_long_series_reach_the_value_and_the_gradient():
    g, x = layer_on_points(), noise(4, 2)
    parameters = list(g.parameters())
    exactly = exact(*of(g, x)).value
    estimated = over_all_probes(g, x, [1.0] * 150)
    assert torch.allclose(estimated, exactly, atol=1e-12)
    truth = torch.autograd.grad(exactly.sum(), parameters, allow_unused=True)
    neumann = torch.autograd.grad(estimated.sum(), parameters, allow_unused=True)
    for a, b in zip(truth, neumann, strict=True):
        assert (a is None) == (b is None) and (a is None or torch.allclose(a, b, atol=1e-11))


def test_the_gradient_reaches_the_input_too():
    """Earlier layers learn from the log-determinant of later ones."""
    g, x = layer_on_points(), noise(4, 2).requires_grad_()
    truth = torch.autograd.grad(exact(x, g(x)).value.sum(), x)[0]
    estimate = every_probe(x, g(x), [1.0] * 150).sum()
    assert torch.allclose(torch.autograd.grad(estimate / 4, x)[0], truth, atol=1e-11)
    assert truth.abs().max() > 1e-4


@pytest.mark.parametrize("tail, rate", TAILS)
def test_tail_weights_have_expectation_one(tail, rate):
    """Over a fine grid of the uniform number: E [1(N >= j) / P(N >= j)] = 1."""
    count, sums = 200_000, [0.0] * 4
    for i in range(0, count, 10):
        weights = tail_weights((i + 0.5) / count, tail, rate)
        for j in range(min(4, len(weights))):
            sums[j] += weights[j] * 10 / count
    assert sums == pytest.approx([1.0] * 4, abs=2e-3)
    mean = 1 / rate if tail == "geometric" else rate
    lengths = [len(tail_weights((i + 0.5) / 10_000, tail, rate)) for i in range(10_000)]
    assert sum(lengths) / 10_000 == pytest.approx(mean, abs=2e-3)


def expectation_over_lengths(g, x, exact_terms, tail, rate, most=60):
    """Sum over every number of terms with its probability, and over every probe."""
    weights = tail_weights(1e-16, tail, rate)[:most]  # 1 / P(N >= j) for j = 1, 2, ...
    reach = [1 / w for w in weights]
    total = 0.0
    for n in range(len(reach) + 1):
        here = 1.0 if n == 0 else reach[n - 1]
        beyond = reach[n] if n < len(reach) else 0.0
        if here > beyond:
            terms = [1.0] * exact_terms + weights[:n]
            total = total + (here - beyond) * over_all_probes(g, x, terms)
    return total


@pytest.mark.parametrize("exact_terms", [0, 2])
@pytest.mark.parametrize("tail, rate", TAILS)
def test_roulette_is_unbiased_without_chance(exact_terms, tail, rate):
    g, x = layer_on_points(), noise(2, 2)
    truth = exact(*of(g, x)).value
    found = expectation_over_lengths(g, x, exact_terms, tail, rate)
    assert torch.allclose(found, truth, atol=1e-9)
    weight = next(g.parameters())
    gradients = [torch.autograd.grad(value.sum(), weight)[0] for value in (truth, found)]
    assert torch.allclose(*gradients, atol=1e-9)


def z_scores(found, truth):
    return ((found.value.detach() - truth) / found.standard_error).abs()


@pytest.mark.parametrize("tail, rate", TAILS)
def test_roulette_is_unbiased_within_its_standard_error(tail, rate):
    g, x = five_taps("circular"), noise(3, 1, 4, 4)
    truth = exact(*of(g, x)).value
    found = roulette(*of(g, x), tail=tail, rate=rate, probes=1000, generator=generator(4))
    assert found.standard_error.max() < 0.1 and z_scores(found, truth).max() < 4
    wrong = exact(*of(lambda v: -g(v), x)).value  # the sign of J
    assert z_scores(found, wrong).min() > 10
    unweighted = series(*of(g, x), terms=1, probes=1000, generator=generator(4))
    assert z_scores(unweighted, truth).min() > 5  # one term is seen to be biased


def test_a_long_series_is_unbiased_within_its_standard_error_and_a_short_one_biased_as_bounded():
    g, x = layer_on_points(1), noise(3, 2)
    truth = exact(*of(g, x)).value.detach()
    norm = max(torch.linalg.matrix_norm(j, 2).item() for j in jacobians(g, x))
    for terms in (1, 2, 4, 8):
        bias = (over_all_probes(g, x, [1.0] * terms) - truth).abs().max().item()
        assert bias < truncation_bound(2, norm, terms)
    found = series(*of(g, x), terms=40, probes=2000, generator=generator(5))
    assert z_scores(found, truth).max() < 4


def jacobians(g, x):
    return [torch.autograd.functional.jacobian(lambda e: g(e[None])[0], event) for event in x]


def test_standard_errors_are_those_of_repeated_estimates():
    g, x = five_taps("zero"), noise(1, 1, 4, 4)
    draw = generator(6)
    runs = [roulette(*of(g, x), probes=20, generator=draw) for _ in range(200)]
    spread = torch.stack([run.value for run in runs]).std().item()
    claimed = torch.stack([run.standard_error.square() for run in runs]).mean().sqrt().item()
    assert claimed == pytest.approx(spread, rel=0.15)
    assert roulette(*of(g, x), generator=draw).standard_error.isinf().all()  # one probe cannot know


def test_memory_does_not_grow_with_the_number_of_terms():
    """Tensors kept for backward: those of one product."""
    g, x = layer_on_points(), noise(4, 2)
    kept = []
    for terms in (2, 40):
        saved = []
        x_, y = of(g, x)
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=saved: s.append(t.shape) or t, lambda t: t):
            weighted_series(x_, y, torch.ones_like(x)[None], torch.ones(1, terms))
        kept.append(len(saved))
    assert kept[0] == kept[1] > 0


def test_generator_decides():
    g, x = five_taps("zero"), noise(2, 1, 4, 4)
    one, two, other = (roulette(*of(g, x), generator=generator(s)).value for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x, y: series(x, y, terms=0), "positive number of terms; got 0"),
        (lambda x, y: roulette(x, y, probes=0), "positive number of probes; got 0"),
        (lambda x, y: roulette(x, y, exact_terms=-1), "exact_terms >= 0; got -1"),
        (lambda x, y: roulette(x, y, tail="uniform"), "expected a tail among"),
        (lambda x, y: roulette(x, y, rate=1.0), "below 1 if geometric; got 1.0"),
    ],
)
def test_errors_name_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call(*of(smooth_bump, noise(1, 2)))


@pytest.mark.parametrize("lipschitz", [1.0, 3.3, -0.1, math.nan])
def test_no_bound_without_a_contraction(lipschitz):
    with pytest.raises(ValueError, match=r"Lipschitz constant in \[0, 1\)"):
        truncation_bound(10, lipschitz, 5)
