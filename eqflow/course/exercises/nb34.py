"""Checks of notebook 34: the exponential of a convolution."""

from __future__ import annotations

import math

import torch.nn.functional as F

from ..exercise import exercise, require
from ..same import same


def convolve(x, weight):
    """A circular convolution of (B, C, H, W) by (C, C, k, k)."""
    return F.conv2d(F.pad(x, [weight.shape[-1] // 2] * 4, mode="circular"), weight)


def exponential(x, weight):
    total = term = x
    for i in range(1, 60):
        term = convolve(term, weight) / i
        total = total + term
    return total


@exercise("34.1", minutes=5)
def half_twice_is_whole(answer, salt):
    """A kernel whose exponential, applied twice, is that of the kernel given."""
    weight, x = 0.3 * salt.randn(2, 2, 3, 3), salt.randn(1, 2, 6, 6)
    once = exponential(x, answer(weight))
    words = "exp(K) x after two applications"
    look = "'Invertible by construction': which kernel undoes exp(K)? Which goes half of the way?"
    same(exponential(once, answer(weight)), exponential(x, weight), expected=words, look=look)


@exercise("34.2", minutes=15)
def lengths_are_kept(answer, salt):
    """The part of a kernel whose exponential keeps the length of every image."""
    channels = salt.integer(1, 3)
    weight, x = 0.3 * salt.randn(channels, channels, 3, 3), salt.randn(2, channels, 7, 7)
    kernel = answer(weight)
    moved = exponential(x, kernel)
    words = f"every image of {channels} channels as long as before"
    look = "the transpose of a convolution: channels exchanged, taps turned by 180°"
    same(moved.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1), expected=words, look=look)
    require(
        float((moved - x).abs().max()) > 0.01,
        expected="a map that does something",
        got="the identity",
        look="of each kernel a part is left, not nothing",
    )
    same(answer(kernel), kernel, expected="a kernel of this kind as it was", look="a half of the difference")


@exercise("34.3", minutes=10)
def enough_terms_and_no_more(answer, salt):
    """The least number of terms that leaves a remainder below the tolerance."""
    for _ in range(4):
        norm, spent = salt.uniform(0.3, 5.0), salt.integer(2, 12)
        left = [sum(norm**i / math.factorial(i) for i in range(n + 1, n + 80)) for n in range(60)]
        following = norm ** (spent + 1) / math.factorial(spent + 1)
        tolerance = math.sqrt(following * left[spent])  # the next term is below it, all that is left above
        count = answer(norm, tolerance)
        about = f"at norm {norm:.2f} and tolerance {tolerance:.0e}"
        require(
            isinstance(count, int) and 0 <= count < 60,
            expected=f"a whole number of terms {about}",
            got=f"{count!r}",
            look="'How many terms?'",
        )
        require(
            left[count] <= tolerance,
            expected=f"a remainder below it {about}",
            got=f"{left[count]:.1e} after {count} terms",
            look="all terms that are left out count, not only the next",
        )
        require(
            count == 0 or left[count - 1] > tolerance,
            expected=f"no term more than needed {about}",
            got=f"{count}, where {count - 1} are enough",
            look="begin with none and add one at a time",
        )
