"""Wrong answers to notebook 04: each must fail its check."""

import torch


def averaged(back, divide=True):
    def answer(f, group):
        def average(x):
            moved = [back(group, g, f(group.act_image(g, x))) for g in group]
            return torch.stack(moved).sum(0) / (len(group) if divide else 1)

        return average

    return answer


def _right(group, g, x):
    return group.act_image(group.inverse(g), x)


WRONG = {
    "04.1": {
        "not moved back": averaged(lambda group, g, x: x),
        "moved on": averaged(lambda group, g, x: group.act_image(g, x)),
        "a sum": averaged(_right, divide=False),
        "no average": lambda f, group: f,
        "half of the group": lambda f, group: (
            lambda x: torch.stack([_right(group, g, f(group.act_image(g, x))) for g in (0, 1)]).mean(0)
        ),
        "nothing is equivariant": lambda f, group: lambda x: torch.zeros_like(x),
    },
    "04.2": {
        "the same picture twice": lambda group, x: [group.act_image(g, x) for g in group],
        "only itself": lambda group, x: [x],
        "quarter turns only, twice": lambda group, x: [torch.rot90(x, k, (-2, -1)) for k in range(4)],
        "a number": lambda group, x: len(group),
    },
}
