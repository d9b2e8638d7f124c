"""Sizes and budgets of action recognition, for `profiles`."""

from __future__ import annotations

from dataclasses import replace

from .settings import ModelSettings, RecognitionSettings, line, square

STILL = line(0)

# --- quick: 16x16 or a little more, two or three seeds, minutes ---------------------------------------------

# The camera moves along x only: five slices then hold all its velocities, and small nets get the steps that
# they need. All five models have about 5,000 parameters, as all of the paper's have about 240,000. Clips are
# standardized: over 255 alone, as published, the brightness of the wall outweighs the figure before it, and
# nets as narrow as these stay near chance.
# Tuned by one rule: the learning rate among .0025, .005 and .01 that is best on 125 further drawn people
# (750 clips of the crowds 8 to 12, neither trained nor tested), seed 0, one velocity per clip. The recurrent
# nets share a rate, tuned on the G-RNN; the cheap nets, which see no slices, get three times the steps, and
# were not tried at .0025. Accuracy there after 300 steps (cheap: 900): one frame .741 at .005, .787 at .01;
# 3-D CNN .589, .657; G-RNN .740, .768, .525 at the three; at .005 G-RNN+ .729, FERNN-V1 .865, FERNN-V2 .844.
# With seed 1 FERNN-V2 had .840 after 320 steps and .845 after 400. Eight frames, two apart, take a quarter
# longer; FERNN-V2 had .819 after 224 steps of them.
ACTIONS = RecognitionSettings(
    max_speed=(2, 0),
    test_speeds=(),
    test_crowds=5,
    canvas={"embedded": 16, "real": 32},
    channels=(8, 12, 16),
    padding="circular",
    readout_norm=True,
    frames=6,
    stride=3,
    standardize=True,
    batch_size=16,
    steps=300,
    lr=5e-3,
    schedule="cosine",
    warmup=20,
    val_every=50,
    models={
        "cnn3d": ModelSettings(
            STILL, 0.01, steps_factor=3, options={"net": "conv3d", "channels": (3, 6, 9), "lr": 0.01}
        ),
        "grnn_plus": ModelSettings(line(-1, 0, 1), 0.06, options={"net": "learned_shifts"}),
        "grnn": ModelSettings(STILL, 0.035),
        "fernn_v1": ModelSettings(line(-1, 0, 1), 0.042),
        "fernn_v2": ModelSettings(line(-2, -1, 0, 1, 2), 0.07),
    },
)
# What postures tell; no camera changes it, so once is enough.
ONE_FRAME = {
    "one_frame": ModelSettings(STILL, 0.008, steps_factor=3, options={"net": "one_frame", "lr": 0.01})
}
RECOGNITION_QUICK: dict[str, RecognitionSettings] = {
    "actions_fixed": replace(ACTIONS, models=ACTIONS.models | ONE_FRAME),
    "actions_redrawn": replace(ACTIONS, camera="redrawn"),
    "actions_switch": replace(ACTIONS, camera="switch"),
    "actions_slow": replace(
        ACTIONS,
        max_speed=(1, 0),
        test_speeds=(0, 2),
        models={m: ACTIONS.models[m] for m in ("grnn", "fernn_v2")},
    ),
}


# --- smoke: quick in seconds --------------------------------------------------------------------------------


def smoke(sizes: RecognitionSettings) -> RecognitionSettings:
    """The same experiment, so small that it only shows that the code runs."""
    few = {"batch_size": 4, "steps": 6, "val_every": 2, "seeds": 1, "channels": (4, 4, 4), "frames": 4}

    def narrow(of: ModelSettings) -> ModelSettings:
        return replace(of, options={k: (4, 4, 4) if k == "channels" else v for k, v in of.options.items()})

    models = {name: narrow(of) for name, of in sizes.models.items()}
    return replace(sizes, **few, models=models)


RECOGNITION_SMOKE = {name: smoke(sizes) for name, sizes in RECOGNITION_QUICK.items()}


# --- paper: the published sizes -----------------------------------------------------------------------------

# Steps: an epoch of KTH has the 1,517 training sequences that are long enough, the last, smaller batch too.
KTH_EPOCH = -(-1517 // 32)
KTH = replace(
    ACTIONS,
    max_speed=2,
    test_crowds=0,
    stride=2,
    padding="zero",
    readout_norm=False,
    channels=(32, 64, 128),
    frames=16,
    standardize=False,
    batch_size=32,
    steps=500 * KTH_EPOCH,
    lr=3e-4,
    schedule="constant",
    warmup=0,
    val_every=KTH_EPOCH,  # the best of 500 epochs is chosen, as published
    precision="tf32",
    seeds=None,
    memory_mb=20_000,
    models={
        "cnn3d": ModelSettings(STILL, 0.05, options={"net": "conv3d", "lr": 1e-3, "channels": (16, 32, 64)}),
        "grnn_plus": ModelSettings(square(2), 0.6, options={"net": "learned_shifts", "lr": 1e-4}),
        "grnn": ModelSettings(STILL, 0.05),
        "fernn_v1": ModelSettings(square(1), 0.15),
        "fernn_v2": ModelSettings(square(2), 0.3),
    },
)
RECOGNITION_PAPER: dict[str, RecognitionSettings] = {
    "actions_fixed": replace(
        KTH,
        models=KTH.models | {"one_frame": ModelSettings(STILL, 0.03, options={"net": "one_frame"})},
    ),
    "actions_redrawn": replace(KTH, camera="redrawn"),
    "actions_switch": replace(KTH, camera="switch"),
    "actions_slow": replace(KTH, max_speed=1, test_speeds=(0, 2)),
}
