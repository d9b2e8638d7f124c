"""What torch.compile would buy a training step of G-residual layers; not in `make bench`: it compiles long.

    python -m benchmarks.compile_residual [--fields 8] [--blocks 1] [--batch 16] [--size 28] ...

PyTorch cannot compile a layer that differentiates by `torch.autograd.grad` and is differentiated again, as
ours is. So both contenders are the same step written with `torch.func.vjp` and a fixed number of terms (4,
the mean of our roulette), once as it is and once compiled.
"""

from __future__ import annotations

import shutil
import time

import torch

from benchmarks import residual, tables
from eqflow.symmetry import cyclic


def encode(layer, x):
    """As `GResidual.encode` with a series of 4 terms."""
    y, pull = torch.func.vjp(layer.net.expand(), x)
    probe = torch.randint_like(x, 2) * 2 - 1
    row, bracket, value = probe, probe, 0.0
    for k in (1, 2, 3):
        row, sign = pull(row)[0].detach(), 1 if k % 2 else -1
        value = value + sign * (1 / k - 1 / 4) * (row * probe).flatten(1).sum(1)
        bracket = bracket - sign * row
    last = (pull(bracket)[0] * probe).flatten(1).sum(1)
    return x + y, value + last.detach() / 4 + (last - last.detach())


def main(arguments: list[str] | None = None) -> None:
    parser = tables.options(__doc__, rounds=9, fields=8, blocks=1, batch=16, size=28)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        print("torch.compile was not measured: no C++ compiler is installed")
        return
    layers, x = residual.blocks(args, cyclic(4), args.fields), residual.smooth_images(args, args.batch)
    compiled = torch.compile(residual.loss)
    began = time.perf_counter()
    compiled(encode, layers, x).backward()
    first = time.perf_counter() - began
    runs = {
        "plain": lambda: residual.loss(encode, layers, x).backward(),
        "compiled": lambda: compiled(encode, layers, x).backward(),
    }
    spent = tables.in_turn(runs, args.rounds, torch.device(args.device))
    gain = spent["plain"] / spent["compiled"]
    print(
        f"Training step of {args.blocks} G-residual layers: {spent['plain']:.3f} s, compiled "
        f"{spent['compiled']:.3f} s: {gain:.2f}x; the first took {first:.0f} s.\n{tables.machine(args)}."
    )


if __name__ == "__main__":
    main()
