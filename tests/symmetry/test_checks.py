"""The meters measure, and the assertion can fail."""

import subprocess
import sys

import pytest
import torch

from eqflow.symmetry import assert_equivariant, cyclic, equivariance_error, invariance_error

ROLL = lambda x: torch.roll(x, 1, -1)  # noqa: E731
X = torch.tensor([1.0, 3.0, 0.0, -4.0], dtype=torch.float64)


def test_the_error_is_relative_to_the_output():
    ramp = torch.arange(4.0, dtype=torch.float64)
    # f(gx) - g f(x) = c (ramp - g ramp), largest 3c
    assert equivariance_error(lambda x: 100 * x, X, ROLL, ROLL) == 0
    error = equivariance_error(lambda x: x + ramp, X, ROLL, ROLL)
    assert error == pytest.approx(3 / 4)  # max |x + ramp| = 4
    scaled = equivariance_error(lambda x: 1000 * (x + ramp), X, ROLL, ROLL)
    assert scaled == pytest.approx(error)


def test_invariance():
    assert invariance_error(lambda x: x.amax(), X, ROLL) == 0
    assert invariance_error(lambda x: x[:1], X, ROLL) == pytest.approx(5)  # |-4 - 1| / 1


def test_the_assertion_fails_and_says_why():
    assert assert_equivariant(torch.relu, X, ROLL, ROLL) == 0
    with pytest.raises(AssertionError, match=r"cumsum is not equivariant.*expected <= 1e-12.*float64"):
        assert_equivariant(lambda x: x.cumsum(0), X, ROLL, ROLL, what="cumsum")
    slightly = lambda x: x + 1e-7 * torch.arange(4, dtype=x.dtype)  # noqa: E731
    assert_equivariant(slightly, X, ROLL, ROLL, tol=1e-5)
    with pytest.raises(AssertionError):
        assert_equivariant(slightly, X, ROLL, ROLL)
    assert_equivariant(slightly, X.float(), ROLL, ROLL)  # float32 has the wider default


def test_nan_does_not_pass():
    with pytest.raises(AssertionError, match="nan"):
        assert_equivariant(lambda x: x.sqrt(), X, ROLL, ROLL)


def test_what_cannot_be_judged_is_an_error():
    with pytest.raises(ValueError, match="not zero everywhere"):
        equivariance_error(lambda x: 0 * x, X, ROLL, ROLL)
    with pytest.raises(ValueError, match="of one shape"):
        equivariance_error(lambda x: x, X, ROLL, lambda y: y[:, None] * torch.ones(1, 2))
    with pytest.raises(ValueError, match="or a tol"):
        assert_equivariant(torch.relu, X.bfloat16(), ROLL, ROLL)


def test_an_ordinary_convolution_is_caught():
    group, generator = cyclic(4), torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 8, 8, generator=generator, dtype=torch.float64)
    kernel = torch.randn(1, 1, 3, 3, generator=generator, dtype=torch.float64)
    turn = lambda v: group.act_image(1, v)  # noqa: E731
    conv = lambda v: torch.nn.functional.conv2d(v, kernel, padding=1)  # noqa: E731
    assert equivariance_error(conv, x, turn, turn) > 0.1


def test_importing_symmetry_does_not_load_escnn():
    code = "import sys, eqflow.symmetry, eqflow.symmetry.steerable; assert 'escnn' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
