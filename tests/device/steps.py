"""What one training step asks of the device, once everything that is made once has been made."""

from __future__ import annotations

from dataclasses import replace

import torch
from pretend import CUDA, Log

from eqflow.study.runs.spec import RunSpec
from eqflow.training import train


class Enough(Exception):
    pass


def third_step(spec: RunSpec, log: Log) -> Log:
    """Of a run on the pretended device, from one batch to the next, without validation."""
    module = spec.load_module()
    torch.default_generator.manual_seed(spec.seed)
    model = module.build(spec.config).to(CUDA)
    task = module.task(spec.config, spec.seed, model, CUDA)
    drawn, found = 0, Log()

    def batch():
        nonlocal drawn
        drawn += 1
        if drawn == 3:
            log.clear()
        if drawn == 4:
            for name, counter in vars(log).items():
                vars(found)[name] = counter.copy()
            raise Enough
        return task.batch()

    names = ("lr", "clip", "betas", "eps", "weight_decay", "ema")
    try:
        train(
            model, replace(task, batch=batch), steps=4, val_every=4, **{n: spec.config[n] for n in names}
        )
    except Enough:
        return found
    raise AssertionError("expected four batches in four steps")
