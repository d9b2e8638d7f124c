"""Chains: which links fit; labels; what a wrong event is told; hooks."""

import copy

import pytest
import torch

from eqflow.density.bijection import Chain, Inverse
from eqflow.density.circulant import GroupCirculant
from eqflow.density.coupling import GCoupling
from eqflow.density.elementwise import ActNorm, Logit
from eqflow.density.fourier import UnitaryDFT
from eqflow.density.residual import GResidual
from eqflow.density.squeeze import Squeeze
from eqflow.density.vector_coupling import VectorCoupling
from eqflow.symmetry import cyclic, dihedral

C1, C4, C8, D4, D8 = cyclic(1), cyclic(4), cyclic(8), dihedral(4), dihedral(8)
SMALL = {"hidden_fields": 2, "depth": 1}


def plain_after_squeeze():
    return Squeeze(C4), GCoupling(C4, (4, 4, 4), **SMALL)


def test_a_trivial_coupling_after_a_squeeze_is_refused_and_would_not_be_equivariant():
    squeeze, coupling = plain_after_squeeze()
    with pytest.raises(
        ValueError,
        match=r"link 1 \(GCoupling\) to take regular fields of C4, as link 0 \(Squeeze\) gives; it takes "
        "trivial fields",
    ):
        Chain([squeeze, coupling])
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in coupling.parameters():
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
        z, turned = (coupling.encode(squeeze.encode(e)[0])[0] for e in (x, C4.act_image(1, x)))
    assert (turned - squeeze.encoded_type.act(1, z)).abs().max() > 0.1


@pytest.mark.parametrize(
    "links, message",
    [
        (lambda: [Squeeze(C4), ActNorm((4, 4, 4))], "regular fields of C4, .* it takes trivial"),
        (lambda: [Squeeze(D4), ActNorm((4, 4, 4))], r"1 quotient \(4\) fields of D4, .* it takes trivial"),
        (
            lambda: [ActNorm((8, 4, 4), D4, field_type="regular"), GCoupling(D4, (8, 4, 4), **SMALL)],
            "regular fields of D4, .* it takes trivial",
        ),
        (lambda: [GResidual(C8, (4,)), ActNorm((4,))], "vector fields of C8, .* it takes trivial fields"),
        (
            lambda: [Squeeze(C4), Logit((4, 4, 4)), GCoupling(C4, (4, 4, 4), **SMALL)],
            r"link 2 \(GCoupling\) to take regular fields of C4, as link 0 \(Squeeze\) gives; it takes triv",
        ),
        (
            lambda: [
                Chain([Squeeze(C4), UnitaryDFT((4, 4, 4))]),
                Chain([Inverse(Logit((4, 4, 4)))]),
                ActNorm((4, 4, 4)),
            ],
            r"link 2 \(ActNorm\) to take regular fields of C4, as link 0 \(Chain\) gives; it takes trivial",
        ),
        (lambda: [Chain([Squeeze(C4)]), Inverse(ActNorm((4, 4, 4)))], "link 1 .Inverse. to take regular"),
        (
            lambda: [GroupCirculant(C4, 2), GroupCirculant(D4, 1)],
            r"links of one group; got C4, and D4 in link 1 \(GroupCirculant\)",
        ),
        (lambda: [Squeeze(C4), GCoupling(C1, (4, 4, 4), **SMALL)], "links of one group; got C4, and C1 in"),
        (lambda: [VectorCoupling("SO(2)", 2), GResidual(D8, (4,))], "one group; got SO.2., and D8 in link 1"),
        (
            lambda: [ActNorm((1, 4, 4), classes=3), ActNorm((1, 4, 4), classes=10)],
            r"one number of classes; got \[3, 10\]",
        ),
    ],
)
def test_links_that_do_not_fit(links, message):
    with pytest.raises(ValueError, match=message):
        Chain(links())


def test_links_that_fit():
    squeeze = Squeeze(C4)
    options = {"field_type": "regular", **SMALL}
    chain = Chain(
        [
            Logit((1, 8, 8)),
            ActNorm((1, 8, 8)),  # states no group: one number for all pixels commutes with every one
            UnitaryDFT((1, 8, 8)),
            squeeze,
            Squeeze(C4, squeeze.encoded_type),
            GroupCirculant(C4, 4),
            GCoupling(C4, (16, 2, 2), **options),
            Inverse(GCoupling(C4, (16, 2, 2), **options)),
        ]
    )
    assert (chain.group, chain.field_type, chain.encoded_type) == (C4, "trivial", "regular")
    assert (Inverse(chain).field_type, Inverse(chain).group) == ("regular", C4)
    assert Chain([Chain([squeeze]), Inverse(squeeze)]).group == C4
    assert Chain([VectorCoupling("O(2)", 2), VectorCoupling("SO(2)", 2), GResidual(C8, (4,))]).group == C8
    assert Chain([GResidual(D8, (4,)), VectorCoupling("O(2)", 2)]).group == D8
    Chain([Squeeze(C1), ActNorm((4, 4, 4)), GCoupling(C1, (4, 4, 4), **options)])  # C1: all types are one


LABELS = torch.tensor([2, 0, 1])


def test_labels_reach_the_links_that_have_classes():
    links = [ActNorm((2, 3, 3)), ActNorm((2, 3, 3), classes=3), Inverse(ActNorm((2, 3, 3), classes=3))]
    chain = Chain([Chain(links[:2]), links[2]])
    with torch.no_grad():
        links[1].log_scale.copy_(torch.arange(6.0).view(3, 2))
        links[2].bijection.shift.copy_(torch.arange(6.0).view(3, 2))
    x = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    z, log_det = chain.encode(x, LABELS)
    numbers = torch.arange(6.0).view(3, 2)[LABELS][..., None, None]
    assert torch.allclose(z, x * numbers.exp() - numbers)
    assert torch.allclose(log_det, 9 * numbers.sum((1, 2, 3)))
    assert torch.allclose(chain.decode(z, LABELS)[0], x, atol=1e-5)
    assert chain.classes == 3


@pytest.mark.parametrize(
    "labels, message",
    [
        (None, r"labels \(3,\), int64 on cpu, as context for ActNorm; got None"),
        (2, r"labels \(3,\), int64 on cpu, as context for ActNorm; got 2"),
        (torch.zeros(3), r"got \(3,\), torch.float32 on cpu"),
        (torch.zeros(2, dtype=torch.long), r"got \(2,\), torch.int64 on cpu"),
        (torch.tensor([0, 3, 1]), r"labels 0..2 for ActNorm; got 0..3"),
        (torch.tensor([0, -1, 1]), r"labels 0..2 for ActNorm; got -1..1"),
    ],
)
def test_labels_are_checked(labels, message):
    with pytest.raises(ValueError, match=message):
        ActNorm((2,), classes=3).encode(torch.zeros(3, 2), labels)


def test_a_layer_without_classes_takes_no_labels():
    with pytest.raises(
        ValueError, match=r"no context for ActNorm, which has no classes; got \(3,\), torch.int64"
    ):
        ActNorm((2,)).encode(torch.zeros(3, 2), LABELS)


@pytest.mark.parametrize(
    "x, message",
    [
        ([[0.0, 1.0]], "expected a tensor for ActNorm.encode; got list"),
        (torch.zeros(3, 2).numpy(), "expected a tensor for ActNorm.encode; got ndarray"),
        (torch.zeros(3, 2, dtype=torch.uint8), r"floating point \(B, 2\) .* got \(3, 2\), torch.uint8"),
        (torch.zeros(3, 4), r"floating point \(B, 2\) .* got \(3, 4\), torch.float32"),
        (
            torch.zeros(3, 2, dtype=torch.float64),
            "float32 events on cpu, as the parameters, for ActNorm.encode; got torch.float64 on cpu",
        ),
        (torch.zeros(3, 2, device="meta"), "events on cpu, .*; got torch.float32 on meta"),
    ],
)
def test_wrong_events_in_one_sentence(x, message):
    with pytest.raises(ValueError, match=message):
        ActNorm((2,)).encode(x)


def test_forward_hooks_of_links_see_what_goes_through():
    chain, seen = Chain([ActNorm((2,)), Chain([ActNorm((2,), classes=3)])]), []
    for module in chain.modules():
        if isinstance(module, ActNorm | Chain):
            module.register_forward_hook(lambda module, given, made: seen.append(type(module).__name__))
    chain(torch.zeros(3, 2), LABELS)
    assert seen == ["ActNorm", "ActNorm", "Chain", "Chain"]


@pytest.mark.parametrize("make", [lambda: VectorCoupling("SO(2)", 2), lambda: UnitaryDFT((1, 4, 4))])
def test_constants_that_are_lost_on_meta_are_missed(make):
    bijection = make()
    assert bijection.double() is bijection  # nothing is lost on the way to another precision
    with pytest.raises(RuntimeError, match=r"constants hold numbers; got .* from the device 'meta'"):
        bijection.to("meta").to_empty(device="cpu")


def test_bases_that_are_lost_on_meta_come_back():
    bijection, x = GResidual(cyclic(3), (2,)), torch.randn(4, 2)
    weights, wanted = bijection.state_dict(), bijection.encode(x)[0]
    empty = copy.deepcopy(bijection).to("meta").to_empty(device="cpu")
    empty.load_state_dict(weights)
    assert torch.equal(empty.encode(x)[0], wanted)
