"""G-residual layers, beyond what the registry asks of all: inverse, estimators, gradients, training."""

import copy
import functools
import threading

import pytest
import torch
from cases.residual import generic
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

from eqflow.density import Chain, contraction, logdet
from eqflow.density.lipschitz import expand_alike
from eqflow.density.logdet import LogDet
from eqflow.density.residual import GResidual, invert
from eqflow.symmetry import cyclic, dihedral, equivariance_error
from eqflow.symmetry.steerable import SteerableConv2d


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def layer(group=None, event=(1, 5, 5), seed=0, **options):
    """First weights, as constructed."""
    options = {"hidden_fields": (2, 2), "generator": generator(seed)} | options
    return GResidual(group or cyclic(4), event, **options).double()


def made(*arguments, **options):
    """Generic parameters."""
    return generic(*arguments, **({"hidden_fields": (2, 1)} | options)).eval()


EVENTS = [
    (cyclic(4), (1, 5, 5), {}),
    (cyclic(5), (2,), {}),
    (dihedral(4), (1, 4, 4), {"concatenation": True}),
]


@pytest.mark.parametrize("group, event, options", EVENTS)
def test_g_is_a_contraction_everywhere_it_was_looked(group, event, options):
    """The largest singular value of its Jacobian, at generic points, against the product of the bounds."""
    bijection = made(group, event, generator(), hidden_fields=(3, 2), **options)
    net, bound = bijection.net, bijection.lipschitz_bound()
    assert bound <= 0.98 ** (2 if options else 3) * (1 + 1e-12)
    for x in 3 * noise(20, *event):
        jacobian = torch.autograd.functional.jacobian(lambda e: net(e[None])[0].flatten(), x).flatten(1)
        assert torch.linalg.matrix_norm(jacobian, 2) < bound


def test_the_lipschitz_bound_is_that_of_the_layers_together():
    """Without concatenation the product of their norms; with it a hidden layer hands on what came in."""
    for options, middle in (({}, 0.5), ({"concatenation": True}, None)):
        bijection = made(cyclic(4), (1, 5, 5), generator(), coefficient=0.5, padding="circular", **options)
        with torch.no_grad():
            for bounded in bijection.net.layers:
                bounded.conv.weight.mul_(3)
            if middle is None:
                cosine = bijection.net.angles.cos().item()
                middle = (cosine**2 + (1 - cosine**2) / 4) ** 0.5
                assert middle > 0.51  # more than the layer's own norm
            assert bijection.lipschitz_bound() == pytest.approx(middle / 4, rel=1e-12)
            bijection.net.layers[0].conv.weight.mul_(1e-3)
            assert bijection.lipschitz_bound() < middle / 40


@pytest.mark.parametrize("group, event", [(cyclic(5), (2,)), (dihedral(3), (2,)), (cyclic(3), (6,))])
@pytest.mark.parametrize("options", [{}, {"activation": "sine", "steepness": 5.0}, {"concatenation": True}])
def test_log_determinants_at_points_are_first_order_and_those_of_products(group, event, options):
    """Tangents carried forward, against products with the Jacobian: values, and gradients of all weights."""
    bijection = made(group, event, generator(), hidden_fields=(2, 2), **options)
    x = noise(5, *event).requires_grad_()
    found = bijection.encode(x)[1]
    truth = logdet.exact(x, bijection.net(x)).value
    assert (found - truth).abs().max() < 1e-13
    over = [x, *bijection.parameters()]
    pairs = [torch.autograd.grad(value.sin().sum(), over, allow_unused=True) for value in (found, truth)]
    for a, b in zip(*pairs, strict=True):
        assert (a is None) == (b is None) and (a is None or (a - b).abs().max() < 1e-12)
    activation = bijection.net.activations[0]
    activation.bend_slope = lambda x: x  # the control: another derivative than its own
    assert (bijection.encode(x)[1] - truth).abs().max() > 1e-3


def test_concatenated_layers_are_contractions_and_wider():
    plain = layer(hidden_fields=(2, 3, 2), kernel_sizes=(3, 1, 1, 3))
    joined = layer(hidden_fields=(2, 3, 2), kernel_sizes=(3, 1, 1, 3), concatenation=True)
    inputs = [[bounded.conv.in_channels // 4 for bounded in one.net.layers[1:]] for one in (plain, joined)]
    assert inputs == [[2, 3, 2], [2, 5, 7]]
    x = noise(50, 1, 5, 5)
    apart = joined.net(x) - joined.net(x.flip(0))
    assert apart.flatten(1).norm(dim=1).max() < (x - x.flip(0)).flatten(1).norm(dim=1).max()


def test_inverse_reports_and_has_a_small_residual():
    bijection, z = made(cyclic(4), (1, 5, 5), generator()), noise(3, 1, 5, 5)
    assert bijection.inverse_report is None
    x, log_det = bijection.decode(z)
    report = bijection.inverse_report
    assert 2 < report.iterations < 2000 and report.residual <= report.tolerance < 1e-12
    assert (bijection.encode(x)[0] - z).abs().max() < report.tolerance
    assert (bijection.encode(x)[1] + log_det).abs().max() < 1e-12


def test_the_inverse_of_an_expansion_is_an_error_with_its_numbers():
    with pytest.raises(RuntimeError, match=r"residual of 2.*; got .* after \d+ iterations"):
        invert(lambda x: 1.5 * x, noise(2, 2))
    with pytest.raises(RuntimeError, match=r"got 0\.\d+ after 3 iterations"):
        invert(lambda x: 0.9 * torch.sin(x), noise(2, 2), max_iterations=3)
    with pytest.raises(RuntimeError, match=r"got inf after \d+ iterations\. Is g a contraction"):
        invert(lambda x: -1e9 * x.pow(3), noise(2, 2))


def test_a_decode_that_fails_names_what_is_true():
    with pytest.raises(RuntimeError, match=r"got nan after 1 iterations\. g is not finite"):
        invert(lambda x: x * float("nan"), noise(2, 2))
    coarse = lambda x: (0.9 * x.sin()).bfloat16()  # noqa: E731
    with pytest.raises(
        RuntimeError, match=r"torch\.bfloat16, too coarse for z in torch\.float64: is autocast"
    ):
        invert(coarse, noise(2, 2), max_iterations=50)
    with torch.no_grad():
        lost = layer()
        lost.net.layers[0].conv.weight.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="g is not finite"):
        lost.decode(noise(1, 1, 5, 5))


@pytest.mark.parametrize("group, event, options", EVENTS)
def test_weights_changed_by_hand_leave_a_contraction(group, event, options):
    """In training and out of it, as an optimizer of one's own or an average of weights may change them."""
    bijection, x = layer(group, event, **options), noise(2, *event)
    with torch.no_grad():
        for name, parameter in bijection.named_parameters():
            if name.endswith("weight"):
                parameter.copy_(20 * noise(*parameter.shape, seed=8))
    before = bijection.train().encode(x)
    for mode in (True, False):
        z, log_det = bijection.train(mode).encode(x)
        assert torch.equal(z, before[0]) and torch.equal(log_det, before[1])
        back, minus = bijection.decode(z)
        assert (back - x).abs().max() < 1e-12 and (minus + log_det).abs().max() < 1e-12


def test_nothing_to_invert():
    assert layer().eval().decode(noise(0, 1, 5, 5))[0].shape == (0, 1, 5, 5)


@pytest.mark.parametrize("group, event, options", EVENTS)
def test_gradients_of_the_inverse(group, event, options):
    """By the implicit function theorem; finite differences know nothing of it."""
    bijection = made(group, event, generator(), hidden_fields=(2, 1), **options)
    z = noise(1, *event).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: bijection.decode(v)[0], z, atol=1e-6, check_undefined_grad=False
    )
    parameter = next(p for p in bijection.parameters() if p.requires_grad)
    weights = noise(1, *event, seed=5)
    loss = lambda: (bijection.decode(z.detach())[0] * weights).sum() + bijection.decode(z.detach())[1].sum()  # noqa: E731
    (gradient,) = torch.autograd.grad(loss(), parameter)
    index, step = (0,) * parameter.ndim, 1e-6
    with torch.no_grad():
        before = loss()
        parameter[index] += step
        assert ((loss() - before) / step).item() == pytest.approx(gradient[index].item(), abs=1e-4)


@pytest.mark.parametrize(
    "kind, options", [("series", {"terms": 20}), ("roulette", {}), ("roulette", {"tail": "poisson"})]
)
@pytest.mark.parametrize("event", [(1, 4, 4), (2,)])
def test_estimates_agree_with_the_exact_value_and_never_pass_as_exact(kind, options, event):
    group = cyclic(4)
    bijection = made(group, event, generator(), logdet=kind, logdet_options=options | {"probes": 800})
    bijection.generator = generator(3)
    exactly = copy.copy(bijection)
    exactly.logdet, exactly.logdet_options = "exact", {}
    x = noise(3, *event)
    z, found = bijection.estimate(x)
    truth = exactly.estimate(x)
    assert isinstance(found, LogDet) and not found.exact and not bijection.exact
    assert exactly.exact and truth[1].exact and not truth[1].standard_error.any()
    assert (z - truth[0]).abs().max() < 1e-14  # at points an exact one takes values and tangents together
    assert ((found.value - truth[1].value) / found.standard_error).abs().max() < 4
    assert ((found.value + truth[1].value) / found.standard_error).abs().max() > 10  # the wrong sign
    assert found.value.requires_grad
    x, log_det = bijection.decode(z.detach())
    assert ((log_det + truth[1].value) / found.standard_error).abs().max() < 5


@pytest.mark.parametrize("event", [(1, 4, 4), (2,)])
def test_gradients_of_the_estimate_are_unbiased(event):
    """Averaged over many steps with one probe each, against the exact gradient."""
    bijection = made(cyclic(4), event, generator(), hidden_fields=(1,), kernel_sizes=(3, 3))
    x, parameters = noise(4, *event), [p for n, p in bijection.named_parameters() if n.endswith("weight")]

    def gradient(**options):
        bijection.logdet, bijection.logdet_options = options.pop("logdet"), options
        grads = torch.autograd.grad(bijection.encode(x)[1].sum(), parameters)
        return torch.cat([grad.flatten() for grad in grads])

    truth, bijection.generator = gradient(logdet="exact"), generator(4)
    draws = torch.stack([gradient(logdet="roulette", exact_terms=2) for _ in range(400)])
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - truth).abs() / error).max() < 4.5
    assert ((draws.mean(0) + truth).abs() / error).max() > 10  # the wrong sign


def test_without_parameters_to_train_nothing_has_a_graph():
    bijection, x = made(cyclic(4), (1, 4, 4), generator()).requires_grad_(False), noise(2, 1, 4, 4)
    assert not any(value.requires_grad for value in (*bijection.encode(x), *bijection.decode(x)))
    assert all(value.requires_grad for value in bijection.encode(x.requires_grad_()))


def test_filters_are_expanded_once_per_step(monkeypatch):
    bijection = layer(logdet="roulette").eval()
    conv, calls, expand = bijection.net.layers[1].conv, [], SteerableConv2d.expand
    monkeypatch.setattr(SteerableConv2d, "expand", lambda self: calls.append(self) or expand(self))
    bijection.encode(noise(2, 1, 5, 5))
    assert calls.count(conv) == 1
    bijection.decode(noise(2, 1, 5, 5))
    assert calls.count(conv) == 2 and bijection.inverse_report.iterations > 2


@pytest.mark.parametrize("event, group", [((1, 4, 4), cyclic(4)), ((2,), cyclic(8))])
@pytest.mark.parametrize("kind", ["exact", "roulette"])
def test_first_weights_train(event, group, kind):
    """Data narrower than the base: Adam must raise the likelihood, and every layer must move."""
    blocks = nn.ModuleList(
        GResidual(group, event, hidden_fields=(4, 4), logdet=kind, generator=generator(s)) for s in range(2)
    )
    for block in blocks:
        block.generator = generator(9)
    optimizer = torch.optim.Adam(blocks.parameters(), 1e-2)
    x = 0.4 * noise(16, *event, dtype=torch.float32)
    first = {name: value.detach().clone() for name, value in blocks.named_parameters()}
    losses = []
    for _ in range(25):
        z, total = x, 0.0
        for block in blocks:
            z, log_det = block.encode(z)
            total = total + log_det
        loss = (z.square().flatten(1).sum(1) / 2 - total).mean() / x[0].numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < sum(losses[:5]) / 5 - 0.1
    moved = {name: (value - first[name]).abs().max().item() for name, value in blocks.named_parameters()}
    assert min(moved.values()) > 1e-3, moved
    blocks.eval()
    with torch.no_grad():
        back = blocks[0].decode(blocks[0].encode(x)[0])[0]
    assert (back - x).abs().max() < 1e-4


def digits(side, count=64):
    """Two strokes and their turns, dequantized: what a net can learn in a moment."""
    x, draw = torch.zeros(count, 1, side, side), generator(6)
    for image in x:
        row, column = torch.randint(1, side - 3, (2,), generator=draw).tolist()
        image[0, row : row + 3, column] = 1
        image[0, row, column : column + 2] = 1
        image.copy_(image.rot90(column, (1, 2)))
    return 4 * (x + torch.rand(x.shape, generator=draw) / 16) - 1


def nll(blocks, x):
    z, total = x, 0.0
    for block in blocks:
        z, log_det = block.encode(z)
        total = total + log_det
    return z.square().flatten(1).sum(1) / 2 - total


@functools.cache
def trained(group, padding):
    """Two layers after 60 steps that move them far, and the averages of their weights along the way."""
    hidden = (max(1, 8 // len(group)),) * 2
    options = {
        "hidden_fields": hidden,
        "padding": padding,
        "logdet": "series",
        "logdet_options": {"terms": 4},
    }
    blocks = nn.ModuleList(GResidual(group, (1, 6, 6), generator=generator(s), **options) for s in range(2))
    averaged = AveragedModel(blocks, multi_avg_fn=get_ema_multi_avg_fn(0.9)).eval()
    for block in blocks:
        block.generator = generator(9)
    x, optimizer = digits(6), torch.optim.Adam(blocks.parameters(), 5e-2)
    losses = []
    for step in range(60):
        loss = nll(blocks, x[step % 4 :: 4]).mean() / 36
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        averaged.update_parameters(blocks)
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    for block in (*blocks, *averaged.module):
        block.logdet, block.logdet_options, block.generator = "exact", {}, None
    return blocks, averaged.module


def dense_norms(blocks):
    """The largest singular value of every layer's whole convolution, as it is applied."""
    units, found = lambda n: torch.eye(n * 36).view(-1, n, 6, 6), []
    for block in blocks:
        for bounded in block.net.layers:
            filter, _ = bounded.expand()
            matrix = bounded.apply_expanded(units(filter.shape[1]).double(), filter.detach().double(), None)
            found.append(torch.linalg.matrix_norm(matrix.flatten(1), 2).item())
    return found


@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize("group", [cyclic(1), cyclic(2), cyclic(4), dihedral(2), dihedral(4)], ids=str)
def test_trained_layers_keep_their_bound(group, padding):
    """Whatever was done to the weights; the filters before they are bounded are the control."""
    blocks, averaged = trained(group, padding)
    loaded = copy.deepcopy(blocks).to("meta").to_empty(device="cpu")
    loaded.load_state_dict(blocks.state_dict())
    for nets in (blocks.train(), blocks.eval(), averaged, loaded):
        assert max(dense_norms(nets)) <= 0.98 * (1 + 1e-6)
        assert all(0.98**3 * 0.9 < net.lipschitz_bound() <= 0.98**3 * (1 + 1e-6) for net in nets)
    free = copy.deepcopy(blocks)
    for block in free:
        for bounded in block.net.layers:
            bounded.expand = bounded.conv.expand
    assert max(dense_norms(free)) > 1.1


@pytest.mark.parametrize("group", [cyclic(1), cyclic(4), dihedral(4)], ids=str)
def test_trained_layers_are_one_function_and_its_inverse(group):
    """In training, out of it, saved and loaded; decode finds its way back to rounding."""
    blocks, _ = trained(group, "zero")
    blocks = copy.deepcopy(blocks).double()
    x = digits(6)[:5].double()
    before = nll(blocks.train(), x)
    loaded = copy.deepcopy(blocks).train(False)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.normal_(generator=generator())
    loaded.load_state_dict(blocks.state_dict())
    for nets in (blocks, blocks.eval(), blocks.train(), loaded, loaded.train()):
        assert torch.equal(nll(nets, x), before)
    z = x
    for block in blocks:
        z = block.encode(z)[0]
    for block in reversed(blocks):
        z = block.decode(z)[0]
    assert (z - x).abs().max() < 1e-11


@pytest.mark.parametrize("kind", ["exact", "roulette"])
def test_recomputed_layers_have_the_same_gradients(kind):
    """torch.utils.checkpoint runs encode twice, with the same random numbers."""
    blocks = copy.deepcopy(trained(dihedral(4), "zero")[0]).double().train()
    x = digits(6)[:5].double()

    def gradients(encode):
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(3)
            z, total = x.clone().requires_grad_(), 0.0
            for block in blocks:
                block.logdet = kind
                z, log_det = encode(block, z)
                total = total + log_det
            return torch.autograd.grad((z.square().sum() / 2 - total.sum()), blocks.parameters())

    plain = gradients(lambda block, z: block.encode(z))
    recomputed = gradients(lambda block, z: checkpoint(block.encode, z, use_reentrant=False))
    for a, b in zip(plain, recomputed, strict=True):
        assert (a - b).abs().max() <= 1e-12 * a.abs().max().clamp(min=1)


LOW = pytest.mark.parametrize("event, group", [((1, 4, 4), cyclic(4)), ((2,), cyclic(8)), ((6,), cyclic(3))])


@LOW
def test_autocast(event, group):
    """Switched off at the door: an inverse needs the digits."""
    bijection = made(group, event, generator()).float()
    x = noise(3, *event).float()
    truth = bijection.encode(x)
    with torch.autocast("cpu", torch.bfloat16):
        z, log_det = bijection.encode(x)
        assert (bijection.decode(z)[0] - x).abs().max() < 1e-4
        (z.square().sum() - log_det.sum()).backward()
        coarse = bijection.net(x)  # g alone is computed in bfloat16; its norms are not
    assert torch.equal(z, truth[0]) and torch.equal(log_det, truth[1])
    assert 0 < (coarse - bijection.net(x)).abs().max() < 0.1
    assert all(parameter.grad.isfinite().all() for parameter in bijection.parameters())


def test_first_weights_are_drawn_by_the_generator_and_gentle():
    one, two, other = layer(seed=3), layer(seed=3), layer(seed=4)
    x = noise(4, 1, 5, 5)
    assert torch.equal(one.net(x), two.net(x)) and not torch.equal(one.net(x), other.net(x))
    assert 1e-3 < one.net(x).norm() / x.norm() < 1
    other.reset_parameters(generator(3))
    assert other.net.layers[0].conv.weight.norm() > 0 and other.net(x).isfinite().all()


def test_one_scale_per_channel_is_the_control(monkeypatch):
    """The same g, a scale on every channel: still invertible, no longer equivariant."""
    group, bijection = cyclic(4), made(cyclic(4), (1, 5, 5), generator())
    x, act = noise(2, 1, 5, 5), lambda v: group.act_image(1, v)
    assert equivariance_error(lambda v: bijection.encode(v)[0], x, act, act) < 1e-13
    first = bijection.net.layers[0]
    scale = torch.linspace(-1, 1, 8, dtype=x.dtype).view(-1, 1, 1, 1)

    def scaled(layers):
        filter, bias = expand_alike(layers)
        return (filter * scale if layers[0] is first else filter), bias

    monkeypatch.setattr(contraction, "expand_alike", scaled)
    z = bijection.encode(x)[0]
    assert (bijection.decode(z)[0] - x).abs().max() < 1e-10
    assert equivariance_error(lambda v: bijection.encode(v)[0], x, act, act) > 1e-3


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: GResidual(cyclic(4), (3, 5, 5), field_type="regular"),
            r"fields of 4 \(regular, C4\); got 3",
        ),
        (lambda: GResidual(cyclic(4), (3,)), r"fields of 2 \(vector, C4\); got 3"),
        (lambda: GResidual(cyclic(4), (5, 5)), r"event \(C, H, W\) or \(D,\); got \(5, 5\)"),
        (
            lambda: GResidual(cyclic(4), (1, 5, 5), kernel_sizes=(3, 3)),
            r"expected 3 kernel sizes; got \(3, 3\)",
        ),
        (lambda: GResidual(cyclic(4), (2,), hidden_fields=()), r"hidden layers .* got \(\)"),
        (
            lambda: GResidual(cyclic(4), (2,), hidden_fields=(3,), concatenation=True),
            r"to concatenate; got \(3,\)",
        ),
        (lambda: GResidual(cyclic(4), (2,), logdet="guess"), "logdet among"),
        (lambda: GResidual(cyclic(4), (2,), activation="relu"), "an activation among"),
        (lambda: GResidual(cyclic(4), (2,), coefficient=1.0), "coefficient in"),
        (lambda: GResidual(cyclic(4), (1, 5, 5), field_type="vector"), "field type among"),
        (lambda: layer().encode(noise(2, 1, 6, 6)), r"expected a floating point \(B, 1, 5, 5\)"),
    ],
)
def test_errors_name_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_small_gradients_pass_through_the_inverse_too():
    """As those of a mean over many numbers; control: a tolerance made for z itself stops at once."""
    bijection, z = made(cyclic(4), (1, 5, 5), generator()).float(), noise(1, 1, 5, 5).float()
    wanted = noise(1, 1, 5, 5, seed=5).float()

    def gradient(scale: float) -> torch.Tensor:
        start = z.clone().requires_grad_()
        return torch.autograd.grad((bijection.decode(start)[0] * wanted * scale).sum(), start)[0] / scale

    assert (gradient(1e-6) - gradient(1.0)).abs().max() < 1e-5
    stopped = invert(lambda row: row / 2, 1e-6 * wanted)[0] * 1e6
    assert (stopped - wanted / 1.5).abs().max() > 0.1


@pytest.mark.parametrize("logdet", ["exact", "roulette"])
def test_inference_mode(logdet):
    bijection, x = made(cyclic(4), (1, 5, 5), generator(), logdet=logdet), noise(2, 1, 5, 5)
    with torch.inference_mode():
        z, log_det = bijection.encode(x)
        back = bijection.decode(z)[0]
    assert (back - x).abs().max() < 1e-10 and torch.equal(z, bijection.encode(x)[0])
    assert logdet != "exact" or torch.equal(log_det, bijection.encode(x)[1])


def test_unknown_options_of_an_estimator():
    with pytest.raises(ValueError, match=r"logdet_options among \['batch'\] \(exact\); got \['terms'\]"):
        GResidual(cyclic(1), (2,), logdet_options={"terms": 3})


def test_transforms_of_torch_func_are_refused_in_one_sentence():
    layer, x = GResidual(cyclic(4), (1, 4, 4)), torch.rand(2, 1, 4, 4)
    for transformed in (
        lambda: torch.func.grad(lambda x: layer.encode(x)[1].sum())(x),
        lambda: torch.func.vmap(lambda x: layer.encode(x[None])[1])(x),
    ):
        with pytest.raises(RuntimeError, match=r"expected no transform of torch\.func around a GResidual"):
            transformed()


def test_a_decode_of_which_only_a_part_is_asked_for():
    layer = made(cyclic(4), (2,), generator())
    z = noise(2, 2).requires_grad_()
    for part in (0, 1):
        assert torch.autograd.gradcheck(lambda z, part=part: layer.decode(z)[part], (z,), atol=1e-6)


KINDS = [  # of links; the last two of each differ from the first in what decides a kind
    (cyclic(4), (1, 5, 5), [{}, {}, {"padding": "circular"}, {"coefficient": 0.5}]),
    (dihedral(4), (1, 4, 4), [{"concatenation": True}] * 3 + [{}]),
    (cyclic(5), (2,), [{}, {}, {"activation": "sine"}, {"hidden_fields": (3, 1)}]),
]


@pytest.mark.parametrize("group, event, options", KINDS, ids=str)
def test_a_chain_expands_links_of_one_kind_in_one_go(group, event, options, monkeypatch):
    """Values and gradients are those of its links one by one, and two links of one kind make one call."""
    links = [made(group, event, generator(i), **more) for i, more in enumerate(options)]
    chain, x = Chain(links), noise(3, *event)
    calls = []
    monkeypatch.setattr(
        contraction, "expand_alike", lambda layers: calls.append(layers) or expand_alike(layers)
    )

    def alone(x):
        total = 0
        for link in links:
            x, log_det = link.encode(x)
            total = total + log_det
        return x, total

    found = []
    for encode in (chain.encode, alone):
        calls.clear()
        z, log_det = encode(x)
        gradients = torch.autograd.grad(z.square().sum() - log_det.sum(), list(chain.parameters()))
        found.append([z, log_det, *gradients])
        nets = len({link.net.kind() for link in links}) if encode == chain.encode else len(links)
        assert len(calls) == nets * len(links[0].net.layers)
        assert sum(map(len, calls)) == len(links) * len(links[0].net.layers)
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-11, atol=1e-12)
    assert (chain.decode(z)[0] - x).abs().max() < 1e-10


def test_what_a_chain_has_expanded_is_gone_when_it_is_done():
    """Also where it fails; and the next step sees the next weights."""
    chain, x = Chain([made(cyclic(4), (1, 5, 5), generator(i)) for i in range(2)]), noise(2, 1, 5, 5)
    with pytest.raises(RuntimeError, match="stopped"), contraction.expanded_together([chain[0].net]):
        assert chain[0].net.expand() is chain[0].net.expand()
        raise RuntimeError("stopped")
    assert chain[0].net.expand() is not chain[0].net.expand()
    before = chain.encode(x)[0]
    with torch.no_grad():
        chain[1].net.layers[0].conv.weight.mul_(0.5)
    assert (chain.encode(x)[0] - before).abs().max() > 1e-3


def test_nets_of_two_threads_do_not_meet():
    net, seen = made(cyclic(4), (2,), generator()).net, []
    with contraction.expanded_together([net]):
        here = net.expand()
        thread = threading.Thread(target=lambda: seen.append(net.expand()))
        thread.start()
        thread.join()
        assert net.expand() is here and seen[0] is not here
