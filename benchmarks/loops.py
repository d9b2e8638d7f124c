"""The published loop at the paper's sizes, counted as `benchmarks.launches` counts ours: one cell per slice.

    python -m benchmarks.loops

writes ``loops.md`` and ``loops.csv`` of ``results/bench``. A cell rolls (or turns) its slice, pads it,
convolves, adds the input's share and bends; decoder, loss, clipping and update are the same for both. Slices
are `h[:, i]`, whose backward writes zeros for all others; "loop, unbind" does without. Neither is run:
seconds are those of the assumed GPU of ``docs/performance.md``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from benchmarks import reference, reference_kth, reference_rotation, tables
from eqflow.study.experiments import runs_for
from eqflow.study.files import cache_dir, published_dir
from eqflow.study.runs import RunSpec
from eqflow.study.runs.calibration import assumed
from eqflow.study.runs.counting import ADAM, Count, counted, counted_once, on_meta

COUNTED = [("12", "grnn"), ("12", "fernn_v1"), ("12", "fernn_v2"), ("13", "fernn_v2"), ("13", "fernn_v4")]
COUNTED += [("17", "grnn"), ("17", "fernn_v2")]
PRECISIONS = ("float32", "tf32", "bfloat16")
FORMATS = {
    "model": "s",
    "form": "s",
    "launches": ",d",
    "TFLOP": ".3g",
    "moved (GB)": ".3g",
    "held (GB)": ".3g",
}
FORMATS |= {f"{precision} (s)": ".2g" for precision in PRECISIONS}


def loop_of(spec: RunSpec, model: nn.Module, unbind: bool = False) -> Callable[..., Tensor]:
    """The loop with the weights of a run's model, called as the model is."""
    config, motions = spec.config, model.cell.motions
    if spec.module.endswith("recognition"):
        weights = dict(model.named_parameters()) | dict(model.named_buffers())
        velocities = [(m.vx, m.vy) for m in motions]
        options = {"padding": config["padding"], "training": True, "keep": False}
        return lambda video: reference_kth.classify(weights, velocities, video, **options)[0]
    if n := config["orientations"]:  # turns the state, bilinearly, as published
        omegas, rotation = [m.omega for m in motions], {"rotate": "state", "keep": False}
        return lambda frames, horizon: reference_rotation.predict(
            reference_rotation.expand(model), omegas, n, frames, horizon, **rotation
        )[0]
    weights, velocities = dict(model.named_parameters()), [(m.vx, m.vy) for m in motions]
    options = {"keep": False, "unbind": unbind}
    return lambda frames, horizon: reference.predict(weights, velocities, frames, horizon, **options)[0]


def count_loop(spec: RunSpec, unbind: bool = False) -> Count:
    """One step of training, as `count_step` of the package's own model."""
    model, module = on_meta(spec), spec.load_module()
    batch, weights = module.empty_batch(spec.config, "meta"), list(model.parameters())
    loop = loop_of(spec, model, unbind)

    def step() -> None:
        module.loss_of(loop, spec.config, batch).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)

    size = sum(p.numel() * p.element_size() for p in weights)
    return counted(step).plus(Count(launches=2, moved=ADAM * size, peak=3.0 * size))


def row(name: str, form: str, count: Count) -> dict:
    found = {"model": name, "form": form, "launches": count.launches, "TFLOP": count.operations / 1e12}
    found |= {"moved (GB)": count.moved / 1e9, "held (GB)": count.peak / 1e9}
    return found | {f"{precision} (s)": assumed(precision).seconds(count) for precision in PRECISIONS}


def compare(counted: list[tuple[str, str]], profile: str = "paper") -> list[dict]:
    """For each the loop's row, and ours; where digits are translated, also that of a loop with `unbind`."""
    rows = []
    for number, model in counted:
        spec = next(s for s in runs_for(number, profile) if s.model == model)
        name = f"{number} {model}"
        rows.append(row(name, "published loop", count_loop(spec)))
        if number == "12":
            rows.append(row(name, "loop, unbind", count_loop(spec, unbind=True)))
        rows.append(row(name, "ours", counted_once(spec, cache_dir() / "counts")))
    return rows


if __name__ == "__main__":
    rows = compare(COUNTED)
    text = "One training step at the paper's sizes, counted; seconds of an assumed GPU.\n\n"
    tables.save(published_dir() / "bench", "loops", text + tables.markdown(rows, FORMATS, lambda _: ""), rows)
