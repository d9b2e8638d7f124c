"""Gradients of the decoder for all frames at once, against the same frame by frame."""

from types import SimpleNamespace

import pytest
import torch

from eqflow.motion import decoding
from tests.motion.models_of_both import KINDS, make, noise, relative


def gradients(model, video, known):
    with pytest.MonkeyPatch.context() as patch:
        if not known:
            patch.setattr(decoding, "_kind", lambda layer: None)
        out = model(video, 3)
        grads = torch.autograd.grad(out.square().sum(), [video, *model.parameters()])
    return out.detach(), grads


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_all_frames_at_once(kind, layers, monkeypatch):
    model, video = make(kind, layers), noise(3).requires_grad_()
    ones, calls = decoding.Decoded.apply, []
    monkeypatch.setattr(decoding.Decoded, "apply", lambda *args: calls.append(1) or ones(*args))
    together, apart = gradients(model, video, True), gradients(model, video, False)
    assert len(calls) == 1  # not one for every frame, and none at all apart
    assert torch.equal(together[0], apart[0])
    assert relative(together[1], apart[1]) < 1e-12
    monkeypatch.setattr(decoding.kernels, "CHUNK_BYTES", 1)  # frame by frame in backward
    assert relative(gradients(model, video, True)[1], apart[1]) < 1e-12


def test_a_missing_relu_is_found(monkeypatch):
    model, video = make("translation", 2), noise(3).requires_grad_()
    apart = gradients(model, video, False)[1]
    monkeypatch.setattr(decoding, "aten", SimpleNamespace(threshold_backward=lambda d, y, zero: d))
    assert relative(gradients(model, video, True)[1], apart) > 1e-3


def test_hooks_and_changed_decoders_go_frame_by_frame():
    model, video = make("translation", 1), noise(3)
    assert model._decoding([None, None], video, 2).kind == "circular"
    with model.decoder[0].register_forward_hook(lambda module, inputs, output: 2 * output):
        assert model._decoding([None, None], video, 2).kind is None
    changed = type("Changed", (type(model),), {"decode": lambda self, pooled, filters=None: pooled})
    model.__class__ = changed
    assert model._decoding([None, None], video, 2).kind is None
    with torch.no_grad():
        assert make("rotation")._decoding([None, None], video, 2).kind is None
