"""What looks at operations instead of running them: works to rounding, or is refused in one sentence."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, hessian, jvp, vmap

from eqflow.motion import kernels
from tests.motion.models_of_both import KINDS, make, noise, relative

kinds = pytest.mark.parametrize("kind", KINDS)
# torch's own forward-mode rules and tracer still go through torch.jit
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def loss(model, video, horizon=2):
    return model(video, horizon).square().sum()


def parameters(model):
    return {name: p.detach() for name, p in model.named_parameters()}


def gradients(model, video, prediction):
    return torch.autograd.grad(prediction.square().sum(), [video, *model.parameters()])


@kinds
def test_torch_func(kind):
    model, video = make(kind), noise(3, batch=2).requires_grad_()
    exact = model(video, 2)
    wanted = gradients(model, video, exact)
    x, p = video.detach(), parameters(model)

    def of(p, x):
        return functional_call(model, p, (x, 2)).square().sum()

    found = grad(of)(p, x)
    assert relative(found.values(), wanted[1:]) < 1e-12
    assert relative([vmap(lambda v: model(v[None], 2)[0])(x)], [exact]) < 1e-12
    each = vmap(grad(of), (None, 0))(p, x[:, None])  # per-sample gradients
    assert relative([g.sum(0) for g in each.values()], wanted[1:]) < 1e-12
    assert relative(each.values(), [w.expand(2, *w.shape) for w in wanted[1:]]) > 1e-3  # control
    _, along = jvp(lambda v: loss(model, v), (x,), (x,))
    assert relative([along], [(wanted[0] * x).sum()]) < 1e-12
    with torch.autograd.forward_ad.dual_level():
        out = loss(model, torch.autograd.forward_ad.make_dual(x, x))
        assert relative([torch.autograd.forward_ad.unpack_dual(out).tangent], [along]) < 1e-12


@kinds
def test_second_derivatives_by_torch_func(kind):
    model, video = make(kind, 0, nonlinearity="tanh"), noise(2, batch=1, size=4)[:, :, :, :3]
    h, step = hessian(lambda v: loss(model, v, 1))(video).view(24, 24), 1e-6
    assert (h - h.T).abs().max() < 1e-12 * h.abs().max()
    direction = noise(2, batch=1, size=4, seed=3)[:, :, :, :3]
    ends = [grad(lambda v: loss(model, v, 1))(video + s * step * direction) for s in (-1, 1)]
    assert relative([(ends[1] - ends[0]).flatten() / (2 * step)], [h @ direction.flatten()]) < 1e-6


@kinds
def test_batches_of_gradients_and_second_derivatives_are_refused(kind):
    model, video = make(kind), noise(3).requires_grad_()
    out = model(video, 2)
    with pytest.raises(RuntimeError, match="expected one gradient at a time; got is_grads_batched=True"):
        torch.autograd.grad(out, video, torch.ones(3, *out.shape, dtype=out.dtype), is_grads_batched=True)
    out = model(video, 2)
    with pytest.raises(RuntimeError, match="expected first derivatives only; got create_graph=True"):
        torch.autograd.grad(out.sum(), video, create_graph=True)


@pytest.mark.parametrize(("kind", "with_gradients"), [*((k, True) for k in KINDS), ("translation", False)])
def test_export_and_what_comes_after_it(kind, with_gradients):
    """Fault 6 too: what was traced leaves nothing behind."""
    model, video = make(kind), noise(2, batch=2, size=7).requires_grad_()  # a canvas of its own
    with torch.set_grad_enabled(with_gradients):
        batch = {"frames": {0: torch.export.Dim("B")}, "horizon": None}
        exported = torch.export.export(model, (video, 2), dynamic_shapes=batch)
    after = make(kind)(video, 2)
    assert type(after) is torch.Tensor and after.isfinite().all()
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    again = torch.export.load(file).module()
    out = again(video, 2)
    assert relative([out], [after]) < 1e-12
    twice = torch.cat([video, video.flip(3)])
    assert relative([again(twice, 2)], [model(twice, 2)]) < 1e-12
    names = [name for name, _ in again.named_parameters()]
    found = dict(zip(["x", *names], gradients(again, video, out), strict=True))
    wanted = dict(zip(["x", *parameters(model)], gradients(model, video, model(video, 2)), strict=True))
    assert relative([found[n] for n in wanted], wanted.values()) < 1e-12


@kinds
def test_compile(kind):
    """In one graph; the "eager" backend spares the compiler, whose kernels are not ours to test."""
    model, video = make(kind), noise(1, batch=2).requires_grad_()
    torch._dynamo.reset()
    out, exact = torch.compile(model, backend="eager", fullgraph=True)(video, 2), model(video, 2)
    assert relative([out], [exact]) < 1e-12
    assert relative(gradients(model, video, out), gradients(model, video, exact)) < 1e-12


@kinds
def test_a_trace_can_be_saved(kind):
    class TwoFrames(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = make(kind)

        def forward(self, video):
            return self.model(video, 2)

    model, video, file = TwoFrames(), noise(2), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of sizes, which stay as they are
        torch.jit.save(torch.jit.trace(model, (video,)), file)
    file.seek(0)
    assert relative([torch.jit.load(file)(video)], [model(video)]) < 1e-12


@kinds
def test_fake_and_meta_leave_nothing_behind(kind):
    size = {"size": 9}  # whose tables nobody has made
    with torch.device("meta"):
        model = make(kind)
        assert model(torch.empty(2, 3, 1, 9, 9, dtype=torch.float64), 2).shape == (2, 2, 1, 9, 9)
    real = make(kind)
    expected = real(noise(**size), 2)
    assert expected.device.type == "cpu" and expected.isfinite().all()
    # up to single precision, through which the basis of the real one has passed
    model.to_empty(device="cpu").load_state_dict(real.state_dict())
    assert relative([model(noise(**size), 2)], [expected]) < 1e-5
    model.to_empty(device="cpu").reset_parameters(torch.Generator().manual_seed(0))
    assert relative([model(noise(**size), 2)], [expected]) < 1e-5
    if kind == "translation":
        with FakeTensorMode() as mode:
            fake = kernels.circular_conv(torch.rand(1, 11, 11, 1), torch.rand(1, 1, 3, 3))
            assert fake.fake_mode is mode
        real = kernels.circular_conv(torch.rand(1, 11, 11, 1), torch.rand(1, 1, 3, 3))
        assert type(real) is torch.Tensor


def test_the_plain_step_is_the_same_as_the_fast_one():
    """With every option, and at ties; `call` chooses the fast one where nobody looks."""
    assert kernels._MovingStep.call.__func__ is not kernels._MovingStep.apply
    generator = torch.Generator().manual_seed(0)
    shifts = ((0, 1), (2, -1), (-9, 0))
    taps = (((0, 1), (1, 2)), ((0, 1, 2), (0, 1, 2)), ((1, 2), (0, 1)))
    h = torch.randn(2, 3, 4, 5, 2, dtype=torch.float64, generator=generator).round().requires_grad_()
    u = torch.randn(2, 3, 4, 5, 3, dtype=torch.float64, generator=generator).round().requires_grad_()
    w = torch.randn(3, 2, 3, 3, 3, dtype=torch.float64, generator=generator).round().requires_grad_()
    for nonlinearity in ("linear", "relu", "tanh"):
        for keep in (True, False):
            arguments = h, u, w, shifts, taps, nonlinearity, True, keep, False
            fast, plain = (f(*arguments)[1] for f in (kernels._MovingStep.call, kernels._MovingStep.plain))
            assert type(fast.grad_fn).__name__ == "_MovingStepBackward"
            assert relative([fast], [plain]) < 1e-14
            both = [torch.autograd.grad(z.square().sum(), (h, u, w)) for z in (fast, plain)]
            assert relative(*both) < 1e-12
