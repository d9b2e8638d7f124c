"""The layers of `eqflow.density`, with the symmetry that they claim: what `test_layers.py` runs over.

Moser's maps live on manifolds, and estimates of log-determinants are random: they have tests of their own.

To add layers, write `CASES: list[Case]` in `cases/<area>.py`, and name the area twice below.
"""

from cases import beyond, core, coupling, linear, polar, quotient, residual

AREAS = (core, coupling, linear, polar, quotient, residual, beyond)

CASES = [case for area in AREAS for case in area.CASES]
