"""Checks of notebook 32: padding makes residual layers universal."""

from __future__ import annotations

import torch

from ..exercise import exercise, require


@exercise("32.1", minutes=10)
def plan_is_short_and_allowed(answer, salt):
    """No block stretches more than c, and one step less would be too few."""
    for _ in range(4):
        lipschitz, c = salt.uniform(1.0, 6.0), salt.uniform(0.4, 0.95)
        T, N = answer(lipschitz, c)
        about = f"with L = {lipschitz:.2f}, c = {c:.2f}"
        require(
            (lipschitz + 1) / T <= c + 1e-9,
            expected=f"a note that stretches at most c, {about}",
            got=f"(L + 1)/T = {(lipschitz + 1) / T:.3f}",
            look="'The way out': in steps 1 and 3 the constant is (L + 1)/T",
        )
        require(
            isinstance(N, int) and T / N <= c + 1e-9,
            expected=f"a whole number of steps that stretch at most c each, {about}",
            got=f"T/N = {T / N:.3f} with N = {N!r}",
            look="'The way out': step 2",
        )
        require(
            (N - 1) * c * c < lipschitz + 1,
            expected=f"as few steps as there can be, {about}",
            got=f"{N}, where fewer do",
            look="both bounds together: N c >= T, and T c >= L + 1",
        )


@exercise("32.2", minutes=20)
def matrices_that_commute_are_counted(answer, salt):
    """The number of independent matrices that commute with a group."""
    for _ in range(3):
        group = salt.group(["C3", "C4", "D2", "D3", "D4"])
        copies = salt.integer(1, 2)
        blocks = [[group.matrix(g).double()] * copies + [torch.eye(1).double()] for g in group]
        basis = torch.linalg.qr(salt.randn(2 * copies + 1, 2 * copies + 1))[0]
        matrices = [basis @ torch.block_diag(*parts) @ basis.T for parts in blocks]
        wanted = round(sum(float(m.trace()) ** 2 for m in matrices) / len(matrices))  # Schur
        found = answer(matrices)
        require(
            found == wanted,
            expected=f"{wanted} for {copies} vectors and one invariant number under {group}",
            got=f"{found}",
            look="'In the plane, and with a symmetry': A g = g A is linear in the entries of A",
        )
