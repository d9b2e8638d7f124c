"""Equivariant convolutions: all exact kernels where the grid has the symmetry, escnn's elsewhere.

**Complete** bases, for C1, C2, C4, D1, D2 and D4: an element only moves the entries of a kernel about, so the
kernels that all elements leave alone are those that are constant on every orbit of entries.

**Band-limited** bases: escnn solves the kernel constraint of a planar group in polar coordinates (Weiler and
Cesa, 2019), leaves out the angular frequencies that would alias, and samples the rest in float32. Here they
are averaged once, in float64, over the elements that map the pixel grid to itself (a Reynolds projection).
That makes them exact under those; between them (45 degrees in C8, any angle in SO(2)) a kernel on a grid can
only be approximately equivariant: see :class:`SteerableConv2d` for what was measured.

The only file that imports escnn, and only when a band-limited basis is first built: an exact group never
needs it, and a trained layer of any group unpickles without it.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
import types
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .constants import made_once
from .groups import PlanarGroup, RotationGroup

FIELD_TYPES = ("trivial", "regular")
BASES = ("complete", "band_limited")
PADDINGS = {"zero": "constant", "circular": "circular"}


@functools.cache
def _escnn() -> types.SimpleNamespace:
    """Import escnn, with the start-up repairs that release 1.0.11 needs on a planar-only install."""
    stand_ins = {}
    if "lie_learn" not in sys.modules and importlib.util.find_spec("lie_learn") is None:

        def wigner_D_matrix(*args, **kwargs):
            raise NotImplementedError(
                "SO(3) representations need the package lie_learn, which is not installed"
            )

        path = "lie_learn"
        for name in (None, "representations", "SO3", "wigner_d"):
            path = path if name is None else f"{path}.{name}"
            stand_ins[path] = types.ModuleType(path)
        stand_ins[path].wigner_D_matrix = wigner_D_matrix
    sys.modules.update(stand_ins)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`py3nj` package not found")
            import escnn.group._numerical as numerical
            from escnn import gspaces
            from escnn import nn as layers
    finally:
        for path in stand_ins:  # nobody else shall take them for the real package
            sys.modules.pop(path, None)
    # With scikit-learn, escnn solves by an unseeded random SVD, which also rejects its np.matrix since 1.7.
    numerical.randomized_svd = None
    return types.SimpleNamespace(gspaces=gspaces, layers=layers)


def field_channels(group: PlanarGroup | RotationGroup, field_type: str) -> int:
    """Channels of one field: 1 if trivial, ``group.field_size`` if regular."""
    if field_type not in FIELD_TYPES:
        raise ValueError(f"expected a field type among {FIELD_TYPES}; got {field_type!r}")
    return 1 if field_type == "trivial" else group.field_size


def _sampled_basis(group, in_type: str, out_type: str, kernel_size: int) -> Tensor:
    """escnn's basis for one pair of fields, float32 (D, out, in, k, k)."""
    escnn = _escnn()
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # escnn builds its tables in the default dtype; restored below
    try:
        if isinstance(group, RotationGroup):
            space = escnn.gspaces.rot2dOnR2(-1, maximum_frequency=group.max_frequency)
            frequencies = [(frequency,) for frequency in range(group.max_frequency + 1)]
            regular = space.fibergroup.spectral_regular_representation(*frequencies)
        else:
            make = escnn.gspaces.flipRot2dOnR2 if group.reflections else escnn.gspaces.rot2dOnR2
            space = make(group.n)
            regular = space.regular_repr
        fields = {"trivial": space.trivial_repr, "regular": regular}
        ends = [escnn.layers.FieldType(space, [fields[kind]]) for kind in (in_type, out_type)]
        # initialize=False: no number is drawn from the global generator
        layer = escnn.layers.R2Conv(*ends, kernel_size, bias=False, initialize=False)
        with torch.no_grad():
            filters = [layer.basisexpansion(unit) for unit in torch.eye(layer.weights.numel())]
    finally:
        torch.set_default_dtype(default)
    channels = [field_channels(group, kind) for kind in (out_type, in_type)]
    return torch.stack(filters).reshape(-1, *channels, kernel_size, kernel_size)


def _grid_elements(group: PlanarGroup | RotationGroup) -> list[float]:
    """The elements that move a square grid onto itself; they form a subgroup."""
    return [0, 90, 180, 270] if isinstance(group, RotationGroup) else [g for g in group if group.is_exact(g)]


def _moved(
    kernels: Tensor, group: PlanarGroup | RotationGroup, g: float, in_type: str, out_type: str
) -> Tensor:
    """(g W)(q) = rho_out(g) W(g^-1 q) rho_in(g)^-1 of float64 kernels (D, out, in, k, k)."""
    out_matrix, in_matrix = (
        group.field_matrix(g) if kind == "regular" else torch.ones(1, 1, dtype=torch.float64)
        for kind in (out_type, in_type)
    )
    taps = group.act_image(g, kernels.flatten(0, 1)).view_as(kernels)
    return torch.einsum("op,dpikl,ji->dojkl", out_matrix, taps, in_matrix)


def _complete_basis(group: PlanarGroup, in_type: str, out_type: str, kernel_size: int) -> Tensor:
    """Every kernel that all elements of a group exact on the grid leave alone: one per orbit of entries."""
    sizes = [field_channels(group, kind) for kind in (out_type, in_type)] + 2 * [kernel_size]
    entries = torch.arange(math.prod(sizes), dtype=torch.float64).view(1, *sizes)
    # An orbit goes by the smallest number that the group brings to its entries.
    orbits = torch.stack([_moved(entries, group, g, in_type, out_type) for g in group]).amin(0)[0]
    _, orbit = orbits.unique(return_inverse=True)
    return F.one_hot(orbit).movedim(-1, 0).double().contiguous()  # files of weights take no other strides


def _band_limited_basis(
    group: PlanarGroup | RotationGroup, in_type: str, out_type: str, kernel_size: int
) -> Tensor:
    """escnn's kernels, averaged over the elements that map the grid to itself."""
    sampled = _sampled_basis(group, in_type, out_type, kernel_size).double()
    moved = [_moved(sampled, group, g, in_type, out_type) for g in _grid_elements(group)]
    # Entries in one orbit hold the same numbers in another order. Summed in sorted order they come out equal
    # to the last bit, so that rounding to float32 (and back) cannot break the symmetry.
    basis = sum(torch.stack(moved).sort(0).values.unbind(0)) / len(moved)
    change = ((basis - sampled).abs().max() / sampled.abs().max()).item()
    if not change < 1e-5:  # float32 noise is 1e-7; a wrong sign or channel order is of order 1
        raise RuntimeError(
            f"expected escnn's kernels for {group} to change by < 1e-5 on projection; got {change:.2g}"
        )
    return basis


def choose_basis(group: PlanarGroup | RotationGroup, basis: str | None = None) -> str:
    """The basis asked for, checked; unless one is, "complete" where the group is exact on the grid.

    Raises:
        ValueError: for an unknown basis, or a complete one of a group that is not exact on the grid.
    """
    exact = isinstance(group, PlanarGroup) and all(group.is_exact(g) for g in group)
    if basis is None:
        return "complete" if exact else "band_limited"
    if basis not in BASES:
        raise ValueError(f"expected a basis among {BASES}, or None; got {basis!r}")
    if basis == "complete" and not exact:
        raise ValueError(
            f"expected basis 'band_limited' for {group}, which no pixel grid has; got 'complete'"
        )
    return basis


@made_once()
def steerable_basis(
    group: PlanarGroup | RotationGroup,
    in_type: str,
    out_type: str,
    kernel_size: int = 3,
    basis: str | None = None,
) -> Tensor:
    """Basis of the kernels that intertwine one input field and one output field.

    Returns:
        float64 (D, out, in, k, k), each element of norm 1; shared by all callers, so not to be written to.
        Complete (the default of C1, C2, C4, D1, D2, D4): orthonormal, D = |G| k^2 regular to regular and k^2
        trivial to regular: as many per output channel as an ordinary convolution, which is C1's. At k = 3,
        regular to regular: C4 36, D4 72. Band-limited, which is close to orthonormal, at k = 3, regular to
        regular: C1 6, C4 24, D4 48, C8 48, C16 96, D8 96; trivial to regular: 6.

    Raises:
        ValueError: for an unknown field type, a kernel size that is not odd, or as :func:`choose_basis` does.
        RuntimeError: when escnn's sampling and this package's actions disagree.
    """
    field_channels(group, in_type), field_channels(group, out_type)  # both are known types, or this raises
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"expected an odd kernel size; got {kernel_size}")
    make = _complete_basis if choose_basis(group, basis) == "complete" else _band_limited_basis
    made = make(group, in_type, out_type, kernel_size)
    return made / made.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)


FINE = 10**6  # steps of a fingerprint in a unit


@made_once()
def _fingerprint(*basis) -> int:
    """A number that changes with order, signs and elements of a basis, and with rounding hardly."""
    kernels = steerable_basis(*basis).flatten()
    return round(FINE * (kernels @ torch.arange(1.0, len(kernels) + 1, dtype=kernels.dtype).sin()).item())


class SteerableConv2d(nn.Module):
    """Convolution (stride 1, same size) that commutes with a planar group.

    Exact to rounding under every element that maps the grid to itself, on square canvases of any size, and
    so are stacks with ReLU between regular fields of a PlanarGroup. Measured as equivariance_error of three
    layers: C2, C4, D1, D2, D4, and the quarter turns of C8, C16, D8: 2e-15 in float64, 1e-6 in float32.

    Not exact, since image and kernel are interpolated: other turns. Measured in float64, smooth random blobs
    (sd 2.5 px on 33x33), mean (maximum) of 5 draws; an ordinary convolution scores 1.2 to 1.5:

    ========================  ===========  ===========================
    element                   one layer    stack
    ========================  ===========  ===========================
    C8, 45 degrees            .016 (.018)  3 layers, ReLU .066 (.13)
    C16, 22.5 and 45 degrees  .023 (.046)  3 layers, ReLU .110 (.21)
    D8, 45 degrees            .018 (.026)  3 layers, ReLU .043 (.11)
    SO(2), 30 and 45 degrees  .020 (.031)  2 layers, linear .017 (.028)
    ========================  ===========  ===========================

    Args:
        group: ``cyclic(n)``, ``dihedral(n)`` or ``RotationGroup(max_frequency)``.
        in_fields, out_fields: number of fields, of 1 (trivial) or ``group.field_size`` (regular) channels.
        in_type, out_type: "trivial" or "regular".
        kernel_size: odd.
        padding: "zero" or "circular".
        bias: one number per output field (for SO(2), on its invariant channel), zero at first.
        gain: fan in times the mean variance of the first filter's entries: 2 is He's rule, which keeps what
            passes a ReLU; 1/3 that of `nn.Conv2d`, for what is fed back again and again.
        basis: "complete" or "band_limited" kernels, see :func:`steerable_basis`; unless given, complete where
            the group is exact on the grid, so that no baseline has the richer kernels.
        generator: for the initial weights.

    Attributes:
        weight: (out_fields, in_fields, D), the coefficients in ``basis``.
        basis_kind: "complete" or "band_limited".
        basis: buffer (D, out, in, k, k), no part of the state dict; `reset_parameters` and `load_state_dict`
            make it anew where it has been lost (built on "meta", then `to_empty`).
        fingerprint: buffer, an integer that is; weights of another basis, to which they would mean nothing,
            are refused by `load_state_dict`.

    Source: Weiler and Cesa, General E(2)-Equivariant Steerable CNNs (2019), for the band-limited kernels;
    Cohen and Welling, Group Equivariant Convolutional Networks (2016), whose p4 and p4m kernels the complete
    ones of C4 and D4 are.
    """

    def __init__(
        self,
        group: PlanarGroup | RotationGroup,
        in_fields: int,
        out_fields: int,
        *,
        in_type: str = "regular",
        out_type: str = "regular",
        kernel_size: int = 3,
        padding: str = "zero",
        bias: bool = True,
        gain: float = 2.0,
        basis: str | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if padding not in PADDINGS:
            raise ValueError(f"expected a padding among {tuple(PADDINGS)}; got {padding!r}")
        dtype = dtype or torch.get_default_dtype()
        self.group, self.in_type, self.out_type = group, in_type, out_type
        self.kernel_size, self.padding, self.gain = kernel_size, padding, gain
        self.basis_kind = choose_basis(group, basis)
        self.in_channels = in_fields * field_channels(group, in_type)
        self.out_channels = out_fields * field_channels(group, out_type)
        kernels = steerable_basis(*self._kind)
        basis = torch.empty(kernels.shape, device=device, dtype=dtype)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("fingerprint", torch.tensor(0, device=device))
        size = (out_fields, in_fields, len(kernels))
        self.weight = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(out_fields, device=device, dtype=dtype)) if bias else None
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """So that the mean variance of the expanded filter's entries is gain / (in_channels k^2)."""
        self._restore()
        _, in_fields, size = self.weight.shape
        std = (self.gain * self.basis.shape[1] / (in_fields * size)) ** 0.5  # the basis elements have norm 1
        nn.init.normal_(self.weight, std=std, generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def _kind(self) -> tuple:
        return self.group, self.in_type, self.out_type, self.kernel_size, self.basis_kind

    def _restore(self) -> None:
        """Make the buffers anew, whatever memory held; nothing for tensors that hold no numbers."""
        if not self.weight.is_meta and type(self.basis) is Tensor:
            self.basis = steerable_basis(*self._kind).to(self.weight.device, self.basis.dtype, copy=True)
            self.fingerprint = torch.tensor(_fingerprint(*self._kind), device=self.weight.device)

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        """As in `torch.nn`; the basis is made anew, as exact as its new precision has it."""
        super()._apply(fn, recurse)
        self._restore()
        return self

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors):
        mine = _fingerprint(*self._kind)
        theirs = state_dict.get(f"{prefix}fingerprint")
        if theirs is not None and abs(int(theirs) - mine) > 1e-3 * FINE:
            errors.append(f"expected {prefix}weight for the basis of {self}; got weights for another one")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)
        self._restore()

    def expand(self) -> tuple[Tensor, Tensor | None]:
        """The ordinary filter (out_channels, in_channels, k, k) and bias (out_channels,) or None."""
        weight = torch.einsum("oid,dpqkl->opiqkl", self.weight, self.basis).flatten(0, 1).flatten(1, 2)
        if self.bias is None:
            return weight, None
        bias = self.bias[:, None].expand(-1, self.basis.shape[1])
        if isinstance(self.group, RotationGroup) and self.out_type == "regular":
            bias = bias * (torch.arange(self.basis.shape[1], device=bias.device) == 0)
        return weight, bias.flatten()

    def forward(self, x: Tensor) -> Tensor:  # (B, in_channels, H, W) -> (B, out_channels, H, W)
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (B, {self.in_channels}, H, W); got {tuple(x.shape)}")
        weight, bias = self.expand()
        half = self.kernel_size // 2
        return F.conv2d(F.pad(x, [half] * 4, mode=PADDINGS[self.padding]), weight, bias)

    def extra_repr(self) -> str:
        out_fields, in_fields, _ = self.weight.shape
        return (
            f"{self.group}, {in_fields} {self.in_type} -> {out_fields} {self.out_type}, "
            f"kernel_size={self.kernel_size}, padding={self.padding!r}, bias={self.bias is not None}, "
            f"basis={self.basis_kind!r}"
        )
