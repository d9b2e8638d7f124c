"""Wrong answers to notebook 50: each must fail its check."""


def path(width, down=True, longest=None):
    """A tour along rows of a given width."""

    def answer(world, view, step):
        steps, size = [], longest or step
        for row in range(-(-world // view)):
            legs = [((0, 1), view * (row > 0) * down), ((1 - 2 * (row % 2), 0), width(world, view))]
            for (dx, dy), distance in legs:
                while distance > 0:
                    length = min(size, distance)
                    steps.append((dx * length, dy * length))
                    distance -= length
        return steps

    return answer


# exercise -> why it is wrong -> the answer (a tuple where the check takes several)
WRONG = {
    "50.1": {
        "the map moves, not the window": lambda position, t, velocity, world: position % world,
        "the other way": lambda position, t, velocity, world: (position + t * velocity) % world,
        "not on the torus": lambda position, t, velocity, world: position - t * velocity,
        "one step only": lambda position, t, velocity, world: (position - velocity) % world,
        "a number": lambda position, t, velocity, world: 3,
    },
    "50.2": {
        "no step at all": lambda world, view, step: [],
        "never goes down": path(lambda world, view: world - view, down=False),
        "rows too long": path(lambda world, view: 2 * world),
        "rows too short": path(lambda world, view: world - view - 1),
        "one giant step": path(lambda world, view: world - view, longest=1000),
    },
}
