"""G-residual layers: x + g(x) with g equivariant and contractive, hence equivariant and invertible."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from eqflow.symmetry import PlanarGroup
from eqflow.symmetry.linear import GroupLinear, representation
from eqflow.symmetry.steerable import SteerableConv2d, field_channels

from . import logdet as log_dets
from .bijection import Bijection
from .contraction import ContractiveNet, Map, expanded_together
from .lipschitz import BoundedConv2d, BoundedLinear, LipSwish, Sine

ACTIVATIONS = {"lipswish": LipSwish, "sine": Sine}
ESTIMATORS = {"exact": log_dets.exact, "series": log_dets.series, "roulette": log_dets.roulette}


@dataclass(frozen=True)
class InverseReport:
    """How an inverse was found.

    Attributes:
        iterations: Evaluations of g.
        residual: max |x + g(x) - z| over the batch, at the last x but one; that of x itself is smaller.
        tolerance: What the residual had to fall below.
    """

    iterations: int
    residual: float
    tolerance: float


@torch.no_grad()
def invert(g: Map, z: Tensor, *, tolerance: float | None = None, max_iterations: int = 2000):
    """Solve x + g(x) = z by x <- z - g(x), which converges to the one solution if g is a contraction.

    Args:
        g: (B, ...) -> (B, ...).
        z: (B, ...).
        tolerance: Of max |x + g(x) - z|; default: 100 rounding units of the largest number in z, or of 1.
        max_iterations: Then it gives up.

    Returns:
        x, and an `InverseReport`.

    Raises:
        RuntimeError: If the residual is not below the tolerance in time, or is NaN.
    """
    if tolerance is None:
        largest = max(1.0, z.abs().max().item()) if z.numel() else 1.0
        tolerance = 100 * torch.finfo(z.dtype).eps * largest
    x, residual = z, 0.0
    for iteration in range(1, max_iterations + 1):
        y = g(x)
        following = z - y
        residual = (following - x).abs().max().item() if z.numel() else 0.0
        x = following
        if residual <= tolerance:
            return x, InverseReport(iteration, residual, tolerance)
        if not residual < float("inf"):
            break
    raise RuntimeError(
        f"expected the fixed-point inverse to reach a residual of {tolerance:.2g}; got {residual:.2g} after "
        f"{iteration} iterations. {_reason(y, z, iteration)}"
    )


def _reason(y: Tensor, z: Tensor, iteration: int) -> str:
    """Why y = g(x) did not bring x + y to z."""
    if iteration == 1 and not y.isfinite().all():
        return "g is not finite"
    if torch.finfo(y.dtype).eps > torch.finfo(z.dtype).eps:
        return f"g comes in {y.dtype}, too coarse for z in {z.dtype}: is autocast on?"
    if z.is_cuda and z.dtype == torch.float32 and torch.backends.cudnn.allow_tf32:
        return "torch.backends.cudnn.allow_tf32 is True, and TF32 rounds to three digits"
    return "Is g a contraction?"


class GResidual(Bijection):
    """z = x + g(x), with g commuting with a planar group and contractive.

    Events (C, H, W) are images of trivial or regular fields, moved by `group.act_image` or `group.act_field`;
    g is a chain of steerable convolutions, exactly equivariant for C1, C2, C4, D1, D2, D4. Events (D,) are
    fields at a point, by default plane vectors; exact for every C_n and D_n. `cyclic(1)` gives the plain
    layer.

    The layer is one function of its weights, in training and out of it: decode inverts encode to rounding.

    Args:
        group: C_n or D_n.
        event_shape: (C, H, W) or (D,).
        field_type: Of x and z: "trivial" (default) or "regular" for images; "vector" (default), "trivial" or
            "regular" at a point.
        hidden_fields: Regular fields of every hidden layer, one or more layers.
        kernel_sizes: Of the convolutions, one more than hidden layers.
        padding: Of the convolutions, "zero" or "circular".
        coefficient: Bound on the norm of every layer, in (0, 1). Published: .98 for images, .9 for points.
        concatenation: i-DenseNet style hidden layers; needs two or more.
        activation: Between the layers, "lipswish" (published) or "sine".
        steepness: First b of every activation.
        logdet: "exact", "series" (biased) or "roulette" (unbiased, random).
        logdet_options: Keyword arguments of `eqflow.density.logdet.exact` (of images; at points there are
            none to choose), `series` or `roulette`.
        generator: For the first weights.

    Attributes:
        generator: Of the estimators' random numbers, None for torch's own; on the device of x.
        inverse_report: `InverseReport` of the last decode, None before.

    Raises:
        ValueError: When fields, kernels or options do not fit.

    Source: Bose et al. (2021), Proposition 1; Behrmann et al. (2019) and Chen et al. (2019) for the plain
    layer.
    """

    def __init__(
        self,
        group: PlanarGroup,
        event_shape: tuple[int, ...],
        *,
        field_type: str | None = None,
        hidden_fields: Sequence[int] = (8, 8),
        kernel_sizes: Sequence[int] = (3, 1, 3),
        padding: str = "zero",
        coefficient: float = 0.98,
        concatenation: bool = False,
        activation: str = "lipswish",
        steepness: float = 1.0,
        logdet: str = "exact",
        logdet_options: dict | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__(event_shape)
        image = len(event_shape) == 3
        field_type = field_type or ("trivial" if image else "vector")
        if len(event_shape) not in (1, 3):
            raise ValueError(f"expected an event (C, H, W) or (D,); got {tuple(event_shape)}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"expected an activation among {tuple(ACTIVATIONS)}; got {activation!r}")
        if logdet not in ESTIMATORS:
            raise ValueError(f"expected logdet among {tuple(ESTIMATORS)}; got {logdet!r}")
        known = inspect.signature(ESTIMATORS[logdet]).parameters.keys() - {"x", "y", "generator"}
        if unknown := sorted(set(logdet_options or {}) - known):
            raise ValueError(f"expected logdet_options among {sorted(known)} ({logdet}); got {unknown}")
        if concatenation and len(hidden_fields) < 2:
            raise ValueError(f"expected two hidden layers or more to concatenate; got {tuple(hidden_fields)}")
        ends = _fields(group, event_shape[0], field_type, image)
        fields = _chain(ends, hidden_fields, concatenation)
        types = [
            (field_type, "regular"),
            *[("regular", "regular")] * (len(fields) - 2),
            ("regular", field_type),
        ]
        if image:
            if len(kernel_sizes) != len(fields):
                raise ValueError(f"expected {len(fields)} kernel sizes; got {tuple(kernel_sizes)}")
            layers = [
                BoundedConv2d(
                    SteerableConv2d(group, *counts, in_type=a, out_type=b, kernel_size=k, padding=padding),
                    event_shape[1:],
                    coefficient=coefficient,
                    generator=generator,
                )
                for counts, (a, b), k in zip(fields, types, kernel_sizes, strict=True)
            ]
        else:
            layers = [
                BoundedLinear(
                    GroupLinear(group, *counts, in_type=a, out_type=b),
                    coefficient=coefficient,
                    generator=generator,
                )
                for counts, (a, b) in zip(fields, types, strict=True)
            ]
        self.group, self.field_type, self.coefficient = group, field_type, coefficient
        self.logdet, self.logdet_options = logdet, dict(logdet_options or {})
        bends = [ACTIVATIONS[activation](n, group.field_size, start=steepness) for n in hidden_fields]
        self.net = ContractiveNet(layers, bends, concatenation=concatenation)
        self.generator: torch.Generator | None = None
        self.inverse_report: InverseReport | None = None

    @property
    def contraction(self) -> ContractiveNet:
        """The net of g."""
        return self.net

    @staticmethod
    def together(links: Iterable[Bijection]) -> AbstractContextManager:
        """Within it the filters of all links are expanded, those of one kind in one go."""
        return expanded_together([link.contraction for link in links if isinstance(link, GResidual)])

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew: every layer of norm `coefficient`, biases 0, the first b."""
        self.net.reset_parameters(generator)

    def lipschitz_bound(self) -> float:
        """A Lipschitz constant of g, at most coefficient^layers (coefficient^2 with concatenation)."""
        return self.net.lipschitz_bound()

    @property
    def exact(self) -> bool:
        """Whether log-determinants are exact."""
        return self.logdet == "exact"

    def estimate(self, x: Tensor) -> tuple[Tensor, log_dets.LogDet]:
        """z and its log-determinant with standard error; `encode` gives the value alone."""
        if torch.is_inference_mode_enabled():  # the Jacobian needs gradients, which that mode rules out
            with torch.inference_mode(False), torch.no_grad():
                return self.estimate(x.clone())
        return self._estimate(self.net.expand(), x)

    def _estimate(self, g: Map, x: Tensor) -> tuple[Tensor, log_dets.LogDet]:
        if self.exact and x.ndim == 2:
            units = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
            y, columns = g(x, units[:, None])
            return x + y, log_dets.of_jacobian(columns.movedim(0, -1))
        if torch._C._are_functorch_transforms_active():
            raise RuntimeError(
                f"expected no transform of torch.func around a {type(self).__name__}, which differentiates "
                "on its own to find its Jacobian; use torch.autograd"
            )
        parameters = (parameter.requires_grad for parameter in self.parameters())
        differentiate = torch.is_grad_enabled() and (x.requires_grad or any(parameters))
        with torch.enable_grad():
            if not (differentiate and x.requires_grad):
                x = x.detach().requires_grad_()
            y = g(x)
        options = self.logdet_options | ({} if self.exact else {"generator": self.generator})
        with torch.set_grad_enabled(differentiate):
            return x + y, ESTIMATORS[self.logdet](x, y, **options)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, found = self.estimate(x)
        return z, found.value

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                return self._decode(z.clone())
        g = self.net.expand()
        x, self.inverse_report = invert(g, z)
        if torch.is_grad_enabled():
            x = _with_gradient(g, z, x)
        return x, -self._estimate(g, x)[1].value


def _with_gradient(g: Map, z: Tensor, x: Tensor) -> Tensor:
    """x as a function of z and of the weights: its cotangent a becomes (I + J)^-T a, by the same
    iteration."""
    out = z - g(x)
    if not out.requires_grad:
        return out
    leaf = x.requires_grad_()
    moved = g(leaf)

    def transposed(row: Tensor) -> Tensor:
        return torch.autograd.grad(moved, leaf, row, retain_graph=True)[0]

    def through_inverse(a: Tensor | None) -> Tensor | None:  # to rounding of a itself: means have small ones
        if a is None:  # nobody asked for x
            return None
        largest = a.abs().max().item() if a.numel() else 0.0
        return invert(transposed, a, tolerance=100 * torch.finfo(a.dtype).eps * largest)[0]

    out.register_hook(through_inverse)
    return out.view_as(out)  # another tensor, or products with the Jacobian at x would meet the hook


def _fields(group: PlanarGroup, channels: int, field_type: str, image: bool) -> int:
    """How many fields an event has."""
    size = field_channels(group, field_type) if image else len(representation(group, field_type, 0))
    if channels % size:
        raise ValueError(f"expected channels in fields of {size} ({field_type}, {group}); got {channels}")
    return channels // size


def _chain(ends: int, hidden: Sequence[int], concatenation: bool) -> list[tuple[int, int]]:
    """(fields in, fields out) of every layer; concatenated, a layer also takes what the ones before took."""
    if not hidden or min(hidden) < 1:
        raise ValueError(f"expected one or more hidden layers of one or more fields; got {tuple(hidden)}")
    taken = [ends, hidden[0]]
    for count in hidden[1:]:
        taken.append(taken[-1] + count if concatenation else count)
    return list(zip(taken, [*hidden, ends], strict=True))
