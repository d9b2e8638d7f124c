"""Speed and memory of a training step of the action classifier, against the plain loop over V.

    python -m benchmarks.kth [--velocities 1 9 25] [--channels 128] [--batch 2] [--padding circular] ...

Everything is measured as in `benchmarks.frame_predictor`: forward and backward in one process, in turn, round
after round; seconds are medians over the rounds, and speed-ups are ratios of medians. "loop" is the published
form, whose encoder is the same stack of PyTorch layers, called frame by frame. The encoder's
widths are a quarter, half and all of `--channels`. "G-RNN+" and "3-D CNN" (half the channels, as published)
are ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks import reference_kth, tables
from eqflow.motion import ActionClassifier, Conv3dClassifier
from eqflow.study.notebooks.meters import peak_bytes
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
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    generator = torch.Generator().manual_seed(0)
    motions = translation_grid((round(v**0.5) - 1) // 2)
    widths = args.channels // 4, args.channels // 2, args.channels
    options = {"motions": motions, "channels": widths, "padding": args.padding}
    ours = ActionClassifier(**options)
    learned = ActionClassifier(**options, learned_shifts=True)
    cnn = Conv3dClassifier(channels=tuple(k // 2 for k in widths))
    for model in (ours, learned, cnn):
        model.reset_parameters(generator)
        model.to(device, dtype)
    video = torch.rand(args.batch, args.frames, 1, args.size, args.size, generator=generator).to(
        device, dtype
    )
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


def compare(args) -> tuple[list[dict], float]:
    """A row per |V|, and the seconds of the 3-D CNN."""
    device, rows = torch.device(args.device), []
    times = [tables.in_turn(contenders(args, v), args.rounds, device) for v in args.velocities]
    for v, spent in zip(args.velocities, times, strict=True):  # memory after all timing, as it moves malloc
        runs = contenders(args, v)
        held = {name: peak_bytes(runs[name], device) / 2**20 for name in ("loop", "ours")}
        values = [v, spent["loop"], spent["ours"], spent["loop"] / spent["ours"]]
        values += [held["loop"], held["ours"], held["ours"] / held["loop"], spent["learned"]]
        rows.append(dict(zip(FORMATS, values, strict=True)))
    return rows, times[0]["3-D CNN"]


def verdict(row: dict) -> str:
    wanted = TARGETS.get(row["V"])
    return "" if wanted is None else f"{wanted}x " + ("met" if row["speedup"] >= wanted else "MISSED")


def main(arguments: list[str] | None = None) -> None:
    sizes = {"channels": 32, "batch": 4, "size": 32, "frames": 16}
    parser = tables.options(__doc__, velocities=[1, 9, 25], rounds=3, **sizes)
    parser.add_argument("--padding", default="zero", choices=["zero", "circular"])
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows, cnn = compare(args)
    text = (
        f"Training step of the action classifier, {args.frames} frames, {args.size}x{args.size}, batch "
        f"{args.batch}, {args.channels} channels, {args.padding} padding; medians of {args.rounds} "
        f"interleaved rounds.\n{tables.machine(args)}. learned_s: G-RNN+. 3-D CNN with "
        f"{args.channels // 2} channels: {cnn:.3f} s.\n\n"
    )
    tables.save(args.output, "kth", text + tables.markdown(rows, FORMATS, verdict), rows)


if __name__ == "__main__":
    main()
