"""eqflow: models equivariant to motion, and densities with a symmetry."""
