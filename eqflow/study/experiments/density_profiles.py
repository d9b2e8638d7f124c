"""What the sizes of densities share, of points (`point_profiles`) and of images (`image_profiles`)."""

from __future__ import annotations

from dataclasses import replace

from .settings import DensitySettings, ModelSettings


def net(group: str, seconds_per_step: float, **options) -> ModelSettings:
    """A density whose layers are equivariant to a group."""
    more = {name: options.pop(name) for name in ("steps_factor", "seeds") if name in options}
    return ModelSettings(None, seconds_per_step, options={"group": group, **options}, **more)


def matching(group: str, seconds_per_step: float, width: int, **options) -> ModelSettings:
    """Flow matching with a field that commutes with a group; its divergence is estimated."""
    options = {"layer": "flow_matching", "test_logdet": "estimate", **options}
    return net(group, seconds_per_step, hidden_fields=(width,), seeds=1, **options)


def smoke(sizes: DensitySettings) -> DensitySettings:
    """The same experiment, so small that it only shows that the code runs."""
    models = {n: replace(m, options={**m.options, "hidden_fields": (2, 2)}) for n, m in sizes.models.items()}
    few = {
        "batch_size": 4,
        "steps": 6,
        "warmup": 2,
        "val_every": 2,
        "seeds": 1,
        "val_size": 4,
        "test_size": 4,
    }
    return replace(sizes, **few, models=models, blocks=2)


def paper(sizes: DensitySettings, **changes) -> DensitySettings:
    """Published settings as far as they are known; guesses of seconds are for a GPU.

    `published.yml` holds every setting beside the published one.
    """
    known = {"seeds": None, "test_size": 10_000, "val_size": 1024, "batch_size": 64, "lr": 1e-3}
    known |= {"betas": (0.9, 0.99), "clip": 1.0, "schedule": "constant", "warmup": 0, "ema": None}
    known |= {"steepness": 1.0}
    return replace(sizes, **{**known, "memory_mb": 30_000, **changes})
