"""Wrong answers to notebook 52: each must fail its check."""

import math

import torch


def peak(signed=True, swapped=False):
    """The peak with a slip."""

    def answer(first, second):
        first, second = (second, first) if swapped else (first, second)
        cross = torch.fft.fft2(second) * torch.fft.fft2(first).conj()
        cross = cross / cross.abs().clamp(min=1e-12 * float(cross.abs().max()))
        peaks = torch.fft.ifft2(cross).real
        height, width = peaks.shape
        y, x = divmod(int(peaks.argmax()), width)
        if not signed:
            return x, y
        return (x + width // 2) % width - width // 2, (y + height // 2) % height - height // 2

    return answer


def layers(count=None, sign=-1):
    """The least squares with a slip: fewer frames than there are, or the phases turned round."""

    def answer(frames, v1, v2):
        frames = frames[:count]
        ky, kx = (2 * math.pi * torch.fft.fftfreq(n, dtype=frames.dtype) for n in frames.shape[1:])
        t = torch.arange(len(frames), dtype=frames.dtype)
        angles = [ky[:, None] * vy + kx * vx for vx, vy in (v1, v2)]
        phases = torch.exp(sign * 1j * torch.stack(angles, -1)[:, :, None] * t[:, None])
        waves = torch.fft.fft2(frames).permute(1, 2, 0)[..., None]
        found = torch.linalg.pinv(phases, rtol=1e-6) @ waves
        return torch.fft.ifft2(found[..., 0].permute(2, 0, 1)).real

    return answer


# exercise -> why it is wrong -> the answer (a tuple where the check takes several)
WRONG = {
    "52.1": {
        "counted from 0": peak(signed=False),
        "the frames exchanged": peak(swapped=True),
        "always at rest": lambda first, second: (0, 0),
        "only to the right and down": lambda first, second: tuple(map(abs, peak()(first, second))),
    },
    "52.2": {
        "one frame only": layers(1),
        "phases turned round": layers(sign=1),
        "half each": lambda frames, v1, v2: torch.stack([frames[0], frames[0]]) / 2,
        "one layer has all": lambda frames, v1, v2: torch.stack([frames[0], torch.zeros_like(frames[0])]),
    },
}
