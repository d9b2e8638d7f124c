"""Speed and memory of a training step of the frame predictor with rotations, against the plain loop over V.

    python -m benchmarks.rotation [--velocities 1 5 9] [--rounds 7] ...

Five contenders run forward and backward in one process, in turn, round after round; seconds are medians over
the rounds, speed-ups ratios of medians (`benchmarks.frame_predictor` says how both are measured):

"state" and "input" are the two forms of `RotationCell`, bilinear, and each has its plain loop: the same
function by `grid_sample`, `roll` and `conv2d`, slice by slice, filters expanded once per sequence as in ours.
"spline" is our default, "input" with splines. The state's loop is the published one; `against_published` is
how many times faster than it the default runs, though the two are not the same function: ours is the more
exact (`RotationCell` says by how much).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

import torch

from benchmarks import reference_rotation as reference
from benchmarks.frame_predictor import machine, peak_bytes, seconds
from eqflow.motion import FramePredictor, RotationCell
from eqflow.symmetry import rotation_set

TARGETS = {"speedup": 1.8, "memory": 0.75}  # of both forms, at |V| = 1, 5 and 9
FORMATS = {  # of the columns
    "V": "d",
    "loop_state_s": ".3f",
    "state_s": ".3f",
    "speedup_state": ".2f",
    "memory_state": ".3f",
    "loop_input_s": ".3f",
    "input_s": ".3f",
    "speedup_input": ".2f",
    "memory_input": ".3f",
    "spline_s": ".3f",
    "against_published": ".2f",
}


def contenders(args, v: int) -> dict:
    """One training step of each, by name: same weights, same input."""
    generator = torch.Generator().manual_seed(0)
    omegas = [360 // args.orientations * i for i in range(-(v // 2), v // 2 + 1)]
    frames = torch.rand(args.batch, args.frames, 1, args.size, args.size, generator=generator)
    device = torch.device(args.device)
    frames = frames.to(device)
    runs = {}
    for name, rotate, interpolation in [
        ("state", "state", "bilinear"),
        ("input", "input", "bilinear"),
        ("spline", "input", "spline"),
    ]:
        cell = RotationCell(
            1,
            args.fields,
            motions=rotation_set(omegas),
            orientations=args.orientations,
            rotate=rotate,
            interpolation=interpolation,
        )
        model = FramePredictor(cell)
        model.reset_parameters(torch.Generator().manual_seed(0))
        model = model.to(device)

        def train(predict, model=model):
            model.zero_grad()
            predict(model).square().mean().backward()

        def loop(model, rotate=rotate):
            filters, n = reference.expand(model), args.orientations
            return reference.predict(filters, omegas, n, frames, args.horizon, rotate=rotate, keep=False)[0]

        if name != "spline":
            runs[f"loop_{name}"] = lambda train=train, loop=loop: train(loop)
        runs[name] = lambda train=train: train(lambda net: net(frames, args.horizon))
    return runs


def compare(args) -> list[dict]:
    """A row per |V|."""
    device, spent = torch.device(args.device), []
    for v in args.velocities:
        runs = contenders(args, v)
        for run in runs.values():
            run()
        rounds = [{name: seconds(run, device) for name, run in runs.items()} for _ in range(args.rounds)]
        spent.append({name: median(turn[name] for turn in rounds) for name in runs})
    rows = []
    for v, s in zip(args.velocities, spent, strict=True):  # memory after all timing: it changes malloc's mood
        m = {name: peak_bytes(run, device) for name, run in contenders(args, v).items()}
        row = {"V": v}
        for form in ("state", "input"):
            row |= {f"loop_{form}_s": s[f"loop_{form}"], f"{form}_s": s[form]}
            row |= {f"speedup_{form}": s[f"loop_{form}"] / s[form]}
            row |= {f"memory_{form}": m[form] / m[f"loop_{form}"]}
        row |= {"spline_s": s["spline"], "against_published": s["loop_state"] / s["spline"]}
        rows.append(row)
    return rows


def verdict(row: dict) -> str:
    words = []
    for form in ("state", "input"):
        met = row[f"speedup_{form}"] >= TARGETS["speedup"] and row[f"memory_{form}"] <= TARGETS["memory"]
        words.append(f"{form} {'met' if met else 'MISSED'}")
    return f"{TARGETS['speedup']}x, memory {TARGETS['memory']}: " + ", ".join(words)


def markdown(rows: list[dict], args) -> str:
    lines = [
        f"Training step of the frame predictor with rotations, C_{args.orientations}, {args.fields} fields, "
        f"{args.frames} + {args.horizon} frames, {args.size}x{args.size}, batch {args.batch}; medians of "
        f"{args.rounds} interleaved rounds. Memory is a share of the loop's.",
        f"{machine(args)}.",
        "",
        "| " + " | ".join([*FORMATS, "target"]) + " |",
        "|" + "---|" * (len(FORMATS) + 1),
    ]
    for row in rows:
        cells = [format(row[name], form) for name, form in FORMATS.items()]
        lines.append("| " + " | ".join([*cells, verdict(row)]) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--velocities", type=int, nargs="+", default=[1, 5, 9], help="|V|, odd")
    parser.add_argument("--orientations", type=int, default=12)
    parser.add_argument("--fields", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=28, help="side of the canvas, pixels")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--horizon", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("results/bench"), help="folder of the tables")
    args = parser.parse_args(arguments)
    args.dtype = "float32"
    torch.set_num_threads(args.threads)
    rows = compare(args)
    text = markdown(rows, args)
    print(text, end="")
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "rotation.md").write_text(text)
    table = [",".join(FORMATS), *(",".join(f"{row[name]:.6g}" for name in FORMATS) for row in rows)]
    (args.output / "rotation.csv").write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
