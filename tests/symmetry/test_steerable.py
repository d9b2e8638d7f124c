"""Steerable convolutions: sizes, completeness, exactness, measured inexactness, and what needs escnn."""

import itertools
import math
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

from eqflow.symmetry import RotationGroup, assert_equivariant, cyclic, dihedral, equivariance_error
from eqflow.symmetry.steerable import (
    FIELD_TYPES,
    SteerableConv2d,
    _escnn,
    _sampled_basis,
    choose_basis,
    field_channels,
    steerable_basis,
)

EXACT = [cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def stack(group, *, dtype=torch.float64, padding="zero", bias=True, basis=None, seed=0):
    """trivial -> regular -> regular -> regular, ReLU between, every parameter random."""
    draw = generator(seed)
    layers = []
    for in_fields, in_type in ((1, "trivial"), (3, "regular"), (3, "regular")):
        layer = SteerableConv2d(
            group,
            in_fields,
            3,
            in_type=in_type,
            padding=padding,
            bias=bias,
            basis=basis,
            generator=draw,
            dtype=dtype,
        )
        if bias:
            nn.init.normal_(layer.bias, generator=draw)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def noise(size=10, dtype=torch.float64, seed=1):
    return torch.randn(2, 1, size, size, generator=generator(seed), dtype=dtype)


def acts(group, g):
    return (lambda x: group.act_image(g, x)), (lambda y: group.act_field(g, y))


def smooth_image(seed, size=33, width=2.5):
    """Six Gaussian blobs within a quarter of the image from its centre."""
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    radius, angle, height = torch.rand(3, 6, generator=generator(seed), dtype=torch.float64)
    x, y = (
        radius * size / 4 * torch.cos(2 * math.pi * angle),
        radius * size / 4 * torch.sin(2 * math.pi * angle),
    )
    square = (axis[None, None] - x[:, None, None]) ** 2 + (axis[None, :, None] - y[:, None, None]) ** 2
    return ((2 * height - 1)[:, None, None] * torch.exp(-square / (2 * width**2))).sum(0)[None, None]


@pytest.mark.parametrize(
    "group, taps",
    [
        (cyclic(1), {1: 1, 3: 9, 5: 25}),
        (cyclic(2), {1: 2, 3: 18, 5: 50}),
        (cyclic(4), {1: 4, 3: 36, 5: 100}),
        (dihedral(1), {1: 2, 3: 18, 5: 50}),
        (dihedral(2), {1: 4, 3: 36, 5: 100}),
        (dihedral(4), {1: 8, 3: 72, 5: 200}),
    ],
    ids=str,
)
def test_complete_bases_hold_as_many_kernels_as_the_plain_one(group, taps):
    for size, regular in taps.items():
        basis = steerable_basis(group, "regular", "regular", size)
        assert basis.shape == (regular, len(group), len(group), size, size) and basis.dtype == torch.float64
        plain = len(steerable_basis(cyclic(1), "regular", "regular", size))
        assert len(steerable_basis(group, "trivial", "regular", size)) == plain == size**2
        flat = basis.flatten(1)
        assert basis.is_contiguous()  # as safetensors wants a buffer
        assert (flat @ flat.T - torch.eye(regular)).abs().max() < 1e-15  # orthonormal
        assert ((flat != 0).sum(0) == 1).all()  # every entry in one orbit


def commutator(group, in_type, out_type, size):
    """W -> W * (g x) - g (W * x) for every g and some noise x, as a matrix: (equations, entries of W).

    Convolutions and actions on fields alone: nothing of what makes the bases.
    """
    outs, ins = (field_channels(group, kind) for kind in (out_type, in_type))
    entries = outs * ins * size**2
    units = torch.eye(entries, dtype=torch.float64).view(entries * outs, ins, size, size)
    x = torch.randn(1 + entries // (outs * 49), ins, 7, 7, generator=generator(2), dtype=torch.float64)
    acts = {"trivial": group.act_image, "regular": group.act_field}

    def convolved(v):
        return nn.functional.conv2d(v, units, padding=size // 2).unflatten(1, (entries, outs))

    rows = []
    for g in group:
        moved = acts[out_type](g, convolved(x).flatten(0, 1)).unflatten(0, (-1, entries))
        rows.append((convolved(acts[in_type](g, x)) - moved).movedim(1, -1).flatten(0, -2))
    return torch.cat(rows)


@pytest.mark.parametrize(
    "group, size",
    [(group, 3) for group in (cyclic(1), *EXACT)] + [(cyclic(4), 1), (cyclic(4), 5), (dihedral(2), 5)],
    ids=str,
)
def test_complete_bases_leave_out_no_kernel(group, size):
    """By brute force: the dimension of the null space of the constraint, and every element inside it."""
    for in_type in FIELD_TYPES:
        for out_type in FIELD_TYPES:
            equations = commutator(group, in_type, out_type, size)
            scale = equations.abs().max().clamp(min=1)
            rank = int((torch.linalg.svdvals(equations) > 1e-9 * scale).sum())
            basis = steerable_basis(group, in_type, out_type, size).flatten(1)
            assert len(basis) == equations.shape[1] - rank
            assert (equations @ basis.T).abs().max() < 1e-12 * scale
            fewer = steerable_basis(group, in_type, out_type, size, "band_limited")
            assert len(fewer) < len(basis) or size == 1  # the control: not every basis is complete


@pytest.mark.parametrize(
    "group, regular",
    [
        (cyclic(1), 6),
        (cyclic(4), 24),
        (dihedral(4), 48),
        (cyclic(8), 48),
        (cyclic(16), 96),
        (dihedral(8), 96),
    ],
    ids=str,
)
def test_band_limited_sizes_are_the_reference_values(group, regular):
    basis = steerable_basis(group, "regular", "regular", 3, "band_limited")
    assert basis.shape == (regular, len(group), len(group), 3, 3) and basis.dtype == torch.float64
    assert len(steerable_basis(group, "trivial", "regular", 3, "band_limited")) == 6
    assert torch.linalg.svdvals(basis.flatten(1)).min() > 0.9  # independent, close to orthonormal


def test_the_band_limited_kernels_are_among_the_complete_ones():
    for group in EXACT:
        few, all_ = (
            steerable_basis(group, "regular", "regular", 3, basis).flatten(1)
            for basis in ("band_limited", "complete")
        )
        assert (few - few @ all_.T @ all_).abs().max() < 1e-15
        assert (all_ - all_ @ torch.linalg.pinv(few) @ few).abs().max() > 0.1  # and not the other way round


def test_the_default_is_complete_where_the_grid_has_the_symmetry():
    for group in (cyclic(1), *EXACT):
        assert choose_basis(group) == "complete" and choose_basis(group, "band_limited") == "band_limited"
    for group in (cyclic(3), cyclic(8), cyclic(16), dihedral(8), RotationGroup(2)):
        assert choose_basis(group) == "band_limited"
        assert torch.equal(
            steerable_basis(group, "trivial", "regular"),
            steerable_basis(group, "trivial", "regular", 3, "band_limited"),
        )


@pytest.mark.parametrize("group", EXACT, ids=str)
@pytest.mark.parametrize("basis", ["complete", "band_limited"])
def test_float32_filters_are_symmetric_to_the_bit(group, basis):
    """Control: coefficients of an asymmetric filter."""
    layer = SteerableConv2d(group, 2, 3, basis=basis, generator=generator(), dtype=torch.float32)
    weight = layer.expand()[0]
    for g in group:
        moved = group.act_field(g, group.act_field(g, weight).transpose(0, 1)).transpose(0, 1)
        space_once = group.act_image(group.inverse(g), moved)
        assert torch.equal(space_once, weight)
        assert g == 0 or not torch.equal(group.act_image(g, weight), weight)


@pytest.mark.parametrize("group", EXACT, ids=str)
@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("basis", ["complete", "band_limited"])
def test_stacks_are_equivariant(group, padding, dtype, basis):
    model = stack(group, dtype=dtype, padding=padding, basis=basis)
    for size in (10, 11):
        for g in group:
            what = f"{group} stack, element {g}"
            assert_equivariant(model, noise(size, dtype), *acts(group, g), what=what)


@pytest.mark.parametrize("group", [cyclic(8), cyclic(16), dihedral(8)], ids=str)
def test_finer_groups_are_exact_under_quarter_turns_only(group):
    model = stack(group)
    for g in group:
        error = equivariance_error(model, noise(), *acts(group, g))
        assert error < 1e-12 if group.is_exact(g) else error > 1e-2


@pytest.mark.parametrize(
    "group, elements",
    [(cyclic(8), [1]), (cyclic(16), [1, 2]), (dihedral(8), [1, 9]), (RotationGroup(2), [30, 45])],
)
def test_interpolated_elements_as_measured(group, elements):
    """Honest: not zero, within what the docstring says, and far from an ordinary convolution's error."""
    plain = nn.Conv2d(1, 3 * group.field_size, 3, padding=1, bias=False, dtype=torch.float64)
    nn.init.normal_(plain.weight, generator=generator(5))
    layer, errors, ordinary = [], [], []
    for seed in range(3):
        x = smooth_image(seed)
        one = SteerableConv2d(
            group, 1, 3, in_type="trivial", bias=False, generator=generator(seed), dtype=torch.float64
        )
        second = SteerableConv2d(group, 3, 3, bias=False, generator=generator(seed), dtype=torch.float64)
        two_linear = nn.Sequential(one, second)
        many = two_linear if isinstance(group, RotationGroup) else stack(group, bias=False, seed=seed)
        for g in elements:
            layer.append(equivariance_error(one, x, *acts(group, g)))
            errors.append(equivariance_error(many, x, *acts(group, g)))
            ordinary.append(equivariance_error(plain, x, *acts(group, g)))
    assert 1e-4 < min(layer) and max(layer) < 0.1
    assert 1e-4 < min(errors) and max(errors) < 0.3
    assert min(ordinary) > 0.5


@pytest.mark.parametrize("group", EXACT, ids=str)
def test_controls_fail(group):
    model, x = stack(group), noise()
    worst = lambda f, out=None: max(  # noqa: E731
        equivariance_error(f, x, acts(group, g)[0], lambda y, g=g: (out or group.act_field)(g, y))
        for g in group
    )
    assert worst(model) < 1e-12
    ordinary = nn.Conv2d(1, 3 * len(group), 3, padding=1, dtype=torch.float64)
    nn.init.normal_(ordinary.weight, generator=generator())
    assert worst(ordinary) > 0.1
    assert worst(model, group.act_image) > 0.1  # space moves, channels do not
    if len(group) > 2:
        order = [1, 0, *range(2, len(group))]  # two elements exchanged in every field
        assert worst(lambda v: model(v).unflatten(1, (-1, len(group)))[:, :, order].flatten(1, 2)) > 0.1
    if group.n == 4:
        assert worst(model, lambda g, y: group.act_field(group.inverse(g), y)) > 0.1  # wrong sign


def test_the_projection_is_what_makes_it_exact():
    group = cyclic(4)
    layer = SteerableConv2d(group, 2, 2, basis="band_limited", generator=generator(), dtype=torch.float64)
    x = torch.randn(1, 8, 9, 9, generator=generator(3), dtype=torch.float64)
    act = lambda v: group.act_field(1, v)  # noqa: E731
    assert equivariance_error(layer, x, act, act) < 1e-14
    layer.basis.copy_(_sampled_basis(group, "regular", "regular", 3))
    assert 1e-9 < equivariance_error(layer, x, act, act) < 1e-5


def test_the_projection_keeps_escnns_kernels():
    for group in (dihedral(4), cyclic(8)):
        sampled = _sampled_basis(group, "trivial", "regular", 5).double().flatten(1)
        ours = steerable_basis(group, "trivial", "regular", 5, "band_limited").flatten(1)
        cosine = (sampled * ours).sum(1) / sampled.norm(dim=1)
        assert torch.allclose(cosine, torch.ones_like(cosine), atol=1e-9)


def test_rounding_to_float32_and_back_stays_exact():
    group = dihedral(4)
    model = stack(group, dtype=torch.float32).double()
    for g in group:
        assert_equivariant(model, noise(), *acts(group, g))


def test_invariant_readout_and_other_kernel_sizes():
    group = cyclic(4)
    draw = generator()
    model = nn.Sequential(
        SteerableConv2d(group, 2, 2, in_type="trivial", kernel_size=5, generator=draw, dtype=torch.float64),
        nn.ReLU(),
        SteerableConv2d(group, 2, 2, kernel_size=1, generator=draw, dtype=torch.float64),
        SteerableConv2d(group, 2, 1, out_type="trivial", generator=draw, dtype=torch.float64),
    )
    x = torch.randn(1, 2, 8, 8, generator=draw, dtype=torch.float64)
    turn = lambda v: group.act_image(1, v)  # noqa: E731
    assert_equivariant(model, x, turn, turn)
    assert model(x).shape == (1, 1, 8, 8)


def test_so2_bias_sits_on_the_invariant_channel():
    layer = SteerableConv2d(RotationGroup(2), 1, 2, in_type="trivial")
    nn.init.ones_(layer.bias)
    assert layer.expand()[1].tolist() == [1, 0, 0, 0, 0] * 2


def test_initial_scale_is_hes():
    for group, basis in itertools.product((cyclic(4), dihedral(4)), ("complete", "band_limited")):
        for kind in FIELD_TYPES:
            layer = SteerableConv2d(
                group, 64, 64, in_type=kind, basis=basis, bias=False, generator=generator()
            )
            weight, _ = layer.expand()
            assert weight.var().item() == pytest.approx(2 / (layer.in_channels * 9), rel=0.1)
        model = nn.Sequential(
            *[
                m
                for s in range(4)
                for m in (SteerableConv2d(group, 8, 8, basis=basis, generator=generator(s)), nn.ReLU())
            ]
        )
        x = torch.randn(4, 8 * len(group), 12, 12, generator=generator(9))
        assert 0.2 < model(x).square().mean() / x.square().mean() < 5


def test_generator_decides_and_global_state_stays():
    steerable_basis.cache_clear()
    before, default = torch.random.get_rng_state(), torch.get_default_dtype()
    first = SteerableConv2d(dihedral(2), 1, 2, generator=generator(4))
    second = SteerableConv2d(dihedral(2), 1, 2, generator=generator(4))
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, SteerableConv2d(dihedral(2), 1, 2, generator=generator(5)).weight)
    assert torch.equal(before, torch.random.get_rng_state()) and torch.get_default_dtype() == default
    assert "lie_learn" not in sys.modules or sys.modules["lie_learn"].__spec__ is not None


def test_a_float64_default_changes_nothing():
    expected = [steerable_basis(cyclic(n), "regular", "regular", 3) for n in (4, 8)]
    steerable_basis.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        for n, basis in zip((4, 8), expected, strict=True):
            assert torch.equal(steerable_basis(cyclic(n), "regular", "regular", 3), basis)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_state_dict_is_the_same_in_train_and_eval():
    layer = SteerableConv2d(cyclic(4), 1, 2)
    train = {name: value.clone() for name, value in layer.train().state_dict().items()}
    assert list(train) == ["weight", "bias", "fingerprint"]
    layer.eval()(torch.randn(1, 4, 5, 5))
    after = layer.state_dict()
    assert list(after) == list(train) and all(torch.equal(after[name], train[name]) for name in train)
    other = SteerableConv2d(cyclic(4), 1, 2, generator=generator(1))
    other.load_state_dict(after)
    x = torch.randn(1, 4, 5, 5, generator=generator())
    assert torch.equal(other(x), layer(x))


def test_layers_do_not_share_their_basis():
    first, second = (SteerableConv2d(cyclic(4), 1, 1, dtype=torch.float64) for _ in range(2))
    first.basis.zero_()
    assert (
        second.basis.abs().max() > 0 and steerable_basis(cyclic(4), "regular", "regular", 3).abs().max() > 0
    )


@pytest.mark.parametrize("group", [dihedral(4), cyclic(8)], ids=str)
def test_a_pickled_model_runs_without_escnn(tmp_path, group):
    model = stack(group)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps((model, noise(), model(noise()))))
    code = (
        "import pickle, sys, torch\n"
        "sys.modules['escnn'] = None  # importing it raises\n"
        "model, x, y = pickle.load(open(sys.argv[1], 'rb'))\n"
        "assert torch.allclose(model(x), y, atol=1e-12)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.pkl")], check=True, timeout=120)


def test_exact_groups_never_need_escnn():
    """Control: C8 does."""
    code = (
        "import sys\n"
        "sys.modules['escnn'] = None  # importing it raises\n"
        "from eqflow.symmetry import cyclic, dihedral\n"
        "from eqflow.symmetry.steerable import SteerableConv2d\n"
        "for group in (cyclic(1), cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4)):\n"
        "    SteerableConv2d(group, 1, 2, in_type='trivial'), SteerableConv2d(group, 2, 2, kernel_size=5)\n"
        "try:\n"
        "    SteerableConv2d(cyclic(8), 1, 2)\n"
        "except ImportError:\n"
        "    sys.exit(0)\n"
        "sys.exit('C8 was built without escnn')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_gradients():
    layer = SteerableConv2d(cyclic(4), 1, 1, generator=generator(), dtype=torch.float64)
    x = torch.randn(1, 4, 4, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    layer(x).square().sum().backward()
    assert layer.weight.grad.abs().min() > 0 and layer.bias.grad.abs().min() > 0


def test_startup_repairs_are_in_place():
    _escnn()
    import escnn.group._numerical as numerical

    assert numerical.randomized_svd is None


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: SteerableConv2d(cyclic(4), 1, 1, in_type="vector"), "field type"),
        (lambda: SteerableConv2d(cyclic(4), 1, 1, kernel_size=4), "odd kernel size"),
        (lambda: SteerableConv2d(cyclic(4), 1, 1, basis="full"), "a basis among .*; got 'full'"),
        (
            lambda: SteerableConv2d(cyclic(8), 1, 1, basis="complete"),
            "'band_limited' for C8, .*; got 'complete'",
        ),
        (lambda: SteerableConv2d(RotationGroup(), 1, 1, basis="complete"), r"'band_limited' for SO\(2\)"),
        (lambda: SteerableConv2d(cyclic(4), 1, 1, padding="same"), "expected a padding"),
        (lambda: SteerableConv2d(cyclic(4), 2, 1)(torch.zeros(1, 4, 5, 5)), r"expected \(B, 8, H, W\)"),
    ],
)
def test_layer_errors_name_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_disagreement_with_escnn_is_an_error(monkeypatch):
    """The guard on signs and channel order: break the order, and no basis comes out."""
    from eqflow.symmetry import PlanarGroup

    monkeypatch.setattr(
        PlanarGroup, "field_matrix", lambda self, g: torch.eye(len(self), dtype=torch.float64)
    )
    steerable_basis.cache_clear()
    with pytest.raises(RuntimeError, match="change by < 1e-5"):
        steerable_basis(cyclic(4), "regular", "regular", 3, "band_limited")
    steerable_basis.cache_clear()


def test_repr_says_what_it_is():
    assert "D4, 1 trivial -> 2 regular" in repr(SteerableConv2d(dihedral(4), 1, 2, in_type="trivial"))
    assert "basis='complete'" in repr(SteerableConv2d(cyclic(4), 1, 1))
    assert "basis='band_limited'" in repr(SteerableConv2d(cyclic(8), 1, 1))


def test_a_basis_is_never_what_memory_held(monkeypatch):
    """Memory that is not yet written may hold the same kernels, rounded: those of a layer that is gone."""
    kernels, empty = steerable_basis(dihedral(4), "regular", "regular"), torch.empty

    def held(*size, **options):
        rounded = kernels.bfloat16().to(options.get("dtype") or torch.float32)
        return rounded if size[0] == kernels.shape else empty(*size, **options)

    monkeypatch.setattr(torch, "empty", held)
    for dtype in (torch.float32, torch.float64):
        layer = SteerableConv2d(dihedral(4), 1, 1, dtype=dtype)
        assert torch.equal(layer.basis, kernels.to(dtype))
