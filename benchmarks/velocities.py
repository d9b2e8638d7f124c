"""How a training step of the frame predictor grows with |V|: is its cost a line, and how steep?

    python -m benchmarks.velocities [--velocities 1 3 ... 23] [--batch 8] [--rounds 3] [--device cuda] ...

|V| velocities along x, symmetric about 0, at most 11 px/frame at |V| = 23. The contenders and their weights
are those of `benchmarks.frame_predictor`. A round times every contender at every |V|, so that a change in
what else the machine does bends no line; seconds are medians over the rounds.

The published loop reads slice i of the state as h[:, i]. The gradient of such a slice fills a zero tensor of
the size of the whole state, and |V| of these are added up: its traffic grows as |V|^2. Its line is therefore
bent, and the ratio of slopes depends on how far V reaches; the parabola's R2 stands beside the line's.
"""

from __future__ import annotations

import torch

from benchmarks import tables
from benchmarks.frame_predictor import contenders
from eqflow.study.notebooks.meters import Line, fit_line, peak_bytes
from eqflow.symmetry import MotionSet, Translation

NAMES = ("loop", "unbind", "ours")
R2, STEEPER = 0.99, 3.0  # targets: of our time's line; the loop's slope in units of ours


def along_x(v: int) -> MotionSet:
    """|V| velocities along x, px/frame: -(|V| - 1) / 2, ..., (|V| - 1) / 2."""
    if v < 1 or v % 2 == 0:
        raise ValueError(f"expected an odd number of velocities; got {v}")
    return MotionSet(Translation(speed - v // 2, 0) for speed in range(v))


def measure(args) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds (medians) and MiB at every |V|, by contender."""
    device = torch.device(args.device)
    runs = {v: contenders(args, along_x(v)) for v in args.velocities}
    every = {(v, name): runs[v][name] for v in args.velocities for name in NAMES}
    medians = tables.in_turn(every, args.rounds, device)
    spent = {name: [medians[v, name] for v in args.velocities] for name in NAMES}
    # Afterwards: the profiler changes how malloc serves the next step, and with it that step's page faults.
    held = {name: [peak_bytes(runs[v][name], device) / 2**20 for v in args.velocities] for name in NAMES}
    return spent, held


def targets(time: dict[str, Line]) -> list[str]:
    """What was asked of ours, and whether it came."""
    steeper = time["loop"].slope / time["ours"].slope
    asked = [
        (f"R2 of our time's line above {R2}: {time['ours'].r2:.4f}", time["ours"].r2 > R2),
        (f"the loop's slope {STEEPER:g}x ours or more: {steeper:.2f}x", steeper >= STEEPER),
    ]
    return [f"{text}, {'met' if met else 'MISSED'}" for text, met in asked]


def markdown(args, spent, held, lines: dict[str, dict[str, Line]]) -> str:
    """The measured values with their residuals, then the lines."""
    text = [
        f"Training step of the frame predictor against |V| (velocities along x), {args.frames} + "
        f"{args.horizon} frames, {args.size}x{args.size}, batch {args.batch}, {args.channels} channels; "
        f"medians of {args.rounds} interleaved rounds. {tables.machine(args)}.",
        "",
        "In brackets: the residual from the line.",
        "",
        "| V | "
        + " | ".join(f"{n} (s)" for n in NAMES)
        + " | "
        + " | ".join(f"{n} (MiB)" for n in NAMES)
        + " |",
        "|---" * 7 + "|",
    ]
    for i, v in enumerate(args.velocities):
        cells = [f"{spent[n][i]:.4f} ({lines['time'][n].residuals[i]:+.4f})" for n in NAMES]
        cells += [f"{held[n][i]:.1f} ({lines['memory'][n].residuals[i]:+.1f})" for n in NAMES]
        text.append(f"| {v} | " + " | ".join(cells) + " |")
    text += ["", "| line | intercept | slope per velocity | R2 | R2 of a parabola | slope, loop's / this |"]
    text.append("|---" * 6 + "|")
    for kind, unit in (("time", "s"), ("memory", "MiB")):
        for n, line in lines[kind].items():
            values = f"{line.intercept:.4g} {unit} | {line.slope:.4g} {unit} | {line.r2:.5f} | "
            values += f"{line.quadratic_r2:.5f} | {lines[kind]['loop'].slope / line.slope:.2f}"
            text.append(f"| {kind}, {n} | {values} |")
    return "\n".join([*text, "", *(f"* {line}" for line in targets(lines["time"]))]) + "\n"


def main(arguments: list[str] | None = None) -> None:
    sizes = {"channels": 16, "batch": 8, "size": 28, "frames": 10, "horizon": 10}
    args = tables.options(__doc__, velocities=range(1, 24, 2), rounds=3, **sizes).parse_args(arguments)
    torch.set_num_threads(args.threads)
    spent, held = measure(args)
    lines = {
        kind: {name: fit_line(args.velocities, values[name]) for name in NAMES}
        for kind, values in (("time", spent), ("memory", held))
    }
    columns = {"V": args.velocities}
    columns |= {f"{name}_s": spent[name] for name in NAMES} | {f"{name}_MiB": held[name] for name in NAMES}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    tables.save(args.output, "velocities", markdown(args, spent, held, lines), rows)


if __name__ == "__main__":
    main()
