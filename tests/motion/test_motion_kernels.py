"""The fast primitives against plain PyTorch: values, gradients, ties, chunks, precisions, devices."""

from __future__ import annotations

import pytest
import torch

from benchmarks import reference
from eqflow.motion import kernels
from eqflow.motion.geometry import mixing

GRID = tuple((vx, vy) for vx in (-1, 0, 1) for vy in (-1, 0, 1))


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def plain_step(h, u, weight, shifts, sigma=torch.relu):
    """The same step channels first, differentiated by PyTorch."""
    h = h.expand(-1, len(shifts), -1, -1, -1).permute(0, 1, 4, 2, 3)
    moved = [h[:, i].roll((vy, vx), (-2, -1)) for i, (vx, vy) in enumerate(shifts)]
    out = [sigma(reference.circular_conv(x, weight).permute(0, 2, 3, 1) + u) for x in moved]
    return torch.stack(out, 1)


def gradients(value, inputs, seed=9):
    cotangent = normal(*value.shape, seed=seed, dtype=value.dtype).to(value.device)
    return torch.autograd.grad(value, inputs, cotangent)


def relative(a, b):
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("options", [{"slices": 9}, {"slices": 1}, {"slices": 9, "k": 5}, {"sigma": "tanh"}])
def test_step_equals_plain_pytorch(options):
    k, sigma = options.get("k", 3), options.get("sigma", "relu")
    h = normal(3, options.get("slices", 9), 6, 7, 4).requires_grad_()
    u, weight = normal(3, 6, 7, 5, seed=1).requires_grad_(), normal(5, 4, k, k, seed=2).requires_grad_()
    out, _ = kernels.moving_step(h, u, weight, GRID, nonlinearity=sigma)
    plain = plain_step(h, u, weight, GRID, getattr(torch, sigma))
    assert relative([out], [plain]) < 1e-13
    assert relative(gradients(out, (h, u, weight)), gradients(plain, (h, u, weight))) < 1e-13
    # control: the axes of the velocities exchanged
    wrong = plain_step(h, u, weight, [(vy, vx) for vx, vy in GRID], getattr(torch, sigma))
    assert relative([out], [wrong]) > 0.1


@pytest.mark.parametrize("nonlinearity", ["linear", "relu", "tanh"])
@pytest.mark.parametrize(
    "case", ["grid", "shared", "mixing", "not kept", "wide input", "kernel 5", "private"]
)
def test_gradcheck(case, nonlinearity):
    _, taps = mixing(GRID, 3) if case == "mixing" else (None, None)
    slices, c = (1 if case == "shared" else 9), (4 if case == "wide input" else 2)
    kernel = (5, 5) if case == "kernel 5" else (9, 3, 3) if taps else (3, 3)
    h = normal(2, slices, 3, 4, c).requires_grad_()
    u, weight = normal(2, 3, 4, 3, seed=1).requires_grad_(), normal(3, c, *kernel, seed=2).requires_grad_()

    def step(h, u, weight):
        options = {"keep": case != "not kept", "private": case == "private"}
        out = kernels.moving_step(
            h, u, weight, GRID, taps=taps, nonlinearity=nonlinearity, pool=True, **options
        )
        return tuple(x for x in out if x is not None)

    assert torch.autograd.gradcheck(step, (h, u, weight))


def test_gradcheck_notices_a_wrong_gradient(monkeypatch):
    h, weight = normal(2, 9, 3, 4, 2).requires_grad_(), normal(2, 2, 3, 3, seed=2).requires_grad_()
    monkeypatch.setitem(
        kernels.ACTIVATIONS, "tanh", (kernels.ACTIVATIONS["tanh"][0], lambda grad, out, into: grad)
    )
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(
            lambda h, w: kernels.moving_step(h, None, w, GRID, nonlinearity="tanh")[0], (h, weight)
        )


def test_exact_ties_give_the_gradient_to_the_first_slice():
    h = normal(2, 9, 4, 4, 3).round().requires_grad_()  # small integers: many ties
    weight = torch.eye(3, dtype=torch.float64).view(3, 3, 1, 1)
    still = ((0, 0),) * 9
    out, pooled = kernels.moving_step(h, None, weight, still, nonlinearity="linear", pool=True)
    assert torch.equal(out, h) and torch.equal(pooled, h.max(1).values)
    mine, first = gradients(pooled, h)[0], gradients(h.max(1).values, h)[0]
    assert torch.equal(mine, first)
    even = gradients(h.amax(1), h)[0]  # control: amax shares the gradient among ties
    assert (mine - even).abs().max() > 0.1


def test_two_hundred_slices_tie_in_bfloat16():
    h = torch.zeros(1, 300, 2, 2, 1, dtype=torch.bfloat16)
    h[:, 299, 0, 0] = 1
    first = kernels._first_maximum(h, h.amax(1)).flatten()
    assert first.tolist() == [299, 0, 0, 0]


@pytest.mark.parametrize("keep", [True, False])
def test_chunks_and_promises_change_nothing(monkeypatch, keep):
    h = normal(5, 9, 6, 6, 4).requires_grad_()
    u, weight = normal(5, 6, 6, 4, seed=1).requires_grad_(), normal(4, 4, 3, 3, seed=2).requires_grad_()

    def run(**options):
        out, pooled = kernels.moving_step(h, u, weight, GRID, pool=True, **options)
        again = kernels.moving_step(pooled.unsqueeze(1), u, weight, GRID)[0] if out is None else out.square()
        return [pooled, *gradients(again, (h, u, weight))]

    whole = run(keep=keep)
    monkeypatch.setattr(kernels, "CHUNK_BYTES", 2 * h[0].numel() * 8)  # 2 + 2 + 1 samples
    assert relative(run(keep=keep), whole) < 1e-13
    assert relative(run(keep=keep, private=True), whole) < 1e-13
    if keep:
        twice = [slice(0, 2), slice(0, 2), slice(2, 4), slice(4, 5)]  # control: two samples counted twice
        monkeypatch.setattr(kernels, "_walk", lambda batch, step: twice)
        assert relative(run(keep=keep), whole) > 1e-3


def test_without_private_the_gradient_that_is_handed_over_stays():
    h, weight = normal(5, 9, 6, 6, 4).requires_grad_(), normal(4, 4, 3, 3, seed=2)
    for private in (False, True):
        kernels_chunk = 2 * h[0].numel() * 8
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "CHUNK_BYTES", kernels_chunk)
            out, _ = kernels.moving_step(h, None, weight, GRID, private=private)
            grad = normal(*out.shape, seed=3)
            before = grad.clone()
            torch.autograd.grad(out, h, grad)
        assert torch.equal(grad, before) is not private


def test_kernel_wider_than_the_canvas():
    x, weight = normal(2, 2, 3, 2), normal(2, 2, 7, 7, seed=1)
    wide = x.repeat(1, 7, 7, 1)  # wraps as often as it must
    plain = reference.circular_conv(wide.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1)[:, :2, :3]
    assert relative([kernels.circular_conv(x, weight)], [plain]) < 1e-13


def test_tables_made_in_inference_mode_serve_training():
    h, weight = normal(1, 9, 5, 11, 2), normal(2, 2, 3, 3, seed=1).requires_grad_()
    with torch.inference_mode():
        kernels.moving_step(h, None, weight, GRID)
    kernels.moving_step(h, None, weight, GRID)[0].sum().backward()
    assert weight.grad.abs().min() > 0


def low_precision(device, dtype, tolerance):
    h, u, weight = normal(4, 9, 12, 14, 16), normal(4, 12, 14, 16, seed=1), normal(16, 16, 3, 3, seed=2) / 12
    low = [x.to(device, dtype).requires_grad_() for x in (h, u, weight)]
    high = [x.detach().cpu().double().requires_grad_() for x in low]  # from the same rounded numbers
    a, b = (kernels.moving_step(*x, GRID, nonlinearity="tanh", pool=True) for x in (low, high))
    assert all(x.dtype == dtype and x.device.type == device for x in a)
    assert relative([x.detach().cpu().double() for x in a], b) < tolerance
    ga, gb = (gradients(x[0], y) for x, y in ((a, low), (b, high)))
    gradient = relative([x.cpu().double() for x in ga], gb)
    assert gradient < 4 * tolerance
    return gradient


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-6), (torch.bfloat16, 2e-2)])
def test_precision(dtype, tolerance):
    low_precision("cpu", dtype, tolerance)
    if dtype == torch.bfloat16:  # control: it is bfloat16 that is measured
        assert low_precision("cpu", dtype, tolerance) > 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-3), (torch.bfloat16, 2e-2)]
)
def test_precision_on_cuda(dtype, tolerance):
    low_precision("cuda", dtype, tolerance)  # float32: convolutions may use TF32


def test_autocast():
    h, weight = normal(2, 9, 6, 6, 4, dtype=torch.float32), normal(4, 4, 3, 3, dtype=torch.float32)
    weight.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = kernels.moving_step(h, None, weight, GRID)
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16 and weight.grad.dtype == torch.float32
    exact = kernels.moving_step(h, None, weight, GRID)[0].detach()
    assert 1e-6 < relative([out.detach().float()], [exact]) < 2e-2


def test_a_second_derivative_is_refused_and_not_zero():
    h, weight = normal(1, 9, 5, 5, 2).requires_grad_(), normal(2, 2, 3, 3, seed=1).requires_grad_()
    out = kernels.moving_step(h, None, weight, GRID)[0].sum()
    torch.autograd.grad(out, h, retain_graph=True)
    with pytest.raises(RuntimeError, match="expected first derivatives only; got create_graph=True"):
        torch.autograd.grad(out, h, create_graph=True)


def test_the_maximum_with_subnormal_numbers_flushed():
    h, weight = normal(2, 9, 5, 5, 2).requires_grad_(), normal(2, 2, 3, 3, seed=1).requires_grad_()

    def gradient():
        return gradients(kernels.moving_step(h.float(), None, weight.float(), GRID, pool=True)[1], (h,))[0]

    wanted, flushed = gradient(), torch.set_flush_denormal(True)
    try:
        assert not flushed or torch.equal(gradient(), wanted)
    finally:
        torch.set_flush_denormal(False)


def test_autocast_leaves_double_precision_alone():
    h, weight = normal(1, 9, 5, 5, 2), normal(2, 2, 3, 3, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert kernels.moving_step(h, None, weight, GRID)[0].dtype == torch.float64
        assert kernels.moving_step(h.float(), None, weight.float(), GRID)[0].dtype == torch.bfloat16
