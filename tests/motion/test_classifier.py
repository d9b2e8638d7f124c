"""The action classifier and what it is compared with: the plain form, the published counts, the motions."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks import kth, reference_kth
from eqflow.motion import ActionClassifier, Conv3dClassifier
from eqflow.symmetry import MotionSet, Translation, translation_grid

DOUBLE = torch.float64
SMALL = {"channels": (3, 4, 5), "in_channels": 2}


def make(motions, seed=0, **options):
    """In eval mode, its batch norms with statistics and gains that are not 0 and 1."""
    model = ActionClassifier(3, motions=motions, **{**SMALL, **options}).double()
    generator = torch.Generator().manual_seed(seed)
    model.reset_parameters(generator)
    for norm in model.norms:
        for name, low in (("weight", 0.5), ("bias", 0.0), ("running_mean", -0.2), ("running_var", 0.1)):
            torch.nn.init.uniform_(getattr(norm, name), low, low + 0.5, generator=generator)
    return model.eval()


def noise(frames=4, height=6, width=7, batch=2, channels=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, frames, channels, height, width, dtype=DOUBLE, generator=generator)


def plain(model, video, **options):
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return reference_kth.classify(weights, [(m.vx, m.vy) for m in model.cell.motions], video, **options)


def relative(a, b):
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(a, b, strict=True))


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("vmax", [0, 1, 2])
def test_published_counts(vmax):
    assert count(ActionClassifier(motions=translation_grid(vmax))) == 241_638
    learned = ActionClassifier(motions=translation_grid(vmax), learned_shifts=True)
    assert count(learned) == 241_638 + (2 * vmax + 1) ** 4  # 242,263 with |V| = 25


def test_published_count_of_the_3d_cnn():
    assert count(Conv3dClassifier()) == 208_598


CASES = {
    "G-RNN": (0, {}),
    "V1": (1, {}),
    "V2, circular": (2, {"padding": "circular"}),
    "mean": (1, {"pool": "mean"}),
    "G-RNN+": (1, {"learned_shifts": True}),
    "G-RNN+, one kernel, circular": (0, {"learned_shifts": True, "padding": "circular"}),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(case, training):
    """1e-10 for logits, states, the gradient of the input and of every weight."""
    vmax, options = CASES[case]
    model, video = make(translation_grid(vmax), **options).train(training), noise().requires_grad_()
    settings = {"training": training, **options}
    settings.pop("learned_shifts", None)
    theirs = plain(model, video, **settings)
    generator = torch.Generator().manual_seed(2)
    upstream = [torch.randn(x.shape, dtype=DOUBLE, generator=generator) for x in theirs]
    inputs = [video, *model.parameters()]
    mine = model(video, return_hidden=True)
    assert mine[0].shape == (2, 3) and mine[1].shape == (2, 4, len(model.cell.motions), 5, 6, 7)
    assert relative(mine, theirs) < 1e-10
    grads = [torch.autograd.grad(both, inputs, upstream, retain_graph=True) for both in (mine, theirs)]
    assert all(g.abs().max() > 0 for g in grads[0])  # they reach every parameter
    assert relative(*grads) < 1e-10
    # without the hidden states the last one is never whole, and gradients are overwritten in place
    lean = model(video)
    assert relative([lean], theirs[:1]) < 1e-10
    grads = [torch.autograd.grad(one, inputs, upstream[0]) for one in (lean, theirs[0])]
    assert relative(*grads) < 1e-10
    # control: the comparison can fail
    with torch.no_grad():
        model.cell.hidden_conv.weight.mul_(1 + 1e-7)
    assert relative([model(video)], theirs[:1]) > 1e-10


@pytest.mark.parametrize("frames", [1, 2])
def test_short_videos(frames):
    for options in ({}, {"learned_shifts": True}, {"pool": "mean"}):
        model, video = make(translation_grid(1), **options), noise(frames)
        reference = plain(model, video, pool=options.get("pool", "max"))[0]
        assert relative([model(video)], [reference]) < 1e-10


@torch.no_grad()
def test_states_follow_theorem_4_1():
    """Space moves and the slices permute, wherever the shifted index stays in V; zero padding breaks it."""
    video, motion = noise(frames=5, height=9, width=10), Translation(1, -1)

    def errors(padding):
        model = make(translation_grid(1), padding=padding)
        still, moved = (model(x, return_hidden=True)[1] for x in (video, motion(video)))
        expected = torch.stack([motion.act(h, t) for t, h in enumerate(still.unbind(1))], 1)
        pairs = [(i, j) for i, j in enumerate(model.cell.motions.shift(motion)) if j is not None]
        assert len(pairs) == 4
        gaps = [(moved[:, :, i] - expected[:, :, j]).abs().max() for i, j in pairs]
        return torch.stack(gaps) / still.abs().max()

    assert errors("circular").max() < 1e-12
    assert errors("zero").min() > 0.05


@torch.no_grad()
def test_logits_are_invariant_where_the_velocities_are_a_group():
    """On 5x5 px velocities count modulo 5, so any nu' permutes V = {-2, ..., 2}^2 and nothing drops out."""

    # relative to what tells two videos apart
    def error(motions, motion, side=5, **options):
        model, video = make(motions, **{"padding": "circular", **options}), noise(5, side, side)
        still = model(video)
        return ((model(motion(video)) - still).abs().max() / (still[0] - still[1]).abs().max()).item()

    group = translation_grid(2)
    for motion in group:
        assert error(group, motion) < 1e-12
    motion = Translation(2, -1)
    assert error(group, motion, pool="mean") < 1e-12
    controls = [
        error(translation_grid(0), motion),  # no motion in the state: G-RNN
        error(group, motion, padding="zero"),
        error(group, motion, side=6),  # modulo 6 the same V is no group: slices drop out
        error(group, motion, learned_shifts=True),
    ]
    assert min(controls) > 0.01

    # a shift that stands still is no motion: all of these are invariant to it, zero padding apart
    def still_error(motions, **options):
        model, video = make(motions, padding="circular", **options), noise()
        return (model(motion.act(video, 1)) - model(video)).abs().max()

    assert max(still_error(translation_grid(0)), still_error(group, learned_shifts=True)) < 1e-12


@torch.no_grad()
def test_mean_is_group_averaging():
    """The mean over V of the G-RNN's logits for the video moved back by nu, on any canvas."""
    averaged = make(translation_grid(1), pool="mean", padding="circular")
    grnn = make(translation_grid(0), padding="circular")
    grnn.load_state_dict(averaged.state_dict())
    video = noise()
    orbit = torch.stack([grnn((-motion)(video)) for motion in translation_grid(1)])
    assert relative([averaged(video)], [orbit.mean(0)]) < 1e-12
    assert relative([make(translation_grid(1), padding="circular")(video)], [orbit.mean(0)]) > 0.01


@torch.no_grad()
def test_learned_kernels_can_be_the_shifts():
    motions, video = translation_grid(2), noise()
    fixed, learned = make(motions), make(motions, learned_shifts=True)
    kernels = torch.zeros(25, 5, 5, dtype=DOUBLE)
    for kernel, (vx, vy) in zip(kernels, [(int(m.vx), int(m.vy)) for m in motions], strict=True):
        kernel[2 - vy, 2 - vx] = 1  # PyTorch correlates: reading from -v moves content by +v
    drawn = learned(video)
    learned.load_state_dict({**fixed.state_dict(), "cell.shifts.weight": kernels})
    assert relative([learned(video)], [fixed(video)]) < 1e-12
    assert relative([drawn], [fixed(video)]) > 1e-3


NORMED = {
    "FERNN": lambda **on: ActionClassifier(3, motions=translation_grid(1), channels=(2, 3, 4), **on),
    "3-D CNN": lambda **on: Conv3dClassifier(3, channels=(2, 3, 4), **on),
}


@pytest.mark.parametrize("name", NORMED)
def test_a_normed_readout_folds_into_the_plain_one(name):
    """The same functions in evaluation, with weight / s and bias - weight m / s; not in training."""
    normed, folded = (NORMED[name](readout_norm=on).double() for on in (True, False))
    normed.reset_parameters(torch.Generator().manual_seed(0))
    video = noise(4, 8, 9, batch=5, channels=1)
    normed(video), normed(video)
    s = (normed.readout_norm.running_var + normed.readout_norm.eps).sqrt()
    assert count(normed) == count(folded) and (s - 1).abs().min() > 1e-3
    state = normed.state_dict()
    weight, mean = state["readout.weight"] / s, state.pop("readout_norm.running_mean")
    state = {k: v for k, v in state.items() if not k.startswith("readout_norm")}
    folded.load_state_dict(state)  # unfolded it is another function
    assert relative([folded.eval()(video)], [normed.eval()(video)]) > 1e-2
    folded.load_state_dict(
        state | {"readout.weight": weight, "readout.bias": state["readout.bias"] - weight @ mean}
    )
    assert relative([folded(video)], [normed(video)]) < 1e-12
    assert relative([folded.train()(video)], [normed.train()(video)]) > 1e-2


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("frames", [8, 16])
def test_3d_cnn(frames, size):
    model = Conv3dClassifier(channels=(2, 3, 4))
    model.reset_parameters(torch.Generator().manual_seed(0))
    logits = model(torch.rand(2, frames, 1, size, size, generator=torch.Generator().manual_seed(1)))
    assert logits.shape == (2, 6)
    logits.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


MODELS = {
    "FERNN": lambda: ActionClassifier(3, motions=translation_grid(1), channels=(2, 3, 4)),
    "one layer": lambda: ActionClassifier(3, motions=translation_grid(1), channels=(4,)),
    "mixing": lambda: ActionClassifier(3, motions=translation_grid(1), channels=(2, 4), velocity_mixing=3),
    "G-RNN+": lambda: ActionClassifier(3, motions=translation_grid(1), channels=(2, 4), learned_shifts=True),
    "3-D CNN": lambda: Conv3dClassifier(3, channels=(2, 3, 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_draws_and_files(name, tmp_path):
    models = [MODELS[name]() for _ in range(3)]
    video = noise(4, 8, 8, channels=1).float()
    for model, seed in zip(models, [3, 3, 4], strict=True):
        model(video)  # moves the statistics of the batch norms
        model.reset_parameters(torch.Generator().manual_seed(seed))
    first, same, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[key], same[key]) for key in first)
    drawn = [key for key in first if "norms" not in key]
    assert drawn and not any(torch.equal(first[key], other[key]) for key in drawn)
    models[0](video)
    save_file(models[0].state_dict(), tmp_path / "weights.safetensors")
    models[2].load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(models[0].eval()(video), models[2].eval()(video))


@pytest.mark.parametrize("name", MODELS)
def test_unusable_videos(name):
    model, video = MODELS[name](), torch.rand(2, 3, 1, 8, 8)
    for wrong, message in [
        (video.double(), "expected a video of torch.float32, as the weights; got torch.float64"),
        ((255 * video).to(torch.uint8), "expected a video of torch.float32, as the weights; got torch.uint8"),
        (video.to("meta"), "expected a video on cpu, as the weights; got meta"),
    ]:
        with pytest.raises(ValueError, match=message):
            model(wrong)
    with pytest.raises(TypeError, match=r"expected a video as a torch.Tensor; got numpy\.ndarray"):
        model(video.numpy())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.double()(video.double()).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "same"}, 'expected padding "zero" or "circular"; got \'same\''),
        ({"pool": "sum"}, 'expected pool "max" or "mean"; got \'sum\''),
        ({"norm": "batch"}, 'expected norm "frame" or "joint"; got \'batch\''),
        ({"channels": ()}, r"expected one or more positive channels; got \(\)"),
        ({"motions": MotionSet([Translation(0.5, 0)])}, "expected translations by whole pixels"),
    ],
)
def test_unusable_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ActionClassifier(**{"motions": translation_grid(1), **options})


def test_wrong_shapes():
    model = ActionClassifier(motions=translation_grid(1), channels=(2, 3))
    for wrong in [(2, 4, 3, 8, 8), (2, 1, 8, 8), (2, 0, 1, 8, 8)]:
        with pytest.raises(ValueError, match=r"expected a video \(B, T, 1, H, W\), T >= 1; got"):
            model(torch.rand(wrong))
    with pytest.raises(ValueError, match="expected three positive channels; got"):
        Conv3dClassifier(channels=(2, 3))
    for wrong in [(2, 8, 3, 8, 8), (2, 1, 8, 8), (2, 0, 1, 8, 8)]:
        with pytest.raises(ValueError, match=r"expected a video \(B, T, 1, H, W\), T >= 1; got"):
            Conv3dClassifier(channels=(2, 3, 4))(torch.rand(wrong))


def test_the_benchmark_writes_its_tables(tmp_path, capfd):
    small = "--velocities 1 9 --size 8 --channels 8 --batch 2 --frames 4 --rounds 1 --output"
    kth.main([*small.split(), str(tmp_path)])
    head, *rows = (tmp_path / "kth.csv").read_text().splitlines()
    assert head.split(",") == list(kth.FORMATS)
    assert [row.split(",")[0] for row in rows] == ["1", "9"]
    assert (tmp_path / "kth.md").read_text() in capfd.readouterr().out
    verdicts = [kth.verdict({"V": v, "speedup": speedup}) for v, speedup in [(9, 2.0), (9, 1.9), (1, 1.0)]]
    assert verdicts == ["2.0x met", "2.0x MISSED", ""]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("options", [{}, {"padding": "circular"}, {"learned_shifts": True}], ids=str)
def test_on_cuda(options):
    model, video = make(translation_grid(1), **options), noise()
    expected = model(video)
    expected.square().sum().backward()
    wanted = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    logits = model.cuda()(video.cuda())
    logits.square().sum().backward()
    assert logits.is_cuda and relative([logits.cpu()], [expected]) < 1e-12
    assert relative([p.grad.cpu() for p in model.parameters()], wanted) < 1e-10
