"""Invertible maps with the log-determinant of their Jacobian, and chains of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

Shape = tuple[int | None, ...]


class Bijection(nn.Module):
    """An invertible map of one event, encode: x -> z, and the logarithm of |det| of its Jacobian.

    A subclass names its shapes and writes `_encode` and `_decode`; this class checks what goes in and what
    comes out. `log_det` always belongs to the direction that was asked for: log |det dz/dx| from `encode`,
    log |det dx/dz| from `decode`.

    Args:
        event_shape: Shape of one x without the batch axis; None where any size will do.
        encoded_shape: The same for z (default: that of x).
    """

    def __init__(self, event_shape: Shape, encoded_shape: Shape | None = None):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.encoded_shape = self.event_shape if encoded_shape is None else tuple(encoded_shape)

    @property
    def exact(self) -> bool:
        """Whether log-determinants are exact, and not estimates."""
        return True

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data to latent: x (B, *event_shape) -> z (B, *encoded_shape), log |det dz/dx| (B,)."""
        self._check(x, self.event_shape, "encode")
        return self._checked(*self._encode(x), x, self.encoded_shape)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Latent to data: z (B, *encoded_shape) -> x (B, *event_shape), log |det dx/dz| (B,)."""
        self._check(z, self.encoded_shape, "decode")
        return self._checked(*self._decode(z), z, self.event_shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `encode`."""
        return self.encode(x)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} has no encode")

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} has no decode")

    def _check(self, value: Tensor, shape: Shape, what: str) -> None:
        if not fits(value, shape) or not value.is_floating_point():
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(
                f"expected a floating point (B, {wanted}) for {type(self).__name__}.{what}; "
                f"got {tuple(value.shape)}, {value.dtype}"
            )

    def _checked(self, value: Tensor, log_det: Tensor, source: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
        if not fits(value, shape) or log_det.shape != source.shape[:1]:
            raise RuntimeError(
                f"{type(self).__name__} promised (B, {shape}) and log_det (B,); "
                f"got {tuple(value.shape)} and {tuple(log_det.shape)}"
            )
        return value, log_det


def fits(value: Tensor, shape: Shape) -> bool:
    """Whether value is (B, *shape), with None for any size."""
    return value.ndim == 1 + len(shape) and all(
        size is None or size == found for size, found in zip(shape, value.shape[1:], strict=True)
    )


class Chain(Bijection):
    """Bijections one after the other; `encode` runs through them in order.

    Args:
        bijections: At least one; each takes what the one before gives.

    Raises:
        ValueError: When a link does not take what the one before gives.
    """

    def __init__(self, bijections: Iterable[Bijection]):
        links = list(bijections)
        if not links:
            raise ValueError("expected at least one bijection; got none")
        for i, (first, second) in enumerate(pairwise(links)):
            given, taken = first.encoded_shape, second.event_shape
            clash = len(given) != len(taken) or any(
                a != b for a, b in zip(given, taken, strict=True) if a is not None and b is not None
            )
            if clash:
                raise ValueError(f"expected link {i + 1} to take events {given}; it takes {taken}")
        super().__init__(links[0].event_shape, links[-1].encoded_shape)
        self.bijections = nn.ModuleList(links)

    @property
    def exact(self) -> bool:
        """Whether every link's log-determinant is exact."""
        return all(link.exact for link in self.bijections)

    def __iter__(self):
        return iter(self.bijections)

    def __len__(self) -> int:
        return len(self.bijections)

    def __getitem__(self, index: int) -> Bijection:
        return self.bijections[index]

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for link in self.bijections:
            x, log_det = link.encode(x)
            total = total + log_det
        return x, total

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        for link in reversed(self.bijections):
            z, log_det = link.decode(z)
            total = total + log_det
        return z, total


class Inverse(Bijection):
    """A bijection the other way round: encode and decode exchanged."""

    def __init__(self, bijection: Bijection):
        super().__init__(bijection.encoded_shape, bijection.event_shape)
        self.bijection = bijection

    @property
    def exact(self) -> bool:
        """As the bijection."""
        return self.bijection.exact

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.bijection.decode(x)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.bijection.encode(z)


def no_change(x: Tensor) -> Tensor:
    """The log-determinant of a map that keeps volume: zeros (B,)."""
    return torch.zeros(len(x), dtype=x.dtype, device=x.device)
