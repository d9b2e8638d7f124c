"""G-residual layers on images and at points; without symmetry they are the plain layer of the same shape."""

import torch
from case import Case

from eqflow.density.residual import GResidual
from eqflow.symmetry import cyclic, dihedral
from eqflow.symmetry.linear import act_features


def generic(group, event, generator, **options):
    """In float64, with every parameter drawn; weights that must be bounded, and activations often steep."""
    layer = GResidual(group, event, generator=generator, **options).double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.endswith("weight"):
                parameter.mul_(1.5)
            elif name.endswith("bias"):
                parameter.normal_(0.7, 0.7, generator=generator)
            else:
                parameter.normal_(1.5, 0.5, generator=generator)
    return layer


def case(name, group, event, act, **options):
    """The plain layer has as many channels: hidden fields times |G|."""
    hidden = options.pop("hidden_fields", (2, 1))
    plain, symmetric = tuple(fields * len(group) for fields in hidden), len(group) > 1
    plain_options = {key: value for key, value in options.items() if key != "field_type"}
    return Case(
        f"residual-{name}-{group}",
        lambda g: generic(group, event, g, hidden_fields=hidden, **options),
        event,
        group if symmetric else None,
        act if symmetric else None,
        broken=(lambda g: generic(cyclic(1), event, g, hidden_fields=plain, **plain_options)),
    )


def image(name, group, event, **options):
    regular = options.get("field_type") == "regular"
    return case(f"image-{name}", group, event, group.act_field if regular else group.act_image, **options)


def point(name, group, vectors=1, **options):
    act = lambda g, x: act_features(group, g, x, "vector")  # noqa: E731
    return case(f"point-{name}", group, (2 * vectors,), act, coefficient=0.9, **options)


CASES = [
    image("zero", cyclic(1), (2, 5, 5)),
    image("circular", cyclic(2), (1, 4, 6), padding="circular"),
    image("zero", cyclic(4), (1, 5, 5)),
    image("circular", cyclic(4), (2, 6, 6), padding="circular"),
    image("regular", cyclic(4), (4, 4, 4), field_type="regular"),
    image("zero", dihedral(4), (1, 6, 6)),
    image("circular", dihedral(4), (1, 5, 5), padding="circular", concatenation=True),
    point("vector", cyclic(1)),
    point("vector", cyclic(5)),
    point("vector", cyclic(16)),
    point("vector", dihedral(8), hidden_fields=(3, 2, 2)),
    point("sine", cyclic(8), activation="sine"),
    point("two-vectors", cyclic(5), vectors=2, concatenation=True),
]
