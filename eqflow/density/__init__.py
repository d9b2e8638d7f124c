"""Invertible equivariant maps, and the densities that they carry (conventions of `torch.distributions`)."""
