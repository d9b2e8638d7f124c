"""What is particular to the invertible linear maps; the tests common to all layers are in test_layers.py."""

import itertools
import math
from functools import partial

import pytest
import torch

from eqflow.density.circulant import GroupCirculant
from eqflow.density.exponential import ConvExponential, norm_bound, series_remainder, series_terms
from eqflow.density.fourier import FourierConv, UnitaryDFT
from eqflow.density.squeeze import Squeeze
from eqflow.symmetry import cyclic, dihedral, equivariance_error

C1, C2, C4, D1, D2, D4 = cyclic(1), cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4)
GRID_GROUPS = [C1, C2, C4, D1, D2, D4]
every_group = pytest.mark.parametrize("group", GRID_GROUPS, ids=str)
both_paddings = pytest.mark.parametrize("padding", ["zero", "circular"])


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generic(module, size=0.4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.normal_(0, size, generator=generator)
    return module.requires_grad_(False)


def dense(function, shape):
    """A linear map of events as a matrix, by what it does to unit events."""
    units = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    return function(units).flatten(1).T


def worst(f, x, group, act_in, act_out):
    return max(equivariance_error(f, x, partial(act_in, g), partial(act_out, g)) for g in group)


# ---- squeeze


def test_channel_order_of_c4_is_a_d_c_b():
    image = torch.tensor([[1.0, 2.0], [4.0, 3.0]])  # a b / d c
    z, log_det = Squeeze(C4).encode(image.expand(1, 1, 2, 2))
    assert z.flatten().tolist() == [1, 4, 3, 2]
    assert log_det.tolist() == [0]


@every_group
def test_squeeze_of_trivial_fields_says_what_comes_out(group):
    expected = {C1: "12 trivial", C2: "6 regular", C4: "3 regular", D1: "6 regular", D2: "3 regular"}
    assert str(Squeeze(group, 3).encoded_type) == (expected | {D4: "3 quotient (4)"})[group]


@every_group
def test_squeeze_commutes_with_the_group_in_every_bit(group):
    for in_type in ("trivial", "regular"):
        fields = 3 * (1 if in_type == "trivial" else len(group))
        squeeze, x = Squeeze(group, 3, in_type=in_type), randn(2, fields, 6, 6)
        act = group.act_image if in_type == "trivial" else group.act_field
        z = squeeze.encode(x)[0]
        for g in group:
            assert torch.equal(squeeze.field_type.act(g, x), act(g, x))
            assert torch.equal(squeeze.encode(act(g, x))[0], squeeze.encoded_type.act(g, z))
            if squeeze.encoded_type.name == "regular":  # the same action that steerable layers know
                assert torch.equal(squeeze.encoded_type.act(g, z), group.act_field(g, z))
        assert torch.equal(squeeze.decode(z)[0], x)


def test_of_24_channel_orders_four_are_regular_fields_of_c4_and_raster_is_not():
    """Those that go around the block counter-clockwise, from any corner."""
    x, working = randn(1, 1, 4, 4), []
    squeeze = Squeeze(C4)
    for order in itertools.permutations(range(4)):
        squeeze.order = torch.tensor(order)
        z = squeeze.encode(x)[0]
        if all(torch.equal(squeeze.encode(C4.act_image(g, x))[0], C4.act_field(g, z)) for g in C4):
            working.append(order)
    # a = 0, b = 1, d = 2, c = 3 in raster order
    assert working == [(0, 2, 3, 1), (1, 0, 2, 3), (2, 3, 1, 0), (3, 1, 0, 2)]


def test_d4_squeezed_twice_has_quotients_and_one_regular_field():
    first = Squeeze(D4)
    second = Squeeze(D4, first.encoded_type)
    x = randn(1, 1, 8, 8)
    encode = lambda image: second.encode(first.encode(image)[0])[0]  # noqa: E731
    assert str(second.encoded_type) == "2 quotient (4) + 1 regular"
    assert worst(encode, x, D4, D4.act_image, second.encoded_type.act) == 0


def test_squeeze_rejects_what_it_cannot_do():
    with pytest.raises(ValueError, match="expected an even height and width; got \\(4, 5\\)"):
        Squeeze(C2).encode(torch.zeros(1, 1, 4, 5))
    with pytest.raises(ValueError, match="maps the grid to itself"):
        Squeeze(cyclic(8))
    with pytest.raises(ValueError, match="got 'vector'"):
        Squeeze(C4, in_type="vector")
    with pytest.raises(ValueError, match=r"expected fields of C4; got FieldType\(D4, 1 quotient \(4\)\)"):
        Squeeze(C4, Squeeze(D4).encoded_type)


# ---- exponential


def operator(layer, shape):
    """K of a `ConvExponential` as a matrix."""
    weight = layer.kernel()
    return dense(lambda x: layer.apply_series(x, weight, 1) - x, shape)


@both_paddings
@pytest.mark.parametrize("group", [C1, C2, C4, D2, D4], ids=str)
def test_exponential_is_the_matrix_exponential(group, padding):
    shape = (len(group), 4, 4)
    layer = generic(ConvExponential(group, 1, padding=padding, max_norm=3.0))
    matrix = operator(layer, shape)
    expected = torch.linalg.matrix_exp(matrix)
    x = randn(2, *shape, seed=1)
    z, log_det = layer.encode(x)
    assert (dense(lambda v: layer.encode(v)[0], shape) - expected).abs().max() < 1e-13
    assert (layer.decode(z)[0] - x).abs().max() < 1e-12
    assert (log_det - torch.linalg.slogdet(expected).logabsdet).abs().max() < 1e-12


@both_paddings
def test_cap_bounds_the_norm_of_the_whole_convolution(padding):
    layer = generic(ConvExponential(C4, 2, padding=padding, max_norm=1.5), size=3.0)
    norm = torch.linalg.matrix_norm(operator(layer, (8, 5, 5)), ord=2)
    assert 0.3 < norm < 1.5
    assert norm_bound(layer.kernel()) == pytest.approx(1.5)
    free = ConvExponential(C4, 2).double()  # as drawn: below its cap, hence left as it is
    assert torch.equal(free.kernel(), free.conv.expand()[0])
    assert norm_bound(free.kernel()) < 2


def test_norm_bound_of_the_all_ones_filter():
    assert norm_bound(torch.ones(1, 1, 3, 3)) == pytest.approx(9)  # the notes: circular 9, zero 8.9298


def truncation_errors(terms):
    """At |K| = 3.3, the cut series against the whole: error of log |det|, and of the map in operator norm."""
    shape = (4, 6, 6)
    layer = generic(ConvExponential(C4, 1, max_norm=100.0), seed=3)
    matrix = operator(layer, shape)
    scale = 3.3 / torch.linalg.matrix_norm(matrix, ord=2)
    weight = layer.kernel() * scale
    cut = dense(lambda x: layer.apply_series(x, weight, terms), shape)
    whole = torch.linalg.matrix_exp(matrix * scale)
    error = (torch.linalg.slogdet(cut).logabsdet - (matrix * scale).trace()).abs().item()
    return error, torch.linalg.matrix_norm(cut - whole, ord=2).item()


def test_truncated_series_has_a_wrong_log_det_and_a_rigorous_bound():
    """Notes, at norm 3.3 with 3, 6, 10, 15 terms: 4.4, .93, 2e-3, 2e-7 (their kernel is not known)."""
    errors = {terms: truncation_errors(terms) for terms in (3, 6, 10, 15)}
    assert all(distance <= series_remainder(3.3, terms) for terms, (_, distance) in errors.items())
    assert errors[3][0] > 1 and errors[6][0] > 1e-2
    assert errors[10][0] < 1 and errors[15][0] < 1e-3
    enough = series_terms(3.3, 2e-16)
    assert truncation_errors(enough)[0] < 1e-11


@pytest.mark.parametrize("norm", [0.1, 1.0, 3.3])
def test_remainder_bounds_the_series_of_the_number_and_hardly_more(norm):
    for terms in range(2, 12):
        left_out = math.exp(norm) - sum(norm**i / math.factorial(i) for i in range(terms + 1))
        assert left_out - 1e-15 <= series_remainder(norm, terms) <= 4 * left_out + 1e-14 * math.exp(norm)
    assert series_remainder(5, 2) == math.inf
    terms = series_terms(norm, 1e-7)
    assert math.exp(norm) * series_remainder(norm, terms) <= 1e-7
    assert math.exp(norm) * series_remainder(norm, terms - 1) > 1e-7


def test_exponential_starts_near_the_identity_and_says_its_terms():
    layer = ConvExponential(D4, 2, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 16, 5, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert 0.01 < (layer.encode(x)[0] - x).std() < 0.5
    assert layer.terms(torch.float32) < layer.terms(torch.float64) < 30
    with pytest.raises(ValueError, match="expected max_norm > 0; got 0"):
        ConvExponential(C4, 1, max_norm=0)


def test_a_circular_canvas_on_which_taps_wrap_onto_themselves_is_refused():
    layer = generic(ConvExponential(C1, 1, kernel_size=5, padding="circular"))
    with pytest.raises(ValueError, match="expected a circular canvas larger than 2"):
        layer.encode(randn(1, 1, 2, 4))
    log_det = layer.encode(randn(1, 1, 3, 4))[1]
    expected = torch.linalg.slogdet(dense(lambda v: layer.encode(v)[0], (1, 3, 4))).logabsdet
    assert (log_det - expected).abs() < 1e-12


# ---- Fourier


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (3, 6)])
def test_dft_is_orthogonal_its_own_inverse_and_equivariant(size):
    layer, x = UnitaryDFT((2, *size)), randn(2, 2, *size)
    matrix = dense(lambda v: layer.encode(v)[0], (2, *size))
    eye = torch.eye(len(matrix), dtype=torch.float64)
    assert (matrix @ matrix.T - eye).abs().max() < 1e-14
    assert (matrix @ matrix - eye).abs().max() < 1e-14
    group = D4 if size[0] == size[1] else D2
    assert worst(lambda v: layer.encode(v)[0], x, group, group.act_image, group.act_image) < 1e-13


def test_dft_is_torchs_counted_from_the_centre():
    x = randn(1, 1, 5, 5)
    rolled = torch.fft.fft2(x.roll((-2, -2), (-2, -1)), norm="ortho").roll((2, 2), (-2, -1))
    assert (UnitaryDFT((1, 5, 5)).encode(x)[0] - (rolled.real - rolled.imag)).abs().max() < 1e-14


def test_a_transform_counted_from_the_corner_is_not_equivariant():
    x = randn(1, 1, 5, 5)
    corner = lambda v: torch.fft.fft2(v, norm="ortho").real - torch.fft.fft2(v, norm="ortho").imag  # noqa: E731
    assert worst(corner, x, C4, C4.act_image, C4.act_image) > 0.1


def test_fourier_convolution_is_the_exponential_of_a_circular_one():
    """Two routes to one map: K's spectrum exponentiated, and K's power series."""
    layer = generic(ConvExponential(D4, 1, field_type="trivial", padding="circular"))
    tap = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    tap[0, 0, 0, 0] = 1
    kernel = layer.apply_series(tap, layer.kernel(), 1) - tap  # K as a kernel on the canvas
    fourier = generic(FourierConv(D4, 1, (6, 6)))
    spectrum = torch.fft.fft2(kernel)[0, 0]
    assert spectrum.imag.abs().max() < 1e-14
    for i, j in itertools.product(range(6), range(6)):
        fourier.log_gain[0, fourier.index[0, i, j]] = spectrum.real[i, j]
    assert (fourier.log_spectrum()[0] - spectrum.real).abs().max() < 1e-14
    x = randn(2, 1, 6, 6)
    (z, log_det), (expected, expected_log_det) = fourier.encode(x), layer.encode(x)
    assert (z - expected).abs().max() < 1e-13
    assert (log_det - expected_log_det).abs().max() < 1e-12


@every_group
def test_parameters_of_a_symmetric_spectrum(group):
    """One per orbit of frequencies under the group and k -> -k; and every orbit is used."""
    layer = FourierConv(group, 2, (4, 4))
    assert {str(group): layer.log_gain.shape[1]} == {str(group): ORBITS[str(group)]}
    assert layer.index.unique().tolist() == list(range(layer.log_gain.shape[1]))


ORBITS = {"C1": 10, "C2": 10, "C4": 6, "D1": 9, "D2": 9, "D4": 6}


def test_fourier_rejects_what_it_cannot_do():
    with pytest.raises(ValueError, match="expected a square canvas for C4; got \\(4, 6\\)"):
        FourierConv(C4, 1, (4, 6))
    with pytest.raises(ValueError, match="maps the grid to itself; got C8"):
        FourierConv(cyclic(8), 1, (4, 4))
    with pytest.raises(ValueError, match="expected 'trivial' or 'regular' fields; got 'vector'"):
        FourierConv(C4, 1, (4, 4), field_type="vector")


# ---- group-circulant


@pytest.mark.parametrize("group", [C2, C4, D2, D4, cyclic(5), dihedral(8)], ids=str)
def test_matrix_is_block_group_circulant_and_inverts(group):
    layer = generic(GroupCirculant(group, 2))
    blocks = layer.matrix().unflatten(1, (2, -1)).unflatten(0, (2, -1)).transpose(1, 2)
    for a, b, i, j in itertools.product(range(2), range(2), group, group):
        assert blocks[a, b, i, j] == blocks[a, b, 0, group.compose(group.inverse(i), j)]
    assert layer.weight.numel() == 4 * len(group)
    x = randn(1, 2 * len(group), 3, 2)
    assert (layer.decode(layer.encode(x)[0])[0] - x).abs().max() < 1e-12


def test_circulant_of_trivial_fields_is_any_matrix():
    layer = generic(GroupCirculant(D4, 3, field_type="trivial"))
    x = randn(2, 3, 4, 4)
    z, log_det = layer.encode(x)
    assert torch.allclose(z, torch.nn.functional.conv2d(x, layer.matrix()[:, :, None, None]), atol=1e-14)
    assert torch.allclose(log_det, 16 * torch.linalg.det(layer.matrix()).abs().log().expand(2))
    with pytest.raises(ValueError, match="expected 'regular' or 'trivial' fields; got 'vector'"):
        GroupCirculant(C4, 1, field_type="vector")


@pytest.mark.parametrize("field_type", ["regular", "trivial"])
def test_circulant_starts_near_the_identity(field_type):
    layer = GroupCirculant(D4, 2, field_type=field_type, generator=torch.Generator().manual_seed(0))
    matrix = layer.matrix().detach()
    assert 0 < (matrix - torch.eye(len(matrix))).abs().max() < 0.4
