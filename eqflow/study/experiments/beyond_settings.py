"""What experiments beyond both papers can be told, in addition to `settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .settings import DensitySettings, Motions, PredictionSettings, Settings


@dataclass(frozen=True, kw_only=True)
class WorldSettings(Settings):
    """A camera over a world (`canvas`) larger than its view; sizes in films.

    Attributes:
        net: "map" (`WorldMap`), "still" (told that the camera stands), "published", "conv" or "gru".
        view: side in pixels, by source of the data.
        digits, max_speed, max_step: of the world and of the camera, px/frame, as `digit_world` takes them;
            the longest step by source of the data.
        input_frames, horizon: seen, and predicted in training; test_horizon: in the test.
    """

    canvas: Mapping[str, int] = None
    view: Mapping[str, int] = None
    max_step: Mapping[str, int] = None
    net: str = "map"
    digits: int = 4
    max_speed: int = 1
    input_frames: int = 14
    horizon: int = 10
    test_horizon: int = 100
    channels: int = 16
    decoder_layers: int = 2
    val_size: int = 32
    test_size: int = 64

    def config(self, model: str, *, data: str, budget: float) -> dict:
        """As in `Settings`, with the sizes for this data."""
        values = super().config(model, data=data, budget=budget)
        return values | {name: getattr(self, name)[data] for name in ("view", "max_step")}


@dataclass(frozen=True, kw_only=True)
class LinearSettings(PredictionSettings):
    """Next-frame prediction by a linear recurrence; of the model, `channels` and `kernel_size` are used."""


@dataclass(frozen=True, kw_only=True)
class FoundSettings(PredictionSettings):
    """The same with velocities that are found; of the model, `channels`, `kernel_size`, `start` and
    `decoder_layers` are used.

    Attributes:
        count: how many velocities are looked for.
    """

    count: int = 1


@dataclass(frozen=True, kw_only=True)
class FilmSettings(Settings):
    """Likelihood of films of small drifting pictures.

    Attributes:
        frames: of a film; warm: so many of them are not scored, while nothing is known of the motion.
        train_speeds: along x, px/frame, of training films; test_speeds: (vx, vy) of test films.
        noise: standard deviation of the pixels' noise, where grey is in [0, 1].
        channels: of the recurrence; start: of its weights.
        blocks, components, width: of the map of a frame.
    """

    frames: int = 6
    warm: int = 3
    train_speeds: tuple[int, ...] = (0,)
    test_speeds: Motions = ((0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 1))
    noise: float = 0.1
    channels: int = 12
    start: str = "identity"
    blocks: int = 2
    components: int = 4
    width: int = 16
    val_size: int = 64
    test_size: int = 200


@dataclass(frozen=True, kw_only=True)
class MatchingSettings(DensitySettings):
    """Flow matching in the plane.

    Attributes:
        frequencies: sines and cosines of every coordinate, or for the group O(2) of the radius.
    """

    frequencies: int = 0


@dataclass(frozen=True, kw_only=True)
class GatedSettings(PredictionSettings):
    """Next-frame prediction by gated recurrences."""
