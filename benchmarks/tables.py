"""What the benchmarks share: options, rounds in turn, the machine's name, tables as Markdown and csv."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import torch

from eqflow.study.notebooks.meters import seconds


def options(
    doc: str, *, velocities: Sequence[int] = (), rounds: int, **sizes: int
) -> argparse.ArgumentParser:
    """A command line with the options of every benchmark, and one for each of the sizes."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    if velocities:
        parser.add_argument("--velocities", type=int, nargs="+", default=list(velocities), help="|V|")
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64", "bfloat16"])
    parser.add_argument("--output", type=Path, default=Path("results/bench"), help="folder of the tables")
    return parser


def in_turn(runs: Mapping[Hashable, Callable], rounds: int, device: torch.device) -> dict[Hashable, float]:
    """Median seconds of each run, all of them once in every round, after one to warm up."""
    for run in runs.values():
        run()
    spent = [{name: seconds(run, device) for name, run in runs.items()} for _ in range(rounds)]
    return {name: median(turn[name] for turn in spent) for name in runs}


def machine(args) -> str:
    """What ran it, without names of hosts."""
    if args.device.startswith("cuda"):
        chip = torch.cuda.get_device_name(args.device)
    else:
        info = Path("/proc/cpuinfo")
        lines = info.read_text().splitlines() if info.exists() else []
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        chip = f"{names[0] if names else platform.processor()}, {args.threads} thread(s)"
        chip += f", {torch.backends.cpu.get_cpu_capability()}"
    return f"{chip}; torch {torch.__version__}; {args.dtype}"


def markdown(rows: Iterable[dict], formats: Mapping[str, str], verdict: Callable[[dict], str]) -> str:
    """A row per dict, each value by its column's format, and the verdict on it."""
    lines = ["| " + " | ".join([*formats, "target"]) + " |", "|" + "---|" * (len(formats) + 1)]
    for row in rows:
        cells = [format(row[name], form) for name, form in formats.items()]
        lines.append("| " + " | ".join([*cells, verdict(row)]) + " |")
    return "\n".join(lines) + "\n"


def save(folder: Path, name: str, text: str, rows: Sequence[Mapping[str, float]]) -> None:
    """Print the text, write it to `name.md`, and the rows with six significant digits to `name.csv`."""
    print(text, end="")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    cells = [[v.replace(",", "") if isinstance(v, str) else f"{v:.6g}" for v in r.values()] for r in rows]
    lines = [",".join(rows[0]), *map(",".join, cells)]
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
