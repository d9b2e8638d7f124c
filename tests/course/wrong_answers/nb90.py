"""Wrong answers to notebook 90: each must fail its check."""

import numpy as np
from scipy.stats import t


def interval(width, gaps=np.subtract):
    def answer(ours, theirs):
        found = np.asarray(gaps(ours, theirs), dtype=float)
        half = width(found, len(found))
        return found.mean() - half, found.mean() + half

    return answer


def student(gaps, n):
    return t.ppf(0.975, n - 1) * gaps.std(ddof=1) / np.sqrt(n)


def unpaired(ours, theirs):
    n, gap = len(ours), np.mean(ours) - np.mean(theirs)
    half = t.ppf(0.975, 2 * n - 2) * np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / n)
    return gap - half, gap + half


def by(rule):
    return lambda ours, theirs, bound: rule([a / b < bound for a, b in zip(ours, theirs, strict=True)])


WRONG = {
    "90.1": {
        "two standard deviations": interval(lambda gaps, n: 2 * gaps.std(ddof=1) / np.sqrt(n)),
        "no root of n": interval(lambda gaps, n: t.ppf(0.975, n - 1) * gaps.std(ddof=1)),
        "n below": interval(lambda gaps, n: t.ppf(0.975, n - 1) * gaps.std() / np.sqrt(n)),
        "one side": interval(lambda gaps, n: t.ppf(0.95, n - 1) * gaps.std(ddof=1) / np.sqrt(n)),
        "t of n": interval(lambda gaps, n: t.ppf(0.975, n) * gaps.std(ddof=1) / np.sqrt(n)),
        "unpaired": unpaired,
        "theirs minus ours": interval(student, lambda ours, theirs: np.subtract(theirs, ours)),
    },
    "90.2": {
        "the mean decides": lambda ours, theirs, bound: (
            "holds" if sum(ours) < bound * sum(theirs) else "fails"
        ),
        "a majority": by(lambda below: "holds" if 2 * sum(below) > len(below) else "fails"),
        "never undecided": by(lambda below: "holds" if all(below) else "fails"),
        "a missing number is a failure": by(
            lambda below: "holds" if all(below) else "undecided" if any(below) else "fails"
        ),
        "always undecided": by(lambda below: "undecided"),
    },
}
