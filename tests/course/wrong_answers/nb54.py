"""Wrong answers to notebook 54: each must fail its check."""

import torch


def mean_of(look):
    """The mean over the group of what `look` sees from g."""

    def symmetrised(field, elements):
        return lambda x: sum(look(field, x, g) for g in elements) / len(elements)

    return symmetrised


def jacobian(field, x):
    """(B, D, D)."""
    return torch.stack([torch.autograd.functional.jacobian(lambda e: field(e[None])[0], e) for e in x])


WRONG = {
    "54.1": {
        "not turned back": mean_of(lambda f, x, g: f(x @ g.T)),
        "turned back twice": mean_of(lambda f, x, g: f(x @ g.T) @ g @ g),
        "a sum": lambda field, elements: lambda x: sum(field(x @ g.T) @ g for g in elements),
        "one forgotten": lambda field, elements: mean_of(lambda f, x, g: f(x @ g.T) @ g)(field, elements[1:]),
        "as it was": lambda field, elements: field,
        "nothing": lambda field, elements: torch.zeros_like,
        "it crashes": lambda field, elements: None,
    },
    "54.2": {
        "the whole Jacobian": lambda f, x: jacobian(f, x).sum((1, 2)),
        "the determinant": lambda f, x: jacobian(f, x).det(),
        "its logarithm": lambda f, x: jacobian(f, x).det().abs().log(),
        "one number": lambda f, x: jacobian(f, x).diagonal(dim1=1, dim2=2).sum(),
        "the first two": lambda f, x: jacobian(f, x)[:, 0, 0] + 0 * x[:, 0],
        "estimated": lambda f, x: torch.einsum("bij,bi,bj->b", jacobian(f, x), x.sign(), x.sign()),
        "it crashes": lambda f, x: f.divergence,
    },
}
