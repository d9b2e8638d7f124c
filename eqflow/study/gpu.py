"""`make gpu`: the first hours on a GPU, most telling first; called again, it goes on where it was.

Tests on the device; benchmarks; a calibration; then runs of the paper profile at a stated budget, which the
run store resumes. What is done is not done again, unless its code has changed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from .files import cache_dir, digest, project_root, published_dir, write_json
from .runs.calibration import rates
from .runs.precision import PRECISIONS

TESTED = ("tests/symmetry", "tests/motion", "tests/density", "tests/study/runs/test_precision.py")
# Notebooks in the order of what their runs tell: two digits, turning, speeds between, residual densities,
# points, coupling densities; with the share of the hours that each may take.
TELLING = {"16": 0.3, "13": 0.25, "20": 0.1, "36": 0.15, "35": 0.1, "37": 0.1}
MISSING = """eqflow: no CUDA device. `make gpu` needs one, and a PyTorch built for it; this is {version}.
  nvidia-smi                                    is there a GPU, and a driver?
  make env TORCH=torch TORCH_INDEX=<index of its CUDA builds>
  make doctor                                   what this machine has and lacks
`make test` tests the way to a GPU without one, on a pretended device (tests/device)."""


@dataclass(frozen=True)
class Step:
    """A command; `once`: not again after it went well, as long as the code is the same."""

    name: str
    command: tuple[str, ...]
    once: bool = True


def steps(hours: float, budget: float) -> list[Step]:
    """All of it, in order; the hours are those of the runs."""
    found = [
        Step("tests", ("-m", "pytest", "-q", "--device", "cuda", *TESTED)),
        Step("benchmarks", ("-m", "benchmarks", "--device", "cuda")),
        Step("calibration", ("-m", "eqflow.study.gpu", "--calibrate")),
    ]
    about = ("--profile", "paper", "--device", "cuda", "--budget", f"{budget:g}")
    for number, share in TELLING.items():
        command = ("-m", "eqflow.study", "train", "--nb", number, *about, "--hours", f"{share * hours:g}")
        found.append(Step(f"runs of {number}", command, once=False))
    command = ("-m", "eqflow.study", "reproduce", "--nb", ",".join(TELLING), *about, "--hours", "0.01")
    return [*found, Step("notebooks", command, once=False)]


def code() -> str:
    """Of everything that a step runs."""
    rooms = (project_root() / room for room in ("eqflow", "tests", "benchmarks"))
    files = sorted(path for room in rooms for path in room.rglob("*.py"))
    return digest(*(path.read_bytes() for path in files))


def go(todo: Sequence[Step], call: Callable[[Sequence[str]], int], done: Path) -> list[str]:
    """Call what is not done yet; the names of the steps that failed. One that fails holds up no other."""
    failed, now = [], code()
    done.mkdir(parents=True, exist_ok=True)
    for step in todo:
        mark = done / step.name.replace(" ", "_")
        if step.once and mark.exists() and mark.read_text() == now:
            print(f"eqflow: {step.name}: done before", flush=True)
            continue
        print(f"eqflow: {step.name}: python {' '.join(step.command)}", flush=True)
        if call([sys.executable, *step.command]):
            failed.append(step.name)
        elif step.once:
            mark.write_text(now)
    return failed


def calibrate() -> None:
    """Write the rates of this device beside the benchmarks."""
    device = torch.device("cuda", 0)
    found = {precision: asdict(rates(device, precision)) for precision in PRECISIONS}
    write_json(
        published_dir() / "bench" / "gpu_rates.json", {"device": torch.cuda.get_device_name(0)} | found
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if all went well, 1 if a step failed, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0, help="of training")
    parser.add_argument("--budget", type=float, default=0.02, help="share of every run's steps")
    parser.add_argument("--calibrate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print(MISSING.format(version=torch.__version__), file=sys.stderr)
        return 2
    if options.calibrate:
        calibrate()
        return 0
    failed = go(steps(options.hours, options.budget), subprocess.call, cache_dir() / "gpu")
    print(f"eqflow: failed: {', '.join(failed)}; the same command goes on" if failed else "eqflow: all done")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
