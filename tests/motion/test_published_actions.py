"""In float64 and with equal weights our action nets are the published ones: see `published_actions`."""

from __future__ import annotations

import pytest
import torch
from published_actions import like, pairs
from torch.nn.functional import cross_entropy

from eqflow.motion import ActionClassifier, Conv3dClassifier
from eqflow.motion.baselines import LearnedShifts
from eqflow.symmetry import translation_grid

CHANNELS = (3, 4, 5)
MODELS = {
    "G-RNN": lambda: ActionClassifier(motions=translation_grid(0), channels=CHANNELS),
    "FERNN-V1": lambda: ActionClassifier(motions=translation_grid(1), channels=CHANNELS),
    "FERNN-V2": lambda: ActionClassifier(motions=translation_grid(2), channels=CHANNELS),
    "G-RNN+": lambda: ActionClassifier(motions=translation_grid(2), channels=CHANNELS, learned_shifts=True),
    "3-D CNN": lambda: Conv3dClassifier(channels=CHANNELS),
}
LABELS = torch.tensor([0, 5, 2])


def generator(seed):
    return torch.Generator().manual_seed(seed)


def made(name, **options):
    """In float64; gains, biases and running statistics of the batch norms are not 0 and 1."""
    model = MODELS[name]().double()
    model.reset_parameters(generator(0))
    for norm in model.norms:
        for tensor, low in (
            (norm.weight, 0.5),
            (norm.bias, 0.0),
            (norm.running_mean, -0.2),
            (norm.running_var, 0.1),
        ):
            torch.nn.init.uniform_(tensor, low, low + 0.5, generator=generator(1))
    for key, value in options.items():
        setattr(model, key, value)
    return model


def video():
    """Each frame brighter and of more contrast than the one before, so that whose statistics count shows."""
    noise = torch.rand(3, 6, 1, 8, 9, dtype=torch.float64, generator=generator(2))
    return noise * torch.linspace(0.2, 1, 6, dtype=torch.float64).view(6, 1, 1, 1)


def gap(mine, theirs):
    mine, theirs = mine.detach(), theirs.detach()
    return float((mine - theirs).abs().max() / theirs.abs().max())


def gaps(model, published, steps=1):
    """Largest relative gaps: logits, loss, gradients (video, every parameter), running statistics."""
    given = [video().requires_grad_() for _ in range(2)]
    found = {}
    for _ in range(steps):
        logits = [net(x) for net, x in zip((model, published), given, strict=True)]
        losses = [cross_entropy(x, LABELS) for x in logits]
        for loss in losses:
            loss.backward()
        found = {"logits": gap(*logits), "loss": gap(*losses), "video": gap(*(x.grad for x in given))}
    both = pairs(model, published)
    weights = [(x, y) for x, y in both if x.requires_grad]
    assert len(weights) == len(list(model.parameters())) == len(list(published.parameters()))
    assert all(y.grad.abs().max() > 0 for _, y in weights)
    found["gradients"] = max(gap(x.grad, y.grad) for x, y in weights)
    statistics = [(x, y) for x, y in both if not x.requires_grad]
    assert len(statistics) == 3 * len(model.norms)  # means, variances, numbers of updates
    found["statistics"] = max(gap(x.double(), y.double()) for x, y in statistics)
    return found


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", MODELS)
def test_equal_to_the_published_net(name, training):
    model = made(name).train(training)
    published = like(model)
    found = gaps(model, published, steps=2)
    assert max(found.values()) < 1e-12, found
    updates = 2 * (6 if name != "3-D CNN" else 1) if training else 0
    assert [int(norm.num_batches_tracked) for norm in model.norms] == [updates] * len(model.norms)


@pytest.mark.parametrize("name", ["G-RNN", "FERNN-V2", "G-RNN+"])
def test_joint_statistics(name):
    """All frames at once: another net in training, the same in evaluation and for a single frame."""
    model = made(name, norm="joint")
    together = like(model)
    together.joint = True
    assert max(gaps(model, together).values()) < 1e-12
    model = made(name, norm="joint")
    assert min(gaps(model, like(model)).values()) > 1e-3
    model = made(name, norm="joint").eval()
    assert max(gaps(model, like(model)).values()) < 1e-12
    one = video()[:, :1]
    assert gap(made(name, norm="joint")(one), made(name)(one)) < 1e-12


def test_another_stride_is_another_net():
    model = made("3-D CNN")
    published = like(model)
    model.convs[0].stride = (1, 1, 1)
    assert min(gaps(model, published).values()) > 1e-3


def test_learned_kernels_start_as_published():
    """He, fan out, linear, one kernel at a time: normal with deviation 1 / side; side 2 vmax + 1."""
    for side in (1, 3, 5):
        shifts = LearnedShifts(4000, side)
        shifts.reset_parameters(generator(0))
        published = torch.empty(4000, 1, side, side)
        draws = generator(1)
        for kernel in published:
            torch.nn.init.kaiming_normal_(
                kernel[None], mode="fan_out", nonlinearity="linear", generator=draws
            )
        assert abs(float(shifts.weight.detach().std() / published.std()) - 1) < 0.05
        z = shifts.weight.detach() * side
        assert abs(float(z.mean())) < 0.06 and abs(float(z.std()) - 1) < 0.05
        assert abs(float(z.pow(4).mean() / z.var() ** 2) - 3) < 0.3  # normal; uniform has 1.8
    for vmax in (0, 1, 2):
        net = ActionClassifier(motions=translation_grid(vmax), channels=(2, 3), learned_shifts=True)
        assert net.cell.shifts.weight.shape == ((2 * vmax + 1) ** 2, 2 * vmax + 1, 2 * vmax + 1)
    with pytest.raises(ValueError, match="odd size >= 1; got 3 and 4"):
        LearnedShifts(3, 4)
