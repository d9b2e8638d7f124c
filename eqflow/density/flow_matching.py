r"""Flow matching: a density given by a vector field, learned without likelihoods.

With z ~ N(0, 1), a datum y and t in [0, 1], the field v learns the mean of y - z given (1 - t) z + t y and t,
by least squares. Following dx/dt = v(x, t) from t = 0 to 1 then turns noise into data, and along the way

    d log p(x(t)) / dt = -div v(x(t), t).

If v commutes with a group of isometries at every t, so does the whole map, and as the base does not change
under it, p is invariant (Theorem 1 of Bose et al., 2021): exactly, whatever the number of steps.

Source: Lipman et al., Flow Matching for Generative Modeling (2023), with straight paths; Köhler et al.,
Equivariant Flows (2020), for equivariant fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup
from eqflow.symmetry.constants import made_once
from eqflow.symmetry.steerable import SteerableConv2d

from .bases import StandardNormal
from .bijection import fits
from .flow import finite
from .logdet import signs
from .squeeze import Squeeze

FREQUENCIES = 16


class FlowMatching(nn.Module):
    """The density of what a vector field makes of normal noise.

    Args:
        field: (x (B, *event_shape), t (B,)) -> (B, *event_shape), such as an `ImageField`.
        event_shape: Of one event.
        scale, shift: The field sees y = scale x + shift; numbers in [0, 1] go well with 4 and -2.
        logit_normal: In training t = sigmoid(n), n ~ N(0, 1), which is seldom near the ends; else uniform.
        steps: Runge-Kutta steps of order 4 from t = 0 to t = 1.
        probes: Random sign vectors that estimate the divergence, drawn once for a whole path (Hutchinson);
            None: exact, by as many vector-Jacobian products as an event has numbers.

    Attributes:
        generator: Of the probes, None for torch's own; on the device of x.
    """

    classes = None

    def __init__(
        self,
        field: nn.Module,
        event_shape: tuple[int, ...],
        *,
        scale: float = 1.0,
        shift: float = 0.0,
        logit_normal: bool = False,
        steps: int = 40,
        probes: int | None = None,
    ):
        super().__init__()
        if not scale > 0 or steps < 1 or (probes is not None and probes < 1):
            raise ValueError(f"expected scale > 0, steps >= 1, probes >= 1; got {scale}, {steps}, {probes}")
        self.field, self.base = field, StandardNormal(event_shape)
        self.scale, self.shift, self.logit_normal = scale, shift, logit_normal
        self.steps, self.probes = steps, probes
        self.generator: torch.Generator | None = None

    @property
    def exact(self) -> bool:
        """Whether divergences are exact; the error of the steps is another matter."""
        return self.probes is None

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Squared error of the field per number, at a random time for every event: (B, *event_shape) -> (B,).

        It falls with the field's error, but not to 0, and is no likelihood.
        """
        about = {"generator": generator, "device": x.device, "dtype": x.dtype}
        y, z = self.scale * x + self.shift, torch.randn(x.shape, **about)
        t = torch.randn(len(x), **about).sigmoid() if self.logit_normal else torch.rand(len(x), **about)
        on_the_way = torch.lerp(z, y, t.view(-1, *[1] * (x.ndim - 1)))
        return (self.field(on_the_way, t) - (y - z)).square().flatten(1).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        """As `log_prob`."""
        return self.log_prob(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats: x (B, *event_shape) -> (B,); -inf where x is infinite.

        Differentiable, but every step of every path is remembered then: train by `loss`.
        """
        if not fits(x, self.base.event_shape):
            wanted = ", ".join(map(str, self.base.event_shape))
            raise ValueError(f"expected (B, {wanted}); got {tuple(x.shape)}")
        x, infinite = finite(x)
        rows = self._rows(x)

        def rate(state: Tensor, t: float) -> Tensor:  # of the event and of its log-determinant, (B, D + 1)
            velocity, divergence = self._velocity(state[:, :-1].view_as(x), t, rows)
            return torch.cat([velocity.flatten(1), divergence[:, None]], 1)

        start = torch.cat([(self.scale * x + self.shift).flatten(1), x.new_zeros(len(x), 1)], 1)
        end = runge_kutta(rate, start, 1.0, 0.0, self.steps)
        log_det = end[:, -1] + self.base.size * math.log(self.scale)
        return (self.base.log_prob(end[:, :-1].view_as(x)) + log_det).masked_fill(infinite, -math.inf)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, *, steps: int | None = None) -> Tensor:
        """n independent draws (n, *event_shape), without gradients, in `steps` if given."""
        z = self.base.sample(n, generator)
        y = runge_kutta(lambda y, t: self.field(y, y.new_full((n,), t)), z, 0.0, 1.0, steps or self.steps)
        return (y - self.shift) / self.scale

    def extra_repr(self) -> str:
        """Steps, and how divergences are found."""
        how = "exact" if self.exact else f"{self.probes} probes"
        return f"steps={self.steps}, divergence: {how}"

    def _rows(self, x: Tensor) -> Tensor:
        """(R, B, *event_shape), so that div v is the mean of row^T J row, J the Jacobian of v."""
        if not self.exact:
            return signs(x, self.probes, self.generator)
        size = self.base.size
        units = torch.eye(size, dtype=x.dtype, device=x.device) * math.sqrt(size)
        return units.view(size, 1, *x.shape[1:]).expand(-1, *x.shape)

    def _velocity(self, x: Tensor, t: float, rows: Tensor) -> tuple[Tensor, Tensor]:
        """v (B, *event_shape), and its divergence (B,): the mean of row^T J row over the rows."""
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            if not (keep and x.requires_grad):
                x = x.detach().requires_grad_()
            v = self.field(x, x.new_full((len(x),), t))
            divergence = x.new_zeros(len(x))
            for row in rows:
                product = torch.autograd.grad(v, x, row, retain_graph=True, create_graph=keep)[0]
                divergence = divergence + (product * row).flatten(1).sum(1) / len(rows)
        return (v, divergence) if keep else (v.detach(), divergence)


def runge_kutta(
    rate: Callable[[Tensor, float], Tensor], y: Tensor, start: float, end: float, steps: int
) -> Tensor:
    """Follow dy/dt = rate(y, t) from one time to another, in equal steps of order 4."""
    h = (end - start) / steps
    for i in range(steps):
        t = start + i * h
        k1 = rate(y, t)
        k2 = rate(y + h / 2 * k1, t + h / 2)
        k3 = rate(y + h / 2 * k2, t + h / 2)
        k4 = rate(y + h * k3, t + h)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def waves(x: Tensor, frequencies: Tensor) -> Tensor:
    """x (..., F) and the cosines and sines of all products with frequencies (n,): (..., F (1 + 2 n))."""
    angles = (x[..., None] * frequencies).flatten(-2)
    return torch.cat([x, angles.cos(), angles.sin()], -1)


def _of_time(t: Tensor) -> Tensor:
    """(B,) -> (B, 1 + 2 n), periods from 2 pi to 2 pi / 100."""
    exponents = torch.linspace(0, math.log(100), FREQUENCIES, dtype=t.dtype, device=t.device)
    return waves(t[:, None], exponents.exp())


class ImageField(nn.Module):
    """A field on images of even sides that commutes with C1, C2, C4, D1, D2 or D4.

    The 2x2 squeeze, residual blocks of steerable convolutions on regular fields, and back. In a block one
    scale and one shift per field, made of the time, act on all channels of a field alike, and the norm is
    over all channels and pixels; so both commute with the group.

    Args:
        group: Of the field; `cyclic(1)` for a plain one.
        channels: Of the images, every one of which is a trivial field.
        fields: Regular fields of the hidden layers.
        blocks: How many residual blocks.

    Source: Karras et al. (2022) and Perez et al. (FiLM, 2018) for what nets of denoising have in common.
    """

    def __init__(self, group: PlanarGroup, channels: int = 1, *, fields: int = 24, blocks: int = 4):
        super().__init__()
        self.squeeze = Squeeze(group, channels)
        lift = self.squeeze.encoded_type.lift()
        ends = len(lift) // len(group)
        self.register_buffer("lift", lift, persistent=False)
        self.first = SteerableConv2d(group, ends, fields)
        self.blocks = nn.ModuleList(
            nn.ModuleList(SteerableConv2d(group, fields, fields, gain=gain) for gain in (2.0, 0.1))
            for _ in range(blocks)
        )
        self.last = SteerableConv2d(group, fields, ends, gain=0.1)
        self.film = nn.Sequential(
            nn.Linear(1 + 2 * FREQUENCIES, 64), nn.SiLU(), nn.Linear(64, 2 * fields * blocks)
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:  # (B, C, H, W), (B,) -> (B, C, H, W)
        lift, size = self.lift.to(x), len(self.squeeze.group)
        h = self.first(torch.einsum("ij,bjhw->bihw", lift, self.squeeze.encode(x)[0]))
        film = self.film(_of_time(t)).unflatten(1, (len(self.blocks), 2, -1)).repeat_interleave(size, 3)
        film = film[..., None, None].movedim(0, 2)  # (blocks, 2, B, channels, 1, 1)
        for (scale, shift), (first, second) in zip(film, self.blocks, strict=True):
            more = first(F.silu(F.group_norm(h, 1) * (1 + scale) + shift))
            h = h + second(F.silu(more))
        out = torch.einsum("ij,bihw->bjhw", lift, self.last(F.silu(F.group_norm(h, 1))))
        return self.squeeze.decode(out)[0]


class PlaneField(nn.Module):
    """A field on points of the plane that commutes with C_n or D_n: v(x, t) = mean over g of g^-1 f(g x, t).

    f is a net of any kind, here of three hidden layers, which sees sines of the coordinates too: what is thin
    in space is of high frequency, which a net learns late. It costs as much as |G| evaluations of f.

    Args:
        group: `cyclic(1)` for a plain field.
        width: Of the hidden layers.
    """

    def __init__(self, group: PlanarGroup, *, width: int = 64):
        super().__init__()
        self.group = group
        self.net = _net(2, width, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:  # (B, 2), (B,) -> (B, 2)
        elements = _matrices(self.group, x.dtype, x.device)
        moved = torch.einsum("gij,bj->gbi", elements, x)
        time = _of_time(t).expand(len(elements), -1, -1)
        found = self.net(torch.cat([_of_space(moved), time], -1))
        return torch.einsum("gij,gbi->bj", elements, found) / len(elements)


class RadialField(nn.Module):
    """v(x, t) = a(|x|, t) x: commutes with all of O(2), and is as general as it need be for p(|x|).

    Args:
        width: Of a's three hidden layers.
    """

    def __init__(self, *, width: int = 64):
        super().__init__()
        self.net = _net(1, width, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:  # (B, 2), (B,) -> (B, 2)
        radius = (x.square().sum(1, keepdim=True) + 1e-6).sqrt()  # smooth at 0
        return self.net(torch.cat([_of_space(radius), _of_time(t)], 1)) * x


@made_once(maxsize=64)
def _matrices(group: PlanarGroup, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Of every element, (|G|, 2, 2)."""
    return torch.stack([group.matrix(g) for g in group]).to(device, dtype)


def _of_space(x: Tensor) -> Tensor:
    return waves(x, torch.arange(1, 9, dtype=x.dtype, device=x.device))


def _net(given: int, width: int, made: int) -> nn.Sequential:
    sizes = [17 * given + 1 + 2 * FREQUENCIES, width, width, width]
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers, nn.Linear(width, made))
