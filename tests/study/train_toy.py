"""Trains one toy run in a process of its own: python train_toy.py STORE MODEL STEPS [MARK]."""

import sys
from pathlib import Path

import toy_experiment

from eqflow.study.runs.store import RunStore
from eqflow.study.runs.train import train_run

if __name__ == "__main__":
    store, model, steps, *mark = sys.argv[1:]
    report = (lambda step, steps, loss: Path(mark[0]).write_text(str(step))) if mark else None
    spec = toy_experiment.spec(model, steps=int(steps))
    run = train_run(spec, RunStore(store), save_seconds=0.0, report=report)
    print(run.volatile["finished"], run.volatile["seconds"])
