"""Speed and memory of a training step of the frame predictor with rotations, against the plain loop over V.

    python -m benchmarks.rotation [--velocities 1 5 9] [--rounds 5] ...

Five contenders run forward and backward in one process, in turn, round after round; seconds are medians over
the rounds, speed-ups ratios of medians (`benchmarks.frame_predictor` says how both are measured):

"state" and "input" are the two forms of `RotationCell`, bilinear, and each has its plain loop: the same
function by `grid_sample`, `roll` and `conv2d`, slice by slice, filters expanded once per sequence as in ours.
"spline" is our default, "input" with splines. The state's loop is the published one; `against_published` is
how many times faster than it the default runs, though the two are not the same function: ours is the more
exact (`RotationCell` says by how much).
"""

from __future__ import annotations

import torch

from benchmarks import reference_rotation as reference
from benchmarks import tables
from eqflow.motion import FramePredictor, RotationCell
from eqflow.study.notebooks.meters import peak_bytes
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
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    frames = frames.to(device, dtype)
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
        model = model.to(device, dtype)

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
    device = torch.device(args.device)
    spent = [tables.in_turn(contenders(args, v), args.rounds, device) for v in args.velocities]
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


def main(arguments: list[str] | None = None) -> None:
    sizes = {"orientations": 12, "fields": 2, "batch": 8, "size": 28, "frames": 10, "horizon": 10}
    args = tables.options(__doc__, velocities=[1, 5, 9], rounds=5, **sizes).parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows = compare(args)
    text = (
        f"Training step of the frame predictor with rotations, C_{args.orientations}, {args.fields} fields, "
        f"{args.frames} + {args.horizon} frames, {args.size}x{args.size}, batch {args.batch}; medians of "
        f"{args.rounds} interleaved rounds. Memory is a share of the loop's.\n{tables.machine(args)}.\n\n"
    )
    tables.save(args.output, "rotation", text + tables.markdown(rows, FORMATS, verdict), rows)


if __name__ == "__main__":
    main()
