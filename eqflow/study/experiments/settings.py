"""What an experiment can be told: the settings of a run, and how they become its config.

The numbers that are used stand in `profiles`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from eqflow.data import image_set_here

# Motions of a model, as JSON: velocities (vx, vy) in px/frame, or angular velocities in deg/frame.
Motions = tuple[tuple[int, int], ...] | tuple[float, ...]


def square(vmax: int) -> Motions:
    """Every whole velocity of [-vmax, vmax]^2, x outer and y inner."""
    speeds = range(-vmax, vmax + 1)
    return tuple((vx, vy) for vx in speeds for vy in speeds)


def line(*speeds: int) -> Motions:
    """Horizontal velocities."""
    return tuple((vx, 0) for vx in speeds)


@dataclass(frozen=True)
class ModelSettings:
    """One model of an experiment.

    Attributes:
        motions: its generator set; the zero motion alone makes a G-RNN, and a density has none.
        seconds_per_step: a guess for one training step on one thread of a present CPU (paper: on a GPU); only
            for plans, until a run has been measured.
        steps_factor: trained for this multiple of the experiment's steps.
        seeds: at most so many of the profile's seeds (None: as many as the experiment).
        options: what replaces the experiment's own settings, such as {"velocity_mixing": 3}.
    """

    motions: Motions | None
    seconds_per_step: float
    steps_factor: float = 1
    seeds: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every experiment has.

    Attributes:
        canvas: side in pixels, or (height, width), by source of the data.
        lr, betas, eps, weight_decay, clip, schedule, warmup, ema: as `eqflow.training.train` takes them.
        best: the column of the validation whose best weights are kept; None: the last weights.
        precision: what a run computes in, as `eqflow.study.runs.precision` knows it.
        seeds: at most so many of the profile's.
        memory_mb: of one run, a guess for plans.
    """

    models: Mapping[str, ModelSettings]
    canvas: Mapping[str, int | tuple[int, int]] = field(default_factory=lambda: {"embedded": 16, "real": 28})
    batch_size: int = 8
    steps: int = 640
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float | None = 1.0
    schedule: str = "constant"
    warmup: int = 0
    ema: float | None = None
    val_every: int = 32
    best: str | None = None
    precision: str = "float32"
    seeds: int | None = None
    memory_mb: float = 700

    def config(self, model: str, *, data: str, budget: float) -> dict:
        """Everything that decides a run of `model`, resolved to plain JSON values (guesses left out).

        A budget below 1 also takes its share of held-out videos, points and images, but leaves 64.
        """
        chosen = self.models[model]
        values = {k: v for k, v in asdict(self).items() if k not in ("models", "memory_mb", "seeds")}
        values |= {"canvas": self.canvas[data], "motions": chosen.motions, **chosen.options}
        values["steps"] = max(1, round(self.steps * chosen.steps_factor * budget))
        values["warmup"] = min(values["warmup"], values["steps"] // 2)  # a small budget has a short one
        # Curves have as many points at every budget and length.
        values["val_every"] = max(1, round(self.val_every * values["steps"] / self.steps))
        for name in values.keys() & {"val_size", "test_size"}:
            values[name] = min(values[name], max(64, round(values[name] * min(1.0, budget))))
        return json.loads(json.dumps(values))

    def seeds_of(self, model: str, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """Those of a profile's seeds that a model is trained with."""
        return seeds[: self.models[model].seeds or self.seeds]


@dataclass(frozen=True, kw_only=True)
class PredictionSettings(Settings):
    """Next-frame prediction of moving digits; speeds in px or deg per frame, sizes in videos.

    Attributes:
        video: "translating", "rotating" or "bouncing".
        max_speed: of translations and bounces; (x, y) for limits of their own.
        speeds: the angular velocities that rotating digits have.
        orientations: None for translations; N of the C_N fields for rotations, of which there are
            channels / N.
        decoder, pool, rollout, velocity_mixing, nonlinearity, start: of the model; rotate, interpolation: of
            a rotation's.
        train_images: how many of the training images are used; None for all.
    """

    video: str = "translating"
    digits: int = 1
    max_speed: int | tuple[int, int] = 2
    speeds: tuple[float, ...] = ()
    orientations: int | None = None
    input_frames: int = 10
    horizon: int = 10
    channels: int = 16
    decoder_layers: int = 4
    decoder: str = "equivariant"
    rotate: str = "input"
    interpolation: str = "spline"
    pool: str = "max"
    rollout: str = "recurrent"
    velocity_mixing: int = 1
    nonlinearity: str = "relu"
    start: str = "uniform"
    kernel_size: int = 3
    train_images: int | None = None
    val_size: int = 64
    test_size: int = 512


@dataclass(frozen=True, kw_only=True)
class RivalSettings(PredictionSettings):
    """The same by models of neither paper; of the model, `channels`, `kernel_size`, `decoder_layers` and (of
    the told one) `start` are used.

    Attributes:
        net: "convlstm", or "told" (a G-RNN with the velocity beside every frame).
    """

    net: str = "convlstm"


@dataclass(frozen=True, kw_only=True)
class DensitySettings(Settings):
    """Maximum likelihood of points or images; sizes in events. `canvas` is the shape of an event.

    Attributes:
        source: a toy density ("eight_gaussians", "rings") or an image set, by source of the data.
        layer: "residual", "coupling", "glow", "flow_matching" or "polar" (points); soft: coupling with the
            original's scale network; splines: bins of a glow's, 0 for none.
        group: of the layers, "C1" (plain), "C4", "D4", ...; "O(2)" for polar maps and flow matching.
        symmetry: the group that moves test events, the same for all models.
        augment: the group whose elements move training events at random, or None.
        hidden_fields: regular fields of every hidden layer of a net; for flow matching one number, at points
            of channels.
        blocks, scales: layers of a scale; scales, with a squeeze between two.
        coefficient: bound on the norm of a residual net's layers; activation, steepness: between them;
            roulette: options of its estimate.
        alpha: of the logit.
        train_size: how many training events there are; None for all images.
        test_logdet: "exact", or "estimate" where residual layers are too many and too large for it.
        orbit_size: how many of the test events are moved by all of `symmetry`; None for all.
    """

    source: Mapping[str, str]
    layer: str = "residual"
    soft: bool = False
    splines: int = 0
    group: str = "C1"
    symmetry: str = "D4"
    augment: str | None = None
    hidden_fields: tuple[int, ...] = (8, 8)
    blocks: int = 4
    scales: int = 1
    coefficient: float = 0.98
    activation: str = "lipswish"
    steepness: float = 1.0
    roulette: Mapping[str, Any] = field(default_factory=dict)
    padding: str = "zero"
    alpha: float = 0.05
    train_size: int | None = None
    val_size: int = 64
    test_size: int = 48
    orbit_size: int | None = None
    test_logdet: str = "exact"

    def config(self, model: str, *, data: str, budget: float) -> dict:
        """As in `Settings`, with the shape of an event in place of a canvas and motions."""
        values = super().config(model, data=data, budget=budget)
        values["event"] = values.pop("canvas")
        name = self.source[data]
        if name == "cifar10" and not image_set_here(name) and image_set_here("cifar10_subset"):
            name = "cifar10_subset"  # captions name it as what it is
        values["source"] = name
        del values["motions"]
        return values


@dataclass(frozen=True, kw_only=True)
class RecognitionSettings(Settings):
    """Action recognition under a simulated camera motion; `channels` are those of the encoder's layers.

    Attributes:
        camera: "fixed" (one velocity per clip), "redrawn" (whenever a clip is shown) or "switch" (redrawn,
            and again half-way).
        max_speed: of the camera in training, px/frame, or (x, y); velocities are whole, uniform on [-r, r]
            in each direction.
        test_speeds: further values of r that the trained model is tested at.
        test_crowds: so many times 25 further drawn people are tested, in one take each; KTH has none.
        frames, stride: of a clip: its length, and every how many-th frame of the source.
        standardize: give each clip mean 0 and standard deviation 1; published: grey levels over 255 alone.
        net: "recurrent", "learned_shifts" (G-RNN+), "conv3d", or "one_frame" (its middle frame is all that it
            is shown).
        padding: of the encoder, "zero" (published) or "circular".
        norm: whose statistics its batch norms take in training, of each "frame" (published) or "joint".
        readout_norm: a batch norm without gain and bias before the linear readout, into which it folds.
        best: the column of the validation, "val_accuracy" (the highest) or "val_loss", whose best weights are
            tested.
    """

    camera: str = "fixed"
    max_speed: int | tuple[int, int] = 2
    test_speeds: tuple[int, ...] = ()
    test_crowds: int = 0
    frames: int = 16
    stride: int = 2
    standardize: bool = False
    channels: tuple[int, ...] = (32, 64, 128)
    net: str = "recurrent"
    padding: str = "zero"
    norm: str = "frame"
    readout_norm: bool = False
    best: str = "val_accuracy"
