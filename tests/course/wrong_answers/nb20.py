"""Wrong answers to notebook 20: each must fail its check."""

import math

WRONG = {
    "20.1": {
        "from end to end": lambda speeds, count: [
            round(speeds[0] + i * (speeds[-1] - speeds[0]) / max(1, count - 1)) for i in range(count)
        ],
        "the slowest": lambda speeds, count: sorted(speeds, key=abs)[:count],
        "the first": lambda speeds, count: speeds[:count],
        "all of them": lambda speeds, count: speeds,
        "none": lambda speeds, count: [],
    },
    "20.2": {
        "the speed rounded": lambda speed, frames: [round(speed)] * frames,
        "the speed cut off": lambda speed, frames: [math.trunc(speed)] * frames,
        "places cut off": lambda speed, frames: [
            math.floor(speed * (t + 1)) - math.floor(speed * t) for t in range(frames)
        ],
        "broken steps": lambda speed, frames: [speed] * frames,
        "a step short": lambda speed, frames: [
            round(speed * (t + 1)) - round(speed * t) for t in range(frames - 1)
        ],
    },
}
