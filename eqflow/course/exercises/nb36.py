"""Checks of notebook 36: residual densities of images."""

from __future__ import annotations

import math

import torch

from ..exercise import exercise, require
from ..same import same


@exercise("36.1", minutes=5)
def bits_are_counted(answer, salt):
    """Nats per image become bits per dimension of grey levels."""
    size, levels = salt.integer(30, 300), salt.choice([17, 64, 256])
    nothing = torch.zeros(6).double()
    words = f"log2({levels}) for the density that knows nothing, 1 on the whole cube"
    wanted = nothing + math.log2(levels)
    same(answer(nothing, size, levels), wanted, expected=words, look="'Bits per dimension, term by term'")
    log_p = 10 * salt.randn(6)
    better = log_p + size * math.log(2)
    words = "one bit less where every dimension is twice as likely"
    look = "1 bit is ln 2 nats, and there are D dimensions"
    same(answer(better, size, levels), answer(log_p, size, levels) - 1, expected=words, look=look)


@exercise("36.2", minutes=15)
def samples_of_the_average(answer, salt):
    """Each image is moved by an element of its own, and all elements are equally likely."""
    group, count = salt.group(["C4", "D4"]), 4000
    image = salt.rand(1, 1, 6, 6)
    moved = answer(image.expand(count, -1, -1, -1), group, salt.generator)
    orbit = torch.cat([group.act_image(g, image) for g in group])
    apart = torch.cdist(moved.flatten(1).double(), orbit.flatten(1))
    worst = float(apart.min(1).values.max())
    look = "'Table 1': p_G gives all versions of an image the same share"
    require(worst < 1e-6, expected="every image one of its versions", got=f"{worst:.1e} away", look=look)
    counts = torch.bincount(apart.argmin(1), minlength=len(group)).double()
    mean = count / len(group)
    off = float((counts - mean).abs().max() / math.sqrt(mean))
    require(
        off < 5,
        expected=f"each of the {len(group)} versions about {mean:.0f} times of {count}",
        got=f"{counts.int().tolist()}",
        look=look,
    )
