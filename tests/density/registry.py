"""Every layer of `eqflow.density`, with the symmetry that it claims: what `test_layers.py` runs over.

To add layers, write `CASES: list[Case]` in `cases/<area>.py`, and name the area twice below.
"""

from cases import core, coupling, linear, residual

AREAS = (core, coupling, linear, residual)

CASES = [case for area in AREAS for case in area.CASES]
