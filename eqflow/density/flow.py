"""Densities: a base distribution carried by a bijection, and the average of a density over a group.

Theorem 1 (Bose et al. 2021): an equivariant bijection and an invariant base give an invariant density.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

from .bases import Base
from .bijection import Bijection

Act = Callable[[int, Tensor], Tensor]


class NormalizingFlow(nn.Module):
    r"""The density p(x) = p_base(z) |det dz/dx|, z = bijection.encode(x).

    If encode commutes with a group, log |det dz/dx| does not change under it, and if the base does not
    either, p is invariant (Theorem 1).

    A bijection with classes makes it a conditional density, p(x | label): every method then takes the labels
    as `context`, int64 (B,), or one int for all. For each label it is as invariant as the layers are.

    Args:
        base: A `Base`, or a module of your own with event_shape, log_prob(z) -> (B,) and
            sample(n, generator).
        bijection: From data to the base's events.

    Raises:
        ValueError: When the base's events are not what the bijection encodes to.
    """

    def __init__(self, base: Base, bijection: Bijection):
        super().__init__()
        given, taken = bijection.encoded_shape, tuple(base.event_shape)
        if len(given) != len(taken) or any(a not in (None, b) for a, b in zip(given, taken, strict=True)):
            raise ValueError(f"expected a base on events {given}, as encoded; got one on {taken}")
        self.base, self.bijection = base, bijection

    @property
    def exact(self) -> bool:
        """Whether `log_prob` is exact; otherwise its log-determinant is an estimate."""
        return self.bijection.exact

    @property
    def classes(self) -> int | None:
        """How many labels there are; None for a density without."""
        return self.bijection.classes

    def forward(self, x: Tensor, context: Tensor | int | None = None) -> Tensor:
        """As `log_prob`: what hooks, `torch.compile` and parallel wrappers see."""
        return self.log_prob(x, context)

    def log_prob(self, x: Tensor, context: Tensor | int | None = None) -> Tensor:
        """Log density in nats: x (B, *event_shape) -> (B,); -inf where x is infinite."""
        self.bijection._check(x, self.bijection.event_shape, "encode")
        x, infinite = finite(x)
        z, log_det = self.bijection(x, *self._labels(context, len(x), x.device))
        return (self.base.log_prob(z) + log_det).masked_fill(infinite, -math.inf)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        *,
        temperature: float = 1.0,
        context: Tensor | int | None = None,
    ) -> Tensor:
        """n independent draws (n, *event_shape), without gradients.

        Args:
            n: How many.
            generator: Draws them.
            temperature: The base's draws are multiplied by it, so that below 1 samples come from where the
                density is higher. Not those of p then, but as symmetric: scaling commutes with every turn.
            context: Labels (n,), or one for all.
        """
        if not 0 <= temperature < math.inf:
            raise ValueError(f"expected a temperature >= 0; got {temperature}")
        z = self.base.sample(n, generator) * temperature
        return self.bijection.decode(z, *self._labels(context, n, z.device))[0]

    def rsample_and_log_prob(
        self, n: int, generator: torch.Generator | None = None, *, context: Tensor | int | None = None
    ) -> tuple[Tensor, Tensor]:
        """n draws (n, *event_shape) through which gradients pass, and log p of each (n,), by one decode."""
        z = self.base.sample(n, generator)
        x, log_det = self.bijection.decode(z, *self._labels(context, n, z.device))
        return x, self.base.log_prob(z) - log_det

    def distribution(self, context: int | None = None) -> torch.distributions.Distribution:
        """This density, for one label if it has classes, as a `torch.distributions.Distribution`.

        It samples with the global generator.
        """
        return _Distribution(self, context)

    @staticmethod
    def _labels(context: Tensor | int | None, n: int, device: torch.device) -> list[Tensor]:
        if isinstance(context, int):
            context = torch.full((n,), context, device=device)
        return [] if context is None else [context]


def finite(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (B, ...) with zeros for its infinite events, whose density is 0, and which events these are (B,).

    Sent through a bijection they would become NaN, and so would the gradients of the whole batch.
    """
    infinite = x.isinf().flatten(1).any(1)
    return x.masked_fill(infinite.view(-1, *[1] * (x.ndim - 1)), 0), infinite


class _Distribution(torch.distributions.Distribution):
    """Adapter: events of any leading shape, as `torch.distributions` has them."""

    has_rsample = True

    def __init__(self, density: NormalizingFlow, context: int | None):
        self.density, self.context = density, context
        event_shape = density.bijection.event_shape
        if None in event_shape:  # a bijection for images of any size: the base knows which
            event_shape = density.sample(1, torch.Generator(), context=context).shape[1:]
        super().__init__(event_shape=torch.Size(event_shape), validate_args=False)

    @property
    def arg_constraints(self) -> dict:
        return {}

    @property
    def support(self) -> torch.distributions.constraints.Constraint:
        real = torch.distributions.constraints.real
        return torch.distributions.constraints.independent(real, len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        lead = value.ndim - len(self.event_shape)
        if lead < 0 or value.shape[lead:] != self.event_shape:
            wanted = ", ".join(map(str, self.event_shape))
            raise ValueError(f"expected (..., {wanted}); got {tuple(value.shape)}")
        events = value.reshape(-1, *self.event_shape)
        return self.density.log_prob(events, self.context).view(value.shape[:lead])

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        shape = torch.Size(sample_shape)
        x, _ = self.density.rsample_and_log_prob(shape.numel(), context=self.context)
        return x.view(*shape, *self.event_shape)


class OrbitAverage(nn.Module):
    r"""The density p_G(x) = mean over g of p(g x): exactly invariant, whatever p is.

    The baseline of every comparison. By Jensen's inequality its mean log-likelihood over the orbits of the
    data is never below that of p, at |G| times the cost. That needs exact log-determinants: by the same
    inequality the average of noisy estimates comes out too high, even for a p that is invariant already.

    Args:
        density: With log_prob and sample, such as a `NormalizingFlow`.
        group: C_n or D_n.
        act: (g, x) -> g x on events. It must keep volume and compose exactly, as `group.act_points` and, for
            C2, C4, D2 and D4, `group.act_image` do; interpolated turns give no invariance.
    """

    def __init__(self, density: nn.Module, group: PlanarGroup, act: Act):
        super().__init__()
        self.density, self.group, self.act = density, group, act

    @property
    def exact(self) -> bool:
        """As the density that is averaged."""
        return self.density.exact

    @property
    def classes(self) -> int | None:
        """As the density that is averaged."""
        return getattr(self.density, "classes", None)

    def forward(self, x: Tensor, context: Tensor | int | None = None) -> Tensor:
        """As `log_prob`."""
        return self.log_prob(x, context)

    def log_prob(self, x: Tensor, context: Tensor | int | None = None) -> Tensor:
        """Log density in nats: (B, *event_shape) -> (B,); -inf where x is infinite."""
        labels = [] if context is None else [context]
        x, infinite = finite(x)
        each = torch.stack([self.density.log_prob(self.act(g, x), *labels) for g in self.group])
        return (each.logsumexp(0) - math.log(len(self.group))).masked_fill(infinite, -math.inf)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, **options) -> Tensor:
        """n independent draws: of the density (which gets the options), each moved by a random element."""
        x = self.density.sample(n, generator, **options)
        device = x.device if generator is None else generator.device
        elements = torch.randint(len(self.group), (n,), generator=generator, device=device).to(x.device)
        for g in self.group:
            x[elements == g] = self.act(g, x[elements == g])
        return x

    def extra_repr(self) -> str:
        """The group."""
        return str(self.group)
