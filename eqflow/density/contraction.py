"""Nets that cannot stretch, the g of x + g(x); several of one kind get their bounded filters in one go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from .bends import pushed
from .lipschitz import Activation, Bounded, expand_alike

Map = Callable[..., Tensor]

_expanded: ContextVar[dict[nn.Module, Map]] = ContextVar("_expanded", default={})  # noqa: B039 never written to


class ContractiveNet(nn.Module):
    """Equivariant layers of norm at most `coefficient`, with activations between: a contraction g.

    Args:
        layers: `BoundedConv2d` or `BoundedLinear`.
        activations: One fewer, no steeper than 1.
        concatenation: From the second layer on, hand on what came in next to what was made of it, weighted so
            that the pair has norm at most 1 (i-DenseNet, Perugachi-Diaz et al., 2021).
    """

    def __init__(
        self, layers: Sequence[Bounded], activations: Sequence[Activation], *, concatenation: bool = False
    ):
        super().__init__()
        self.layers, self.activations = nn.ModuleList(layers), nn.ModuleList(activations)
        joined = max(0, len(activations) - 1) if concatenation else 0
        # The cosine and sine of an angle each: squares that sum to 1.
        self.angles = nn.Parameter(torch.full((joined,), torch.pi / 4)) if joined else None

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        for module in (*self.layers, *self.activations):
            module.reset_parameters(generator)
        if self.angles is not None:
            nn.init.constant_(self.angles, torch.pi / 4)

    @torch.no_grad()
    def lipschitz_bound(self) -> float:
        """What the norms of the bounded layers bound: a Lipschitz constant of g."""
        norms = [float(layer.operator_norm(layer.expand()[0])) for layer in self.layers]
        first, *middle, last = norms
        if self.angles is not None:  # such a layer makes (cos x, sin y) of x
            pairs = zip(self.angles.tolist(), middle, strict=True)
            middle = [math.hypot(math.cos(angle), math.sin(angle) * norm) for angle, norm in pairs]
        return math.prod([first, *middle, last])

    def kind(self) -> tuple:
        """What nets share that differ in their weights alone."""
        return self.angles is None, *(module.kind() for module in (*self.layers, *self.activations))

    def expand(self) -> Map:
        """g with its filters expanded and bounded, once for as many evaluations as are needed.

        What activations do to every channel by itself is done to the filters before and after them.

        g(x, tangents) also gives the Jacobian of g at points x (B, D), times tangents (T, 1, D): in forward
        mode, so that the gradient of a log-determinant is a first derivative of what was computed.
        """
        return _expanded.get().get(self) or _expand_alike([self])[0]

    def with_filters(self, filters: Sequence[tuple[Tensor, Tensor | None]]) -> Map:
        """g, of a filter and a bias for each layer."""

        def g(x: Tensor, tangents: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
            if tangents is not None:
                return self._with_tangents(filters, x, tangents)
            for i, (layer, (filter, bias)) in enumerate(zip(self.layers, filters, strict=True)):
                y = layer.apply_expanded(x, filter, bias)
                if i == len(self.activations):
                    return y
                y = self.activations[i].bend(y)
                x = torch.cat([x, y], 1) if i and self.angles is not None else y

        return g

    def _with_tangents(self, filters: Sequence[tuple], x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """At points, which go through the layers beside their tangents, as (1 + T, B, channels)."""
        moved = torch.cat([x[None], tangents.expand(-1, len(x), -1)])
        for i, (layer, (filter, bias)) in enumerate(zip(self.layers, filters, strict=True)):
            y = layer.apply_expanded(moved, filter, None)
            if i == len(self.activations):
                return y[0] if bias is None else y[0] + bias, y[1:]
            y = pushed(self.activations[i], y, bias)
            moved = torch.cat([moved, y], 2) if i and self.angles is not None else y

    def forward(self, x: Tensor) -> Tensor:
        """g(x)."""
        return self.expand()(x)


@contextmanager
def expanded_together(nets: Sequence[ContractiveNet]) -> Iterator[None]:
    """Within it `expand` gives what was computed at the beginning, in one go for nets of one kind.

    A step of a chain of small nets is a matter of how many operations there are, not of how large they are.
    """
    kinds: dict[tuple, list[ContractiveNet]] = {}
    for net in nets:
        kinds.setdefault(net.kind(), []).append(net)
    found = {}
    for alike in kinds.values():
        found |= zip(alike, _expand_alike(alike), strict=True)
    token = _expanded.set(_expanded.get() | found)
    try:
        yield
    finally:
        _expanded.reset(token)


def _expand_alike(nets: Sequence[ContractiveNet]) -> list[Map]:
    """`ContractiveNet.expand` of nets of one kind."""
    first, filters, scale = (
        nets[0],
        [],
        None,
    )  # by `scale` what comes in is to be multiplied, channel by channel
    angles = None if first.angles is None else torch.stack([net.angles for net in nets], 1)[..., None]
    for i, layers in enumerate(zip(*(net.layers for net in nets), strict=True)):
        filter, bias = expand_alike(layers)
        axes = [1] * (filter.ndim - 3)
        filter = filter if scale is None else filter * scale.view(len(nets), 1, -1, *axes)
        if i < len(first.activations):
            steepness = torch.stack([net.activations[i].steepness for net in nets])
            before, after = first.activations[i].scales(steepness)
            filter = filter * before.view(*before.shape, 1, *axes)
            bias = None if bias is None else bias * before
            if i and angles is not None:
                scale = torch.cat([angles[i - 1].cos() * scale, angles[i - 1].sin() * after], 1)
            else:
                scale = after
        filters.append(
            zip(filter.unbind(), [None] * len(nets) if bias is None else bias.unbind(), strict=True)
        )
    return [net.with_filters(own) for net, own in zip(nets, zip(*filters, strict=True), strict=True)]
