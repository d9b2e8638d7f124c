"""Checks of notebook 42: autoregressive layers."""

from __future__ import annotations

import torch

from ..exercise import exercise, require
from ..same import same


def networks(salt, blocks, size):
    """Lists s, t of functions, number i from the blocks before it (B, i size) to (B, size); and a counter."""
    calls, weights = [], [salt.randn(2, i * size + 1, size) for i in range(blocks)]

    def network(weight):
        def f(before):
            calls.append(1)
            ones = torch.ones(len(before), 1, dtype=before.dtype)
            return torch.tanh(torch.cat([before, ones], 1) @ weight)

        return f

    return [network(w[0]) for w in weights], [network(w[1]) for w in weights], calls


def encode(x, s, t):
    """The layer, (B, blocks size) -> the same."""
    parts = x.chunk(len(s), 1)
    before = [torch.cat(parts[:i], 1) if i else x[:, :0] for i in range(len(s))]
    return torch.cat([p * f(b).exp() + h(b) for p, f, h, b in zip(parts, s, t, before, strict=True)], 1)


@exercise("42.1", minutes=15)
def decoded_block_by_block(answer, salt):
    """The way back through an autoregressive layer, each network asked once."""
    blocks, size = salt.integer(3, 6), salt.integer(2, 4)
    s, t, calls = networks(salt, blocks, size)
    x = salt.randn(10, blocks * size)
    z = encode(x, s, t)
    calls.clear()
    found = answer(z, s, t)
    spent, look = len(calls), "'One way is quick': block i needs the blocks before it, of x and not of z"
    same(found, x, expected=f"the x that was encoded, {blocks} blocks", look=look)
    require(
        spent <= 2 * blocks,
        expected=f"each of the {2 * blocks} networks asked once",
        got=f"{spent} calls",
        look="what was found for one block is kept for the next",
    )


@exercise("42.2", minutes=20)
def decoded_in_sweeps(answer, salt):
    """The same by sweeps over all blocks at once: exact after as many sweeps as blocks."""
    blocks, size = salt.integer(3, 6), 3
    s, t, _ = networks(salt, blocks, size)
    x = salt.randn(10, blocks * size)
    z = encode(x, s, t)

    def sweep(x):  # scale and shift of all blocks at once, (B, blocks size) each
        parts = x.chunk(blocks, 1)
        before = [torch.cat(parts[:i], 1) if i else x[:, :0] for i in range(blocks)]
        return tuple(torch.cat([f(b) for f, b in zip(fs, before, strict=True)], 1) for fs in (s, t))

    look = "x = (z - t(x)) / exp(s(x)): insert what you have"
    words = f"the x that was encoded, after {blocks} sweeps for {blocks} blocks"
    same(answer(z, sweep, blocks), x, expected=words, look=look)
    for done in range(1, blocks):
        found, right = answer(z, sweep, done), done * size
        words = f"{done} blocks right after {done} sweeps"
        same(found[:, :right], x[:, :right], expected=words, look=look)
    early = float((answer(z, sweep, 1) - x).abs().max())
    require(
        early > 1e-6,
        expected="one sweep that is not enough for all blocks",
        got="all of x at once",
        look="use `sweep` as often as `count` says, and no other way",
    )
