"""How good a plan is: predicted against measured seconds of a training step, for a few runs on this device.

python -m benchmarks.plan [--device cuda] [--rounds 5]
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks import tables
from eqflow.study.experiments import runs_for
from eqflow.study.runs.calibration import rates
from eqflow.study.runs.counting import count_step

RUNS = {"12": ("grnn", "fernn_v2"), "13": ("fernn_v4",), "17": ("fernn_v2",), "35": ("c8",)}
RUNS |= {"36": ("d4", "fm_c4"), "37": ("d4",)}
LIMIT = 1.5  # predicted over measured, or the other way round


def measured(spec, device: torch.device, rounds: int) -> float:
    """Seconds of a step, the median of some after one to warm up."""
    module = spec.load_module()
    torch.default_generator.manual_seed(spec.seed)
    model = module.build(spec.config).to(device)
    task = module.task(spec.config, spec.seed, model, device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        task.loss(task.batch()).backward()
        optimizer.step()

    return tables.in_turn({spec.model: step}, rounds, device)[spec.model]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and write it to plan.md and plan.csv."""
    args = tables.options(__doc__, rounds=5).parse_args(arguments)
    torch.set_num_threads(args.threads)
    device, rows = torch.device(args.device), []
    for number, models in RUNS.items():
        for spec in [s for s in runs_for(number, "quick", seeds=[0]) if s.model in models][: len(models)]:
            predicted, found = rates(device).seconds(count_step(spec)), measured(spec, device, args.rounds)
            ratio = predicted / found
            rows.append(
                {"notebook": int(number), "predicted_s": predicted, "measured_s": found, "ratio": ratio}
            )
            print(f"{number} {spec.experiment} {spec.model}: {ratio:.2f}", flush=True)
    formats = {"notebook": "d", "predicted_s": ".4f", "measured_s": ".4f", "ratio": ".2f"}

    def verdict(row: dict) -> str:
        return "met" if 1 / LIMIT <= row["ratio"] <= LIMIT else f"not met (within {LIMIT})"

    text = "Training steps of the quick profile: predicted by counting, and measured.\n"
    text += f"{tables.machine(args)}.\n\n{tables.markdown(rows, formats, verdict)}"
    tables.save(args.output, "plan", text, rows)


if __name__ == "__main__":
    main()
