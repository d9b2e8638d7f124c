"""What the notebooks on prediction share: states slice by slice, lists exchanged, tables of test errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from eqflow.motion.cells import MotionCell
from eqflow.symmetry import Motion, MotionSet

from ..experiments.prediction import build, frame_errors, held_out_videos, learns_nothing, motions_of
from ..verdicts import load_claims
from .figures import style_of


def states_of(cell: MotionCell, video: Tensor) -> Tensor:
    """All slices after each frame of a video (B, T, C, H, W): (B, T, V, K, H, W), in the common frame."""
    h, found = None, []
    for frame in video.unbind(1):
        h = cell(frame, h)
        found.append(cell.slices(h))
    return torch.stack(found, 1)


def nearest(motions: MotionSet, nu: Motion) -> int:
    """Index of the motion with the parameters next to those of `nu`."""
    return int(np.argmin([np.hypot(*np.subtract(mu.parameters, nu.parameters)) for mu in motions]))


def slice_errors(cell: MotionCell, video: Tensor, motion: Motion) -> tuple[Tensor, Tensor]:
    """Error of Theorem 4.1 for each slice, when `video` (B, T, C, H, W) is made to move.

    Slice nu is compared with the moved slice nu - nu', or, where that is not in V, with the nearest one.

    Returns:
        The largest error over all frames, relative to the largest value of the state, (V,); whether the slice
        has its partner in V, bool (V,).
    """
    motions, before, after = cell.motions, states_of(cell, video), states_of(cell, motion(video))
    partner = [motions.shift(motion), [nearest(motions, nu - motion) for nu in motions]]
    chosen = [near if i is None else i for i, near in zip(*partner, strict=True)]
    promised = motion(before[:, :, chosen].flatten(2, 3)).view_as(after)
    error = (after - promised).abs().amax((0, 1, 3, 4, 5)) / before.abs().max()
    return error.detach().cpu(), torch.tensor([i is not None for i in partner[0]])


def rebuilt(run, **changes) -> nn.Module:
    """The weights of a prediction run in a model of another config, as ``motions=[(0, 0)]``; in eval mode."""
    net = build(run.spec.config | changes)
    net.load_state_dict(run.load_model().state_dict())
    return net.eval()


def predict(net: nn.Module, video: Tensor, shown: int, device: torch.device) -> Tensor:
    """The frames (B, T - shown, C, H, W) after the first `shown` of videos (B, T, C, H, W)."""
    ahead = video.shape[1] - shown
    with torch.no_grad():
        return torch.cat([net(v[:, :shown].to(device), ahead).cpu() for v in video.split(8)])


def frame_mse(net: nn.Module, video: Tensor, shown: int, device: torch.device) -> Tensor:
    """Mean squared error of every predicted frame, (B, T - shown)."""
    return (predict(net, video, shown, device) - video[:, shown:]).square().mean((2, 3, 4))


def map_of(nb, nets: Mapping, experiment: str, velocities: Iterable, count: int) -> pd.DataFrame:
    """MSE of nets at velocities (vx, vy), on the same test digits: a row per velocity, a column per net."""
    config, rows = nb.config(experiment), {}
    for v in velocities:
        videos = held_out_videos(config, "test", count=count, velocities=v)
        rows[v] = {k: float(frame_errors(net, videos, config, nb.device).mean()) for k, net in nets.items()}
    return pd.DataFrame(rows).T


def nothing_of(nb, experiment: str, velocities: Iterable | None = None, count: int | None = None) -> dict:
    """MSE of what learns nothing, name -> mean over the test videos, or over those at some velocities."""
    config, errors = nb.config(experiment), []
    for v in velocities or [None]:
        videos = held_out_videos(config, "test", count=count, velocities=v)
        found = learns_nothing(videos, config["input_frames"])
        errors.append({name: float(error.mean()) for name, error in found.items()})
    return pd.DataFrame(errors).mean().to_dict()


def compare(nb, experiment: str, claim: str) -> tuple[dict, dict]:
    """Show the test MSE of an experiment's models over seeds, beside a claim's published numbers.

    Returns:
        Model -> {seed: MSE}; what predictors that learn nothing score, by name.
    """
    rows, paper, by_model = [], load_claims()[claim], nb.values("test_mse", experiment=experiment)
    for model, by_seed in by_model.items():
        run, mse = nb.run(model, experiment=experiment), np.array(list(by_seed.values()))
        row = {"model": style_of(model)["label"], "slices": len(motions_of(run.spec.config))}
        row |= {"parameters": run.metrics["parameters"], "seeds": len(mse), "test MSE, mean": mse.mean()}
        row |= {"sd": mse.std(ddof=1) if len(mse) > 1 else np.nan}
        row |= {"paper's MSE (not comparable)": f"{paper.values.get(model, np.nan):.2g}"}
        row["paper's sd"] = f"{paper.sd.get(model, np.nan):.2g}"
        rows.append(row)
    table = pd.DataFrame(rows)
    table.insert(6, f"ratio to {rows[0]['model']}", table["test MSE, mean"] / table["test MSE, mean"][0])
    nothing = nothing_of(nb, experiment)
    listed = ", ".join(f"{name} {error:.3g}" for name, error in nothing.items())
    text = f"What learns nothing: {listed}. Paper: other digits, larger canvas and nets, long training."
    nb.table(table, f"test_error_{experiment}", caption=text)
    return by_model, nothing
