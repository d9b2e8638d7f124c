"""Wrong answers to notebook 12: each must fail its check."""

import torch


def peak(first, second, cross=lambda a, b: torch.fft.fft2(b) * torch.fft.fft2(a).conj()):
    found = cross(first, second)
    picture = torch.fft.ifft2(found / found.abs().clamp(min=1e-12)).real
    y, x = divmod(int(picture.argmax()), picture.shape[1])
    return x, y, *picture.shape[::-1]


def signed(x, y, width, height):
    return (x + width // 2) % width - width // 2, (y + height // 2) % height - height // 2


def shifted(frame, v):
    return torch.roll(frame, (v[1], v[0]), (-2, -1))


def mean_velocity(frame, listed):
    vx, vy = (round(sum(c) / len(listed)) for c in zip(*listed, strict=True))
    return shifted(frame, (vx, vy))


WRONG = {
    "12.1": {
        "the other way": lambda a, b: signed(*peak(b, a)),
        "rows taken for x": lambda a, b: signed(*peak(a, b))[::-1],
        "no negative velocities": lambda a, b: peak(a, b)[:2],
        "no conjugate": lambda a, b: signed(*peak(a, b, lambda a, b: torch.fft.fft2(b) * torch.fft.fft2(a))),
        "at rest": lambda a, b: (0, 0),
    },
    "12.2": {
        "one of the futures": lambda frame, listed: shifted(frame, listed[1]),
        "the maximum": lambda frame, listed: torch.stack([shifted(frame, v) for v in listed]).amax(0),
        "the mean velocity": mean_velocity,
        "black": lambda frame, listed: torch.zeros_like(frame),
        "grey": lambda frame, listed: torch.full_like(frame, float(frame.mean())),
        "all of them": lambda frame, listed: torch.stack([shifted(frame, v) for v in listed]),
        "a little too dark": lambda frame, listed: (
            0.99 * torch.stack([shifted(frame, v) for v in listed]).mean(0)
        ),
    },
}
