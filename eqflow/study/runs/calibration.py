"""How fast a device is, by a second of measuring; and what counted work takes at these rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
import torch.nn.functional as F

from eqflow.motion import FramePredictor, TranslationCell
from eqflow.symmetry import translation_grid

from .counting import Count, counted
from .precision import computing_in

# Operations of one measured call: large enough to be no launch, small enough for a short calibration.
SIZE = {"cpu": 4e7, "cuda": 2e11}
SIDE = {"cpu": 16, "cuda": 32}  # pixels of a convolution's image
BYTES = {"cpu": 2**20, "cuda": 2**28}  # of a copy; on a CPU what steps move lies in its caches


@dataclass(frozen=True)
class Rates:
    """Of one device (on a CPU of one thread) in one precision.

    Attributes:
        launch: seconds that one operator costs its host, Python and autograd included.
        convolutions: operations a second by channels, as `Count` has them.
        products, double: operations a second of matrix products in single and in double precision.
        bandwidth: bytes a second, read and written.
        overlaps: whether the host launches while the device computes.
    """

    launch: float
    convolutions: Mapping[str, float] = field(hash=False)
    products: float
    double: float
    bandwidth: float
    overlaps: bool

    def seconds(self, count: Count) -> float:
        """What counted work takes."""
        host = count.launches * self.launch
        device = count.moved / self.bandwidth
        device += count.products / self.products + count.double / self.double
        device += sum(flop / self._convolution(width) for width, flop in count.convolutions.items())
        return max(host, device) if self.overlaps else host + device

    def _convolution(self, width: str) -> float:
        """Of channels that were not measured: of the nearest that were."""
        bits = int(width).bit_length()
        nearest = min(self.convolutions, key=lambda known: abs(int(known).bit_length() - bits))
        return self.convolutions[nearest]


def assumed(precision: str) -> Rates:
    """Of a chip of the H100 class, where there is none to measure: sustained rates, taken on trust."""
    convolutions = {"float32": 45e12, "tf32": 260e12, "bfloat16": 520e12}[precision]
    products = 520e12 if precision == "bfloat16" else 45e12
    return Rates(1e-5, {"128": convolutions}, products, 30e12, 2.8e12, overlaps=True)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The least of three, each long enough to be measured; on a CPU those of its thread alone."""
    cuda = device.type == "cuda"
    clock = time.perf_counter if cuda else time.thread_time

    def timed(times: int) -> float:
        if cuda:
            torch.cuda.synchronize(device)
        began = clock()
        for _ in range(times):
            work()
        if cuda:
            torch.cuda.synchronize(device)
        return (clock() - began) / times

    times = max(1, min(50, int(0.01 / max(timed(1), 1e-6))))
    return min(timed(times) for _ in range(3))


def _convolution(width: int, device: torch.device) -> float:
    """Operations a second of a 3x3 convolution to 16 channels or more, forward and backward."""
    side, kind, wide = SIDE[device.type], device.type, max(width, 16)
    each = 3 * 2 * 9 * width * wide * side**2
    batch = max(1, round(SIZE[kind] / each))
    x = torch.rand(batch, width, side, side, device=device).to(memory_format=torch.channels_last)
    w = torch.rand(wide, width, 3, 3, device=device).to(memory_format=torch.channels_last)
    x.requires_grad_(), w.requires_grad_()
    y = F.conv2d(x, w, padding=1)
    grad = torch.ones_like(y)

    def work() -> None:
        torch.autograd.grad(F.conv2d(x, w, padding=1), (x, w), grad)

    return batch * each / _seconds(work, device)


def _product(dtype: torch.dtype, device: torch.device) -> float:
    side = 256 if device.type == "cpu" else 4096
    a = torch.rand(side, side, device=device, dtype=dtype)
    return 2 * side**3 / _seconds(lambda: a @ a, device)


def _launch(device: torch.device) -> float:
    """A step of a net so small that nothing but launches counts."""
    torch.default_generator.manual_seed(0)

    def tiny(on: torch.device | str) -> torch.nn.Module:
        return FramePredictor(TranslationCell(1, 2, motions=translation_grid(1)), decoder_layers=2).to(on)

    def step(on: torch.device | str) -> Callable[[], object]:
        net, video = tiny(on), torch.zeros(1, 4, 1, 6, 6, device=on)
        return lambda: net(video, 4).square().mean().backward()

    return _seconds(step(device), device) / counted(step("meta")).launches


@lru_cache
def rates(device: torch.device, precision: str = "float32") -> Rates:
    """Measured now, once in this process; the global generator is left as it was."""
    before, cpu = torch.get_num_threads(), device.type == "cpu"
    widths = (1, 4, 16, 64) if cpu else (1, 16, 64, 128, 512, 1024)
    if cpu:
        torch.set_num_threads(1)
    try:
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
        with torch.random.fork_rng(devices=[]), computing_in(precision), autocast:
            x = torch.zeros(BYTES[device.type] // 4, device=device)
            return Rates(
                launch=_launch(device),
                convolutions={str(width): _convolution(width, device) for width in widths},
                products=_product(torch.float32, device),
                double=_product(torch.float64, device),
                bandwidth=2 * x.numel() * 4 / _seconds(lambda: x.add_(1.0), device),
                overlaps=not cpu,
            )
    finally:
        torch.set_num_threads(before)
