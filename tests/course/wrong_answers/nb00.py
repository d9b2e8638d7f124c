"""Wrong answers to notebook 00: each must fail its check."""

import torch


def pushed(sign, slope=lambda f, z: torch.func.vmap(torch.func.grad(f))(z)):
    def answer(f, z):
        base = torch.distributions.Normal(0.0, 1.0).log_prob(z)
        return f(z), base + sign * slope(f, z).log()

    return answer


WRONG = {
    "00.1": {
        "every shift": lambda x: (x.roll(1, -1) + x) / 2,
        "no shift": lambda x: x * torch.arange(x.shape[-1]),
        "odd ones too": torch.tanh,
        "every third": lambda x: x * torch.tensor([1.0, 2.0, 3.0]).repeat(x.shape[-1])[: x.shape[-1]],
        "a number": lambda x: 1.0,
    },
    "00.2": {
        "no log-determinant": pushed(0),
        "the wrong sign": pushed(1),
        "half of it": pushed(-0.5),
        "the slope at 0": pushed(-1, lambda f, z: torch.func.grad(f)(torch.zeros((), dtype=z.dtype)) + 0 * z),
        "the density of z": lambda f, z: (z, torch.distributions.Normal(0.0, 1.0).log_prob(z)),
    },
}
