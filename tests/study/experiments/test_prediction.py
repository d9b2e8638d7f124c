"""What a model has to beat."""

import pytest
import torch

from eqflow.study.experiments.prediction import learns_nothing

VIDEOS = torch.rand(3, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_predictors_that_learn_nothing():
    found = learns_nothing(VIDEOS, 2)
    assert list(found) == ["mean of the inputs", "last frame", "black"]
    for t in range(3):
        truth = VIDEOS[:, 2 + t].double()
        drawn = (VIDEOS[:, :2].double().mean(1), VIDEOS[:, 1].double(), torch.zeros(1).double())
        for error, frame in zip(found.values(), drawn, strict=True):
            assert float(error[t]) == pytest.approx(float((frame - truth).square().mean()), rel=1e-12)


def test_a_video_at_rest_is_known_from_its_last_frame():
    still = learns_nothing(VIDEOS[:, :1].expand(3, 5, 1, 4, 4), 2)
    assert all(float(still[name].max()) < 1e-14 for name in ("mean of the inputs", "last frame"))
    assert float(still["black"].min()) > 0.1


@pytest.mark.parametrize("shown", [0, 5, 9])
def test_some_frames_are_seen_and_some_predicted(shown):
    with pytest.raises(ValueError, match="expected frames to see and frames to predict"):
        learns_nothing(VIDEOS, shown)
