"""Wrong answers to notebook 36, residual densities of images: each must fail its check."""

import math

import torch


def _one_for_all(x, group, generator):
    return group.act_image(int(torch.randint(len(group), (), generator=generator)), x)


def _never_as_it_is(x, group, generator):
    chosen = torch.randint(1, len(group), (len(x),), generator=generator)
    return torch.stack([group.act_image(int(g), image[None])[0] for g, image in zip(chosen, x, strict=True)])


# exercise -> why it is wrong -> the answer
WRONG = {
    "36.1": {
        "the levels forgotten": lambda log_p, size, levels: -log_p / (size * math.log(2)),
        "nats": lambda log_p, size, levels: math.log(levels) - log_p / size,
        "per image": lambda log_p, size, levels: math.log2(levels) - log_p / math.log(2),
    },
    "36.2": {
        "one element for all": _one_for_all,
        "never as it is": _never_as_it_is,
        "the mean of the orbit": lambda x, G, gen: sum(G.act_image(g, x) for g in G) / len(G),
    },
}
