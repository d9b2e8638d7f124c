"""Invertible equivariant maps, and the densities that they carry (conventions of `torch.distributions`)."""

from .moser import AveragedMoser, SphereMoser, TorusMoser  # noqa: F401
