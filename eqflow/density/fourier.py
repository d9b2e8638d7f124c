"""Invertible kernels from Fourier: the unitary transform itself, and convolutions given by their spectrum."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from eqflow.symmetry import PlanarGroup

from .bijection import Bijection, no_change


class UnitaryDFT(Bijection):
    r"""The unitary discrete Fourier transform as a real, orthogonal and equivariant map of images.

    z(k) = sum_n cas(2 pi (k_1 n_1 / H + k_2 n_2 / W)) x(n) / sqrt(H W), with cas = cos + sin,

    which is the real minus the imaginary part of the Fourier transform (Hartley 1942): as many real numbers
    out as in. Positions n *and* frequencies k are counted from the centre of the canvas, -(H - 1) / 2 ..
    (H - 1) / 2. So the kernel depends on nothing but the dot product of k and n, which does not change when
    both are turned or flipped: the map commutes with every element of D4 acting on canvas and spectrum alike
    (on a rectangle, of D2). It is its own inverse, and |det| = 1.

    Args:
        event_shape: (C, H, W); each channel is transformed by itself.

    Source: section 4.6, equations 15 to 17, where the Fourier transform is named as an invertible kernel.
    """

    keeps_fields = True

    def __init__(self, event_shape: tuple[int, int, int]):
        super().__init__(event_shape)
        for name, size in zip(("rows", "columns"), event_shape[1:], strict=True):
            place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
            angles = 2 * math.pi / size * place[:, None] * place
            matrix = torch.stack([angles.cos(), angles.sin()]) / math.sqrt(size)
            self.register_buffer(name, matrix, persistent=False)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        (cos, sin), (cos_w, sin_w) = self.rows.to(x), self.columns.to(x)
        # cas(a + b) = (cos a + sin a) cos b + (cos a - sin a) sin b; all four matrices are symmetric
        return (cos + sin) @ x @ cos_w + (cos - sin) @ x @ sin_w, no_change(x)

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._encode(z)


class FourierConv(Bijection):
    r"""A circular convolution with a kernel as large as the canvas, given by the logarithm of its spectrum.

    The discrete Fourier transform turns it into a product: z^(k) = exp(a(k)) x^(k). So the inverse is
    exp(-a), and log det = sum over k of a(k), exactly and at the cost of two transforms. The spectrum is real
    and positive, a(-k) = a(k): the kernel is real and even, and half a turn already commutes with it.

    Such a convolution commutes with g where the spectrum does. Trivial fields: a is constant on the orbits
    of frequencies under the group, one parameter each. Regular fields: channel h has the spectrum of channel
    0, moved by h, a_h(k) = a(h^-1 k). Channels are not mixed (`GroupCirculant` does that).

    Args:
        group: A group of which every element maps the grid to itself (C1, C2, C4, D1, D2, D4).
        fields: How many fields, in and out.
        size: (H, W) of the canvas, square where the group has quarter turns.
        field_type: "trivial" or "regular".

    Raises:
        ValueError: For another group, type or canvas.

    Source: section 4.6, equations 15 to 17 (a kernel that has no zero in Fourier space is invertible).
    """

    def __init__(
        self,
        group: PlanarGroup,
        fields: int,
        size: tuple[int, int],
        *,
        field_type: str = "trivial",
        generator: torch.Generator | None = None,
    ):
        if field_type not in ("trivial", "regular"):
            raise ValueError(f"expected 'trivial' or 'regular' fields; got {field_type!r}")
        if not all(group.is_exact(g) for g in group):
            raise ValueError(f"expected a group that maps the grid to itself; got {group}")
        if size[0] != size[1] and group.n == 4:
            raise ValueError(f"expected a square canvas for {group}; got {size}")
        channels = 1 if field_type == "trivial" else len(group)
        super().__init__((fields * channels, *size))
        self.group, self.field_type = group, field_type
        height, width = size
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")

        def number(g: int, sign: int) -> Tensor:
            """The place k is taken from, sign g^-1 k, as one number; columns go right and rows go down."""
            (xx, xy), (yx, yy) = group.matrix(group.inverse(g)).long().tolist()
            right, up = xx * columns - xy * rows, yx * columns - yy * rows
            return (-sign * up % height) * width + sign * right % width

        spectra = [range(len(group))] if field_type == "trivial" else [[h] for h in group]
        names = torch.stack(
            [torch.stack([number(g, s) for g in ours for s in (1, -1)]).amin(0) for ours in spectra]
        )
        orbits, index = names.unique(return_inverse=True)  # frequencies of one name share a parameter
        self.register_buffer("index", index, persistent=False)  # (channels, H, W)
        self.log_gain = nn.Parameter(torch.empty(fields, len(orbits)))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the spectrum anew, near 1."""
        with torch.no_grad():
            self.log_gain.normal_(0, 0.05, generator=generator)

    def log_spectrum(self) -> Tensor:
        """a, (C, H, W), with frequencies in the order of `torch.fft.fft2`."""
        return self.log_gain[:, self.index].flatten(0, 1)

    def _filter(self, x: Tensor, log_spectrum: Tensor) -> tuple[Tensor, Tensor]:
        if not len(x):  # no transform takes an empty batch
            return x, log_spectrum.sum().expand(0)
        half = torch.fft.rfft2(x) * log_spectrum[..., : x.shape[-1] // 2 + 1].exp()
        return torch.fft.irfft2(half, s=x.shape[-2:]), log_spectrum.sum().expand(len(x))

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._filter(x, self.log_spectrum())

    def _decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._filter(z, -self.log_spectrum())
