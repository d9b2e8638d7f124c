"""A tiny experiment for the tests of the store and the engines: a linear map learned from noise.

Its model names say what is wrong with it: "sound", "nan" (at a step), "raises", "dies", "slow"; "meets" waits
until another seed is under way as well, "dies_once" dies if it never did. With a `place` in its config it
leaves there a line for each step: which process made it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

from eqflow.study.runs.spec import RunSpec
from eqflow.study.runs.train import train_run
from eqflow.training import Task

NAME = "toy"
CHECKSUM = "toy data 1"
if "TOY_SAVES_EVERY_STEP" in os.environ:  # in processes that a test cannot reach otherwise
    train_run.__kwdefaults__["save_seconds"] = 0.0


def spec(model="sound", seed=0, **changes) -> RunSpec:
    config = {
        "model": model,
        "steps": 12,
        "lr": 0.01,
        "clip": 1.0,
        "val_every": 4,
        "width": 3,
        "profile": "smoke",
    }
    return RunSpec(NAME, model, seed, config | changes, __name__)


def checksum(config: dict) -> str:
    return CHECKSUM


def build(config: dict) -> nn.Module:
    return nn.Sequential(nn.Linear(4, config["width"]), nn.Dropout(0.1), nn.Linear(config["width"], 1))


def task(config: dict, seed: int, model: nn.Module, device: torch.device) -> Task:
    generator, kind = torch.Generator().manual_seed(seed), config["model"]
    fixed = torch.randn(32, 4, generator=torch.Generator().manual_seed(99))
    step = [0]

    def error(x: torch.Tensor) -> torch.Tensor:
        return (model(x) - x.sum(1, keepdim=True).sin()).square().mean()

    def batch() -> torch.Tensor:
        return torch.randn(8, 4, generator=generator).to(device)

    def loss(x: torch.Tensor) -> torch.Tensor:
        step[0] += 1
        steps = Path(config["place"], f"steps-{kind}-s{seed}") if "place" in config else None
        if steps:
            with open(steps, "a") as file:
                file.write(f"{os.getpid()}\n")
        if kind == "slow":
            time.sleep(0.05)
        if kind == "meets" and step[0] == 1:
            (Path(config["place"]) / f"seed{seed}").touch()
            deadline = time.monotonic() + 120
            while len(list(Path(config["place"]).glob("seed*"))) < 2:
                assert time.monotonic() < deadline, "nobody came"
                time.sleep(0.05)
        if kind == "raises" and step[0] == 3:
            raise RuntimeError("this run is meant to fail")
        if kind == "dies_once" and len(steps.read_text().split()) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "dies" and step[0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        value = error(x)
        return value * float("nan") if kind == "nan" and step[0] == 7 else value

    def validate() -> float:
        model.eval()
        with torch.no_grad():
            value = float(error(fixed))
        model.train()
        return value

    def evaluate() -> dict:
        return {"test_mse": validate(), "threads": torch.get_num_threads()}

    return Task(batch, loss, validate, evaluate, generator)
