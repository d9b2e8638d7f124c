"""Wrong answers to notebook 15: each must fail its check."""


def seen(relative, reach):
    return max(abs(relative[0]), abs(relative[1])) <= reach


WRONG = {
    "15.1": {
        "the slice's own velocity": lambda listed, reach, nu: [seen(v, reach) for v in listed],
        "relative to rest alone": lambda listed, reach, nu: [
            seen((v[0] - nu[0], v[1] - nu[1]), reach) for v in listed
        ],
        "only what this slice has shown": lambda listed, reach, nu: [seen(nu, reach) for _ in listed],
        "with a partner": lambda listed, reach, nu: [(v[0] - nu[0], v[1] - nu[1]) in listed for v in listed],
        "all": lambda listed, reach, nu: [True] * len(listed),
    },
    "15.2": {
        "as it is": lambda listed, nu: listed,
        "away from the digit": lambda listed, nu: [(v[0] - nu[0], v[1] - nu[1]) for v in listed],
        "the right list, another order": lambda listed, nu: [(v[0] + nu[0], v[1] + nu[1]) for v in listed][
            ::-1
        ],
        "x and y exchanged": lambda listed, nu: [(v[0] + nu[1], v[1] + nu[0]) for v in listed],
    },
}
