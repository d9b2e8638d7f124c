r"""Bijections of images that are told something about each image: p(x | c), c a picture of features.

The context c (B, P, H, W) comes with every event x (B, C, H, W). Each layer here commutes with every whole
shift of the torus that moves both:

    f(s x; s c) = s f(x; c),

since it looks at c and at x by circular convolutions alone. Its log-determinant is then unchanged, and
p(s x | s c) = p(x | c). A squeeze or a checkerboard would not do: they commute with even shifts only.

`ContextChain` puts them in a row, with layers that take no context between, such as `ConvExponential` with
circular padding; `NormalizingFlow` takes the chain, and the context as its `context`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import logdet
from .bijection import Bijection, Chain, fits
from .exponential import norm_bound
from .polar import bisect
from .residual import _with_gradient, invert

NARROWEST = 0.02  # scale of a component, in units of the data


class Contextual(Bijection):
    """A bijection of images (C, H, W) that takes a context (P, H, W) with every event.

    Args:
        channels: C.
        context_channels: P.
    """

    def __init__(self, channels: int, context_channels: int):
        if min(channels, context_channels) < 1:
            raise ValueError(f"expected one channel or more; got {channels} and {context_channels}")
        super().__init__((channels, None, None))
        self.context_channels = context_channels

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W), context (B, P, H, W) -> z (B, C, H, W), log |det dz/dx| (B,)."""
        self._check(x, self.event_shape, "encode")
        return self._told(self._encode, x, context, self.encoded_shape)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z (B, C, H, W), context (B, P, H, W) -> x (B, C, H, W), log |det dx/dz| (B,)."""
        self._check(z, self.encoded_shape, "decode")
        return self._told(self._decode, z, context, self.event_shape)

    def _told(self, function, value: Tensor, context: Tensor | None, shape) -> tuple[Tensor, Tensor]:
        wanted = (self.context_channels, *value.shape[2:])
        good = isinstance(context, Tensor) and fits(context, wanted) and context.is_floating_point()
        if not good or len(context) != len(value) or context.device != value.device:
            found = f"{tuple(context.shape)}, {context.dtype}" if isinstance(context, Tensor) else context
            raise ValueError(
                f"expected a context {(len(value), *wanted)} on {value.device} for {type(self).__name__}; "
                f"got {found}"
            )
        return self._run(lambda v: function(v, context.to(v.dtype)), value, None, shape)


class ContextChain(Contextual):
    """Bijections one after the other, of which some take the context; `encode` runs through them in order.

    Args:
        bijections: Layers of images with C channels that keep their shape; at least one takes a context.

    Raises:
        ValueError: When the layers do not fit, or none takes a context.
    """

    def __init__(self, bijections: Iterable[Bijection]):
        links = list(bijections)
        told = {link.context_channels for link in links if isinstance(link, Contextual)}
        if len(told) != 1:
            raise ValueError(f"expected layers that take one context; got {sorted(told)} channels of context")
        chain = Chain(links)  # checks that one takes what the other gives
        if len(chain.event_shape) != 3 or chain.encoded_shape[0] != chain.event_shape[0]:
            raise ValueError(
                "expected layers that keep images (C, H, W); "
                f"got {chain.event_shape} -> {chain.encoded_shape}"
            )
        super().__init__(chain.event_shape[0], told.pop())
        self.bijections = chain.bijections

    @property
    def exact(self) -> bool:
        """Whether every link's log-determinant is exact."""
        return all(link.exact for link in self.bijections)

    def _encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for link in self.bijections:
            x, log_det = link.encode(x, context) if isinstance(link, Contextual) else link.encode(x)
            total = total + log_det
        return x, total

    def _decode(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        for link in reversed(self.bijections):
            z, log_det = link.decode(z, context) if isinstance(link, Contextual) else link.decode(z)
            total = total + log_det
        return z, total


def _circular(given: int, made: int, kernel_size: int = 3) -> nn.Conv2d:
    about = {"padding": kernel_size // 2, "padding_mode": "circular"}
    return nn.Conv2d(given, made, kernel_size, **about)


class ContextMixture(Contextual):
    r"""Every pixel by itself through a monotone map, of which the context says the form:

        z = logit F(x; c),    F a mixture of D logistic cdfs, weights, means, scales by convolutions of c.

    Both tails are straight lines, so that z covers all numbers. log |det| is the sum of log dz/dx over pixels
    and channels; the inverse is by bisection, to rounding.

    Args:
        channels, context_channels: C and P.
        components: D.
        width: Of the two hidden layers of the net.

    Source: Ho et al., Flow++ (2019), for mixtures of logistic cdfs.
    """

    def __init__(self, channels: int, context_channels: int, *, components: int = 4, width: int = 16):
        super().__init__(channels, context_channels)
        self.components = components
        self.net = nn.Sequential(
            _circular(context_channels, width),
            nn.SiLU(),
            _circular(width, width),
            nn.SiLU(),
            nn.Conv2d(width, 3 * components * channels, 1),
        )

    def _mixture(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log weights, means and scales, each (B, C, D, H, W)."""
        found = self.net(context).unflatten(1, (-1, 3, self.components))
        weight, mean, scale = found.unbind(2)
        return weight.log_softmax(2), 2 * mean, NARROWEST + F.softplus(scale + 0.5)

    @staticmethod
    def _sums(x: Tensor, mixture: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """log F, log(1 - F), log density, as x."""
        weight, mean, scale = mixture
        u = (x.unsqueeze(2) - mean) / scale
        below, above = F.logsigmoid(u), F.logsigmoid(-u)
        parts = (below, above, below + above - scale.log())
        return tuple((weight + part).logsumexp(2) for part in parts)

    def _encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        below, above, density = self._sums(x, self._mixture(context))
        return below - above, (density - below - above).flatten(1).sum(1)

    def _decode(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        mixture = self._mixture(context)

        def excess(x: Tensor) -> Tensor:
            below, above, _ = self._sums(x, mixture)
            return below - above - z

        with torch.no_grad():  # the mixture's logit lies between those of its components
            bounds = mixture[1] + mixture[2] * z.unsqueeze(2)
            x = bisect(excess, bounds.amin(2), bounds.amax(2))
            below, above, density = self._sums(x, mixture)
        x = x - excess(x) * (below + above - density).exp()  # a step of Newton's, which has the gradient
        below, above, density = self._sums(x, mixture)
        return x, (below + above - density).flatten(1).sum(1)


class ContextResidual(Contextual):
    r"""z = x + W_2 tanh(W_1 x + A c + b), a contraction of x added: pixels see their neighbours.

    W_1, W_2 and A are 3x3 circular convolutions. W_1 and W_2 are divided by max(1, bound / coefficient), with
    the sum of their taps' norms as the bound, so that the added map has a Lipschitz constant of at most
    coefficient^2 in x, whatever the context is. log |det| is exact, by C H W vector-Jacobian products: for
    small images. The inverse is by the fixed-point iteration.

    Args:
        channels, context_channels: C and P.
        width: Of the hidden layer.
        coefficient: Of the bound, in (0, 1).

    Source: Behrmann et al., Invertible Residual Networks (2019), here with a context.
    """

    def __init__(self, channels: int, context_channels: int, *, width: int = 16, coefficient: float = 0.98):
        super().__init__(channels, context_channels)
        if not 0 < coefficient < 1:
            raise ValueError(f"expected a coefficient in (0, 1); got {coefficient}")
        self.coefficient = coefficient
        self.inner, self.outer = _circular(channels, width), _circular(width, channels)
        self.told = _circular(context_channels, width)
        self.outer.bias = None  # the next layer has one

    def _added(self, context: Tensor):
        """x -> W_2 tanh(W_1 x + A c + b), weights and context looked at once."""
        given, pads = self.told(context), (1, 1, 1, 1)
        inner, outer = (
            w / (norm_bound(w) / self.coefficient).clamp(min=1)
            for w in (self.inner.weight, self.outer.weight)
        )

        def added(x: Tensor) -> Tensor:
            hidden = F.conv2d(F.pad(x, pads, mode="circular"), inner, self.inner.bias) + given
            return F.conv2d(F.pad(hidden.tanh(), pads, mode="circular"), outer)

        return added

    def _log_det(self, added, x: Tensor) -> tuple[Tensor, Tensor]:
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            leaf = x if keep and x.requires_grad else x.detach().requires_grad_()
            y = added(leaf)
            with torch.set_grad_enabled(keep):
                found = logdet.exact(leaf, y).value
        return (y if keep else y.detach()), found

    def _encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        y, log_det = self._log_det(self._added(context), x)
        return x + y, log_det

    def _decode(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        added = self._added(context)
        x, _ = invert(added, z)
        if torch.is_grad_enabled():
            x = _with_gradient(added, z, x)
        return x, -self._log_det(added, x)[1]
