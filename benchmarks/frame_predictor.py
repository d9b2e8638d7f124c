"""Speed and memory of a training step of the frame predictor, against the plain loop over V.

    python -m benchmarks.frame_predictor [--velocities 1 9 25 49] [--device cuda] [--dtype bfloat16] ...

The contenders run forward and backward in one process, in turn, round after round, so that what else the
machine does hits all of them; seconds are medians over the rounds, and speed-ups are ratios of medians.
"loop" is the published form, which reads slice i as h[:, i]; "unbind" is the same loop over h.unbind(1),
whose backward does not fill a zero tensor per slice. Memory is the peak of what PyTorch's allocator holds
during a training step beyond weights and input: from its allocation events on a CPU, from its own counter on
a GPU.

Page faults are a good part of the time of large states: malloc gives them back to the system after each
step, and takes them anew. MALLOC_TRIM_THRESHOLD_=2000000000 MALLOC_MMAP_THRESHOLD_=1000000000 in the
environment avoids it.

GFLOP/s counts the convolutions that the fast form does (2 per multiply-add; forward and both halves of
backward); the yardstick is the best plain convolution, measured in the same run.
"""

from __future__ import annotations

import itertools

import torch

from benchmarks import reference, tables
from eqflow.motion import FramePredictor, TranslationCell
from eqflow.study.notebooks.meters import peak_bytes, seconds
from eqflow.symmetry import MotionSet, translation_grid

TARGETS = {1: (1.5, None), 9: (2.2, 0.45), 25: (3.0, 0.45), 49: (4.5, 0.45)}  # |V|: speed-up, share of memory
FORMATS = {  # of the columns
    "V": "d",
    "loop_s": ".3f",
    "unbind_s": ".3f",
    "ours_s": ".3f",
    "speedup": ".2f",
    "speedup_unbind": ".2f",
    "loop_MiB": ".0f",
    "ours_MiB": ".0f",
    "memory": ".3f",
    "GFLOPs": ".0f",
    "share_of_best": ".0%",
}


def best_convolution(device: torch.device, dtype: torch.dtype) -> float:
    """GFLOP/s of the fastest 3x3 convolution found: both memory layouts, several widths and batches."""
    best = 0.0
    for k, n, layout in itertools.product(
        (16, 32, 64, 128), (8, 32, 128), (torch.contiguous_format, torch.channels_last)
    ):
        if n * k > 4096 and device.type == "cpu":
            continue
        x = torch.randn(n, k, 30, 30, device=device, dtype=dtype).contiguous(memory_format=layout)
        w = torch.randn(k, k, 3, 3, device=device, dtype=dtype).contiguous(memory_format=layout)
        with torch.no_grad():
            spent = min(seconds(lambda x=x, w=w: torch.conv2d(x, w), device) for _ in range(10))
        best = max(best, 2 * 9 * k * k * n * 28 * 28 / spent / 1e9)
    return best


def gflop(args, v: int) -> float:
    """Convolutions of a training step: the state's (none in step 0, one in step 1), decoder's and input's."""
    k, pixels = args.channels, args.batch * args.size**2
    steps = args.frames + args.horizon
    images = ((steps - 2) * v + 1) * k * k + args.horizon * (4 * k * k + k) + steps * k
    return 3 * 2 * 9 * images * pixels / 1e9


def grid(v: int) -> MotionSet:
    """The square grid of |V| velocities."""
    return translation_grid((round(v**0.5) - 1) // 2)


def contenders(args, motions: MotionSet) -> dict:
    """One training step of each, by name: same weights, same input."""
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    generator = torch.Generator().manual_seed(0)
    model = FramePredictor(TranslationCell(1, args.channels, motions=motions))
    model.reset_parameters(generator)
    frames = torch.rand(args.batch, args.frames, 1, args.size, args.size, generator=generator)
    model, frames = model.to(device, dtype), frames.to(device, dtype)
    weights, velocities = dict(model.named_parameters()), [(m.vx, m.vy) for m in motions]

    def train(predict):
        model.zero_grad()
        predict().square().mean().backward()

    def loop(unbind=False):
        return reference.predict(weights, velocities, frames, args.horizon, keep=False, unbind=unbind)[0]

    return {
        "loop": lambda: train(loop),
        "unbind": lambda: train(lambda: loop(unbind=True)),
        "ours": lambda: train(lambda: model(frames, args.horizon)),
    }


def time_all(args, v: int) -> dict[str, float]:
    return tables.in_turn(contenders(args, grid(v)), args.rounds, torch.device(args.device))


def memory_all(args, v: int) -> dict[str, float]:
    runs, device = contenders(args, grid(v)), torch.device(args.device)
    for run in runs.values():
        run()
    return {name: peak_bytes(run, device) / 2**20 for name, run in runs.items() if name != "unbind"}


def compare(args) -> tuple[list[dict], float]:
    """A row per |V|, and the best convolution in GFLOP/s."""
    spent = [time_all(args, v) for v in args.velocities]
    # Afterwards, since both change how malloc serves the next step, and with it that step's page faults.
    peak = best_convolution(torch.device(args.device), getattr(torch, args.dtype))
    held = [memory_all(args, v) for v in args.velocities]
    rows = []
    for v, s, m in zip(args.velocities, spent, held, strict=True):
        speed = gflop(args, v) / s["ours"]
        values = [v, s["loop"], s["unbind"], s["ours"], s["loop"] / s["ours"], s["unbind"] / s["ours"]]
        values += [m["loop"], m["ours"], m["ours"] / m["loop"], speed, speed / peak]
        rows.append(dict(zip(FORMATS, values, strict=True)))
    return rows, peak


def verdict(row: dict) -> str:
    speedup, memory = TARGETS.get(row["V"], (0, None))
    met = row["speedup"] >= speedup and row["memory"] <= (memory or float("inf"))
    wanted = [f"{speedup}x" if speedup else "", f"memory {memory}" if memory else ""]
    return ", ".join(filter(None, wanted)) + (" met" if met else " MISSED") if any(wanted) else ""


def main(arguments: list[str] | None = None) -> None:
    sizes = {"channels": 16, "batch": 8, "size": 28, "frames": 10, "horizon": 10}
    args = tables.options(__doc__, velocities=[1, 9, 25, 49], rounds=7, **sizes).parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows, peak = compare(args)
    text = (
        f"Training step of the frame predictor, {args.frames} + {args.horizon} frames, "
        f"{args.size}x{args.size}, batch {args.batch}, {args.channels} channels; "
        f"medians of {args.rounds} interleaved rounds.\n"
        f"{tables.machine(args)}; best convolution {peak:.0f} GFLOP/s.\n\n"
    )
    tables.save(args.output, "frame_predictor", text + tables.markdown(rows, FORMATS, verdict), rows)


if __name__ == "__main__":
    main()
