"""The commands behind the Makefile: ``python -m eqflow.study reproduce --nb 12 --profile quick``."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The command line; what an option is called in a request is its `dest`."""
    common = argparse.ArgumentParser(add_help=False)
    add, listed = common.add_argument, {"action": "append", "default": []}
    add("--profile", default="auto", choices=("auto", "smoke", "quick", "night", "paper"))
    add("--nb", dest="notebooks", metavar="NB", **listed, help="12 or 11,12; again for more (default: all)")
    add("--data", default="auto", choices=("auto", "embedded", "real"))
    add("--device", default="auto", help="auto, cpu, cuda")
    add("--budget", type=_above_zero, default=1.0, help="fraction of every run's steps")
    add("--hours", type=_above_zero, help="of training, the most telling runs first")
    add("--fresh", action="store_true", help="train again what is already there")
    add("--engine", default="auto", help="of the training: auto, serial, processes, submitit (SLURM), dask")
    add("--workers", type=_count, help="runs at a time (default: as many as there are places)")
    top = argparse.ArgumentParser(prog="python -m eqflow.study", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for name, (text, _) in COMMANDS.items():
        parents = [] if name == "doctor" else [common]
        sub = commands.add_parser(name, help=text, description=text, parents=parents)
        if name in ("train", "why", "plan", "reproduce"):
            text = "these models only (default: all)"
            sub.add_argument("--model", dest="models", metavar="MODEL", **listed, help=text)
        if name == "reproduce":
            about = {"type": _parameter, "metavar": "NAME=VALUE", "help": "of the notebooks, such as SEED=1"}
            sub.add_argument("-p", "--parameter", dest="parameters", **listed, **about)
    return top


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0; got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0; got {text}")
    return value


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE; got {text}")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (2 for a request that cannot be carried out)."""
    options = vars(parser().parse_args(arguments))
    command = options.pop("command")
    if command == "doctor":
        from .doctor import doctor

        return doctor()
    from .notebooks import reproduce as runner

    if named := os.environ.get("EQFLOW_DATA"):  # relative to here, wherever a notebook runs
        os.environ["EQFLOW_DATA"] = str(Path(named).expanduser().absolute())
    try:
        request = runner.Request(**options | {"parameters": dict(options.get("parameters", ()))})
        return COMMANDS[command][1](runner, request)
    except ValueError as error:  # unknown notebook, parameter, device: one line, no traceback
        print(f"eqflow: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that cannot be written
        print(f"eqflow: {error}; what is done is kept, {_again(**options)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\neqflow: interrupted; {_again(**options)}", file=sys.stderr)
        return 130


def _again(fresh: bool, **_) -> str:
    without = " without FRESH=1 (--fresh)" if fresh else ""
    return f"the same command{without} goes on from here"


def _train(runner, request) -> int:
    from .runs import RunsFailed

    print(request.headline())
    try:
        runs = runner.train(request, runner.find_runs(request))
    except RunsFailed as error:
        print(error, file=sys.stderr)
        return 1
    for run in runs:
        print(f"{run.spec.experiment:24}{run.key:32}{run.status}, {run.seconds:.0f} s")
    return 0


def _plan(runner, request) -> int:
    print(f"{request.headline()}\n\n{runner.plan(request)}", end="")
    return 0


def _why(runner, request) -> int:
    store = runner.work_store()
    for number, specs in runner.find_runs(request).items():
        print(f"notebook {number}: {len(specs)} runs")
        for spec in specs:
            print(f"  {spec.model}-s{spec.seed}: {store.why(spec)}")
    return 0


def _times(runner, request) -> int:
    from .notebooks.times import write_times

    print("\n".join(write_times(request.source, request.results)) or "eqflow: nothing is published yet")
    return 0


def _check(runner, request) -> int:
    from .notebooks.stale import check_results

    if not any(request.results.glob("*/provenance")):
        print("eqflow: nothing is published yet")
        return 0
    profile = None if request.profile == "auto" else request.level.name
    stale = check_results(request.results, request.source, profile)
    print("\n".join(stale) if stale else "eqflow: every published result is as new as what made it")
    return 1 if stale else 0


COMMANDS = {
    "reproduce": (
        "train, run the notebooks, write figures, tables and verdicts into results/",
        lambda runner, request: runner.reproduce(request),
    ),
    "train": ("train the notebooks' runs without Jupyter", _train),
    "plan": ("expected minutes and memory of each notebook on this machine", _plan),
    "why": ("why each run is found, resumed or trained", _why),
    "doctor": ("versions, device, memory, disk, data; what is missing and how to get it", None),
    "times": ("write the published minutes into the notebooks' title cells", _times),
    "check-results": ("fail if a published result is older than what made it", _check),
}

if __name__ == "__main__":
    sys.exit(main())
