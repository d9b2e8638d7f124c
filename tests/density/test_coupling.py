"""Coupling of images: split, bound, first weights, RealNVP as C1, exact against soft; block triangles."""

import math

import pytest
import torch
from cases.coupling import C1, C4, D4, generic

from eqflow.density.autoregressive import GAutoregressive
from eqflow.density.bases import StandardNormal
from eqflow.density.coupling import GCoupling
from eqflow.density.flow import NormalizingFlow
from eqflow.density.masks import checkerboard, folded_checkerboard
from eqflow.symmetry import cyclic, equivariance_error


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=1):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def jacobian(bijection, event):
    return torch.autograd.functional.jacobian(
        lambda e: bijection.encode(e[None])[0][0].flatten(), event
    ).flatten(1)


@pytest.mark.parametrize("flip", [False, True])
def test_kept_fields_pass_unchanged(flip):
    layer, x = generic(GCoupling(C4, (3, 5, 5), flip=flip), generator()), noise(2, 3, 5, 5)
    same = (layer.encode(x)[0] == x).all(0).flatten(1).all(1)
    assert same.tolist() == ([False, False, True] if flip else [True, True, False])


@pytest.mark.parametrize("flip", [False, True])
def test_kept_pixels_pass_unchanged_and_the_others_do_not(flip):
    mask = folded_checkerboard(6, 6)
    layer, x = generic(GCoupling(D4, (1, 6, 6), mask=mask, flip=flip), generator()), noise(2, 1, 6, 6)
    assert torch.equal((layer.encode(x)[0] == x).all(0)[0], ~mask if flip else mask)


def test_the_log_scale_is_bounded_whatever_comes_in():
    layer, x = generic(GCoupling(C4, (2, 4, 4), max_log_scale=0.5), generator()), 1e3 * noise(3, 2, 4, 4)
    log_det = layer.encode(x)[1].abs()
    assert (log_det <= 0.5 * 16).all() and log_det.max() > 0.4 * 16


@pytest.mark.parametrize("layer", [GCoupling, GAutoregressive])
def test_first_weights_are_near_the_identity_and_reproducible(layer):
    one, other = (layer(D4, (2, 6, 6)).double() for _ in range(2))
    x = noise(4, 2, 6, 6)
    one.reset_parameters(generator(3))
    other.reset_parameters(generator(3))
    z, log_det = one.encode(x)
    assert torch.equal(z, other.encode(x)[0])
    assert 0 < (z - x).abs().max() < 0.2 and log_det.abs().max() < 1


def test_the_plain_layer_has_all_taps_and_any_size():
    layer = GCoupling(C1, (4, None, None), hidden_fields=5, depth=2)
    count = 2 * 5 * 9 + 5 + 5 * 5 * 9 + 5 + 5 * 2 * 9 + 2
    assert sum(p.numel() for p in layer.parameters()) == 2 * count
    assert layer.encode(torch.randn(2, 4, 3, 7, generator=generator()))[0].shape == (2, 4, 3, 7)


@pytest.mark.parametrize("options", [{}, {"depth": 1, "kernel_size": 5}, {"padding": "circular"}])
def test_c8_is_exact_under_its_quarter_turns(options):
    group = cyclic(8)
    layer, x = (
        generic(GCoupling(group, (2, 7, 7), hidden_fields=2, **options), generator()),
        noise(2, 2, 7, 7),
    )
    for g in (2, 4, 6):
        error = equivariance_error(
            lambda e: layer.encode(e)[0],
            x,
            lambda e, g=g: group.act_image(g, e),
            lambda e, g=g: group.act_image(g, e),
        )
        assert error < 1e-12


def test_soft_keeps_the_log_det_and_not_the_density():
    """The soft scale is one and the same picture for u and g u: its sum stays, and its place is wrong."""
    x = noise(4, 2, 28, 28)
    exact, soft = (
        NormalizingFlow(
            StandardNormal((2, 28, 28)).double(), generic(GCoupling(C4, (2, 28, 28), soft=soft), generator())
        )
        for soft in (False, True)
    )
    turned = C4.act_image(1, x)
    with torch.no_grad():
        before, after = soft.bijection.encode(x)[1], soft.bijection.encode(turned)[1]
        assert (after - before).abs().max() < 1e-9
        assert (exact.log_prob(turned) - exact.log_prob(x)).abs().max() < 1e-9
        assert (soft.log_prob(turned) - soft.log_prob(x)).abs().max() > 1


@pytest.mark.parametrize("blocks, channels", [(2, 4), (3, 3)])
def test_autoregressive_jacobian_is_block_triangular_with_diagonal_blocks(blocks, channels):
    layer = generic(GAutoregressive(C4, (channels, 3, 3), blocks=blocks, hidden_fields=2), generator())
    x = noise(1, channels, 3, 3)
    each = channels * 9 // blocks
    parts = jacobian(layer, x[0]).unflatten(0, (blocks, each)).unflatten(2, (blocks, each)).transpose(1, 2)
    diagonals = [torch.diag_embed(parts[i, i].diagonal()) for i in range(blocks)]
    assert all(torch.equal(parts[i, i], diagonals[i]) for i in range(blocks))
    above = [parts[i, j].abs().max() for i in range(blocks) for j in range(i + 1, blocks)]
    below = [parts[i, j].abs().max() for i in range(blocks) for j in range(i)]
    assert max(above) == 0 and min(below) > 1e-3
    log_det = sum(d.diagonal().log().sum() for d in diagonals).item()
    assert math.isclose(layer.encode(x)[1].item(), log_det, abs_tol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="two fields or more to split, or a mask; got 1 and none"):
        GCoupling(C4, (1, 8, 8))
    with pytest.raises(ValueError, match="two fields or more"):
        GCoupling(C4, (4, 8, 8), field_type="regular")
    with pytest.raises(ValueError, match="mask that C4 maps to itself"):
        GCoupling(C4, (1, 8, 8), mask=checkerboard(8, 8))
    with pytest.raises(ValueError, match=r"mask of the image's size \(8, 8\); got \(5, 5\)"):
        GCoupling(C4, (1, 8, 8), mask=checkerboard(5, 5))
    with pytest.raises(ValueError, match=r"C a multiple of 4 \(regular fields of C4\); got \(6, 5, 5\)"):
        GCoupling(C4, (6, 5, 5), field_type="regular")
    for group in (C1, C4):
        with pytest.raises(ValueError, match="padding among"):
            GCoupling(group, (2, 8, 8), padding="reflect")
    with pytest.raises(ValueError, match="fixed size for a soft scale"):
        GCoupling(C4, (2, None, None), soft=True)
    with pytest.raises(ValueError, match="equal blocks of 5 fields; got blocks = 2"):
        GAutoregressive(C4, (5, 4, 4), blocks=2)


def conditional(group=D4):
    shape = (1, 6, 6)
    layer = GCoupling(group, shape, mask=folded_checkerboard(6, 6), classes=3, hidden_fields=2)
    return generic(layer, generator())


def test_every_label_has_its_own_map_and_all_are_equivariant():
    layer, x = conditional(), noise(4, 1, 6, 6)
    maps = []
    for label in range(3):
        context = torch.full((4,), label)
        for g in D4:
            error = equivariance_error(
                lambda e, c=context: layer.encode(e, c)[0], x, *[lambda e, g=g: D4.act_image(g, e)] * 2
            )
            assert error < 1e-12
        z, _ = layer.encode(x, context)
        assert (layer.decode(z, context)[0] - x).abs().max() < 1e-10
        maps.append(z)
    assert min((maps[i] - maps[j]).abs().max() for i, j in [(0, 1), (0, 2), (1, 2)]) > 0.01
    mixed = layer.encode(x, torch.tensor([2, 0, 1, 0]))[0]
    assert torch.allclose(mixed, torch.stack([maps[label][i] for i, label in enumerate([2, 0, 1, 0])]))


def test_an_embedding_that_depends_on_the_place_would_not_be_equivariant():
    layer, x = conditional(), noise(4, 1, 6, 6)
    context = torch.zeros(4, dtype=torch.long)
    first = layer.shift.convs[0]
    first.register_forward_hook(lambda module, given, made: made + torch.arange(6.0).to(made))
    turned = layer.encode(D4.act_image(1, x), context)[0]
    assert (turned - D4.act_image(1, layer.encode(x, context)[0])).abs().max() > 0.01


def test_labels_do_not_change_what_a_layer_without_them_is():
    one, other = (GCoupling(D4, (2, 6, 6), classes=classes) for classes in (None, 3))
    one.reset_parameters(generator())
    other.load_state_dict(one.state_dict(), strict=False)
    for network in (other.shift, other.log_scale):
        torch.nn.init.zeros_(network.labels)
    x = noise(4, 2, 6, 6).float()
    assert torch.equal(one.encode(x)[0], other.encode(x, torch.tensor([0, 1, 2, 0]))[0])


def test_soft_layers_take_labels_too():
    layer = generic(GCoupling(C4, (2, 5, 5), soft=True, classes=2, hidden_fields=2), generator())
    x = noise(1, 2, 5, 5)
    log_dets = [layer.encode(x, torch.tensor([label]))[1].item() for label in (0, 1)]
    assert abs(log_dets[0] - log_dets[1]) > 1e-3
