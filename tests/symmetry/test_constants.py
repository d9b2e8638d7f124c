"""What is made once is real, whoever asks first; and bases that are not stored come back, or are refused."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from eqflow.symmetry import cyclic
from eqflow.symmetry.constants import made_once
from eqflow.symmetry.linear import linear_basis
from eqflow.symmetry.steerable import SteerableConv2d, steerable_basis


@pytest.mark.parametrize("around", [FakeTensorMode, lambda: torch.device("meta"), torch.inference_mode])
def test_made_once(around):
    calls = []

    @made_once(maxsize=2)
    def table(n):
        calls.append(n)
        return torch.arange(n) * 2

    with around():
        table(3)
    found = table(3)
    assert calls == [3] and type(found) is torch.Tensor and found.tolist() == [0, 2, 4]
    assert not found.is_inference() and found is table(3)
    table.cache_clear()
    assert table(3) is not found

    with around():  # control: what the mode makes of it
        plain = torch.arange(3) * 2
    assert type(plain) is not torch.Tensor or plain.is_meta or plain.is_inference()


def test_within_torch_func_nothing_is_kept():
    @made_once()
    def table(n):
        return torch.arange(n, dtype=torch.float64)

    torch.func.grad(lambda x: (x * table(3)).sum())(torch.ones(3, dtype=torch.float64))
    assert table.cache_info().currsize == 0


@pytest.mark.parametrize("around", [FakeTensorMode, lambda: torch.device("meta")])
@pytest.mark.parametrize("n", [4, 8])
def test_a_layer_that_holds_no_numbers_breaks_no_other(around, n):
    steerable_basis.cache_clear(), linear_basis.cache_clear()
    with around():
        SteerableConv2d(cyclic(n), 1, 1)
    layer = SteerableConv2d(cyclic(n), 1, 1)
    out = layer(torch.rand(1, n, 5, 5))
    assert type(out) is torch.Tensor and out.device.type == "cpu" and out.isfinite().all()


def layer(seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return SteerableConv2d(cyclic(4), 1, 2, generator=generator, **options)


def test_only_coefficients_are_stored():
    assert {name: tuple(x.shape) for name, x in layer().state_dict().items() if name != "weight"} == {
        "bias": (2,),
        "fingerprint": (),
    }
    assert torch.equal(pickle.loads(pickle.dumps(layer())).basis, layer().basis)


def test_a_lost_basis_comes_back():
    x, wanted = torch.rand(1, 4, 5, 5), layer()
    with torch.device("meta"):
        empty = [layer() for _ in range(3)]
    empty[0].to_empty(device="cpu").load_state_dict(wanted.state_dict())
    empty[1].load_state_dict(wanted.state_dict(), assign=True)
    empty[2].to_empty(device="cpu").reset_parameters(torch.Generator().manual_seed(0))
    for other in empty:
        assert torch.equal(other(x), wanted(x))
    # rounded on the way, it stays as it is: twins agree to the last bit, whichever was loaded
    twin, double = layer(1).double(), layer().double()
    twin.load_state_dict(double.state_dict())
    assert torch.equal(twin(x.double()), double(x.double()))


def test_weights_of_another_basis_are_refused():
    other, weights = layer(), layer().state_dict()
    other.load_state_dict(weights | {"fingerprint": weights["fingerprint"] + 3})  # rounding, elsewhere
    with pytest.raises(RuntimeError, match=r"expected weight for the basis of .* for another one"):
        other.load_state_dict(weights | {"fingerprint": weights["fingerprint"] + 10**5})
    trivial = layer(in_type="trivial").state_dict()["fingerprint"]
    assert abs(int(trivial - weights["fingerprint"])) > 10**4
