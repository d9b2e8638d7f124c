"""Speed and memory of a training step of the action classifier, against the plain loop over V.

    python -m benchmarks.kth [--velocities 1 9 25] [--channels 128] [--batch 2] [--padding circular] ...

Everything is measured as in `benchmarks.frame_predictor`: forward and backward in one process, in turn, round
after round; seconds are medians over the rounds, and speed-ups are ratios of medians. "loop" is the published
form, whose encoder is the same stack of PyTorch layers, fed with all frames at once as ours is. The encoder's
widths are a quarter, half and all of `--channels`. "G-RNN+" and "3-D CNN" (half the channels, as published)
are ours.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

from benchmarks import reference_kth
from benchmarks.frame_predictor import machine, peak_bytes, seconds
from eqflow.motion import ActionClassifier, Conv3dClassifier
from eqflow.symmetry import translation_grid

TARGETS = {9: 2.0, 25: 2.0}  # |V|: speed-up
FORMATS = {  # of the columns
    "V": "d",
    "loop_s": ".3f",
    "ours_s": ".3f",
    "speedup": ".2f",
    "loop_MiB": ".0f",
    "ours_MiB": ".0f",
    "memory": ".3f",
    "learned_s": ".3f",
}


def contenders(args, v: int) -> dict:
    """One training step of each, by name; loop and ours with the same weights, all with the same input."""
    device = torch.device(args.device)
    generator = torch.Generator().manual_seed(0)
    motions = translation_grid((round(v**0.5) - 1) // 2)
    widths = args.channels // 4, args.channels // 2, args.channels
    options = {"motions": motions, "channels": widths, "padding": args.padding}
    ours = ActionClassifier(**options)
    learned = ActionClassifier(**options, learned_shifts=True)
    cnn = Conv3dClassifier(channels=tuple(k // 2 for k in widths))
    for model in (ours, learned, cnn):
        model.reset_parameters(generator)
        model.to(device)
    video = torch.rand(args.batch, args.frames, 1, args.size, args.size, generator=generator).to(device)
    labels = torch.randint(6, (args.batch,), generator=generator).to(device)
    weights = {**dict(ours.named_parameters()), **dict(ours.named_buffers())}
    velocities = [(m.vx, m.vy) for m in motions]

    def loop(video):
        return reference_kth.classify(weights, velocities, video, args.padding, training=True, keep=False)[0]

    def train(model, predict):
        model.zero_grad()
        F.cross_entropy(predict(video), labels).backward()

    return {
        "loop": lambda: train(ours, loop),
        "ours": lambda: train(ours, ours),
        "learned": lambda: train(learned, learned),
        "3-D CNN": lambda: train(cnn, cnn),
    }


def measure(args, v: int) -> tuple[dict, float]:
    """A row of the table, and the seconds of the 3-D CNN."""
    runs, device = contenders(args, v), torch.device(args.device)
    for run in runs.values():
        run()
    rounds = [{name: seconds(run, device) for name, run in runs.items()} for _ in range(args.rounds)]
    spent = {name: median(turn[name] for turn in rounds) for name in runs}
    held = {name: peak_bytes(runs[name], device) / 2**20 for name in ("loop", "ours")}
    values = [v, spent["loop"], spent["ours"], spent["loop"] / spent["ours"]]
    values += [held["loop"], held["ours"], held["ours"] / held["loop"], spent["learned"]]
    return dict(zip(FORMATS, values, strict=True)), spent["3-D CNN"]


def verdict(row: dict) -> str:
    wanted = TARGETS.get(row["V"])
    return "" if wanted is None else f"{wanted}x " + ("met" if row["speedup"] >= wanted else "MISSED")


def markdown(rows: list[dict], args, cnn: float) -> str:
    lines = [
        f"Training step of the action classifier, {args.frames} frames, {args.size}x{args.size}, batch "
        f"{args.batch}, {args.channels} channels, {args.padding} padding; medians of {args.rounds} "
        "interleaved rounds.",
        f"{machine(args)}. learned_s: G-RNN+. 3-D CNN with {args.channels // 2} channels: {cnn:.3f} s.",
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
    parser.add_argument("--velocities", type=int, nargs="+", default=[1, 9, 25], help="|V|, odd squares")
    parser.add_argument("--channels", type=int, default=32, help="of the recurrence; 128 as published")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=32, help="side of the frames, pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--padding", default="zero", choices=["zero", "circular"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("results/bench"), help="folder of the tables")
    args = parser.parse_args(arguments)
    args.dtype = "float32"
    torch.set_num_threads(args.threads)
    measured = [measure(args, v) for v in args.velocities]
    rows = [row for row, _ in measured]
    text = markdown(rows, args, measured[0][1])
    print(text, end="")
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "kth.md").write_text(text)
    table = [",".join(FORMATS), *(",".join(f"{row[name]:.6g}" for name in FORMATS) for row in rows)]
    (args.output / "kth.csv").write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
