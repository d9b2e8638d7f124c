"""A pretended GPU: tensors that say they are on cuda:0, refuse to meet others, and compute real numbers.

Within `pretended() as log` code takes its GPU path on a machine without one. A tensor of the device is a
`Far`: to autograd an empty tensor of its shape; its numbers lie beside it on the CPU. What a GPU refuses,
a mixture of devices or `numpy()`, is refused; what makes the host wait is counted, by line of the project.

Not pretended: kernels, streams, memory, `autocast`, and how fast anything is.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

import torch
import torch._dynamo  # before anything is replaced
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import eqflow
from eqflow.motion import by_hand
from eqflow.symmetry import constants

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
PROJECT, TESTS = Path(eqflow.__file__).parent, Path(__file__).parents[1]
aten = torch.ops.aten
COPIES = {aten.copy_.default, aten._to_copy.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
INDEXED |= {aten._index_put_impl_.default, aten._unsafe_index.Tensor}
# The host waits for a number, for how many there are, or for a status.
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default}
WAITS |= {aten.equal.default, aten.bincount.default, aten._unique2.default, aten.repeat_interleave.Tensor}
WAITS |= {aten._linalg_eigh.default, aten._linalg_svd.default, aten.linalg_inv_ex.default}
LAZY = {aten._conj.default: aten.conj_physical.default, aten._neg_view.default: aten.neg.default}
NO_KERNEL = {aten.detach.default, aten.empty.memory_format, aten.empty_like.default, aten.new_empty.default}
NO_KERNEL |= {aten.empty_strided.default, aten.new_empty_strided.default, aten._local_scalar_dense.default}


class Log:
    """What went on: counters of lines of the project, and of operators.

    Attributes:
        waits: the host waited for the device: for a number, a copy, a boolean index.
        sends: copies to the device, those that nobody waits for included.
        operators: that had a kernel to launch; views have none.
    """

    def __init__(self):
        self.waits, self.sends, self.operators = Counter(), Counter(), Counter()

    def clear(self) -> None:
        for counter in (self.waits, self.sends, self.operators):
            counter.clear()


class Far(torch.Tensor):
    """A tensor of the pretended device; its numbers are `numbers`, on the CPU."""

    mode = None

    @staticmethod
    def __new__(cls, numbers):
        like = {"dtype": numbers.dtype, "device": "meta"}
        return cls._make_subclass(cls, torch.empty_strided(numbers.shape, numbers.stride(), **like), False)

    def __init__(self, numbers):
        self.numbers = numbers

    device = property(lambda self: CUDA)
    is_cuda, is_cpu, is_meta = True, False, False

    @property
    def data(self):
        return torch.Tensor.data.__get__(self)

    @data.setter
    def data(self, value):  # `Module.double()` of a module that is here already
        torch.Tensor.data.__set__(self, value)
        self.numbers = value.numbers

    def __repr__(self, **_):
        return f"Far({self.numbers!r})"

    def __format__(self, spec):
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    def __deepcopy__(self, memo):
        copy = Far(self.numbers.clone()).requires_grad_(self.requires_grad)
        return torch.nn.Parameter(copy, self.requires_grad) if isinstance(self, torch.nn.Parameter) else copy

    def __reduce_ex__(self, protocol):
        return self.numbers.__reduce_ex__(protocol)  # as after torch.load with map_location="cpu"

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *_, **__):
        return self.numpy()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if cls.mode is None:
            raise RuntimeError(f"expected {func} within `pretended()`; got it outside")
        with cls.mode:
            return func(*args, **(kwargs or {}))


def _line() -> str:
    """Whose doing it is: the innermost line of the project, or else of a test."""
    frame, test = sys._getframe(2), None
    while frame:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PROJECT):
            return f"{path.relative_to(PROJECT)}:{frame.f_lineno}"
        if test is None and path.is_relative_to(TESTS) and path != Path(__file__):
            test = f"{path.relative_to(TESTS)}:{frame.f_lineno}"
        frame = frame.f_back
    return test or "autograd"


def _far(device) -> bool:
    # Backward formulas ask for "meta", which is what they take a Far for.
    return device is not None and torch.device(device).type in ("cuda", "meta")


class _Operators(TorchDispatchMode):
    """Below autograd: every operator that touches the device."""

    def __init__(self, log: Log):
        super().__init__()
        self.log = log

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        far, near = [], []
        for x in _flat((*args, *kwargs.values())):
            if isinstance(x, torch.Tensor):
                (far if type(x) is Far or isinstance(x, Far) else near).append(x)
        if not far and not _far(kwargs.get("device")):
            return func(*args, **kwargs)
        if func in COPIES:
            return self._copy(func, args, kwargs, far)
        if near:
            self._mixed(func, args, near)
        indexed = func in INDEXED and any(getattr(i, "dtype", None) == torch.bool for i in args[1])
        if func in WAITS or indexed:
            self.log.waits[_line()] += 1
        if not func.is_view and func not in NO_KERNEL:
            self.log.operators[func] += 1
        if "device" in kwargs:
            kwargs["device"] = CPU
        # Down here nobody looks at the bit of a lazy conjugate.
        now = LAZY.get(func, func)
        found = now(*map(_near, args), **{name: _near(x) for name, x in kwargs.items()})
        return self._wrapped(found, far)

    def _mixed(self, func, args, near) -> None:
        """Numbers of the CPU may go along as scalars, and as the index of a tensor of the device."""
        if func in INDEXED and isinstance(args[0], Far):
            if any(x.ndim for x in near):
                self.log.sends[_line()] += 1
                self.log.waits[_line()] += 1
        elif func in INDEXED:
            raise RuntimeError(
                f"indices should be either on cpu or on the same device as the indexed ({func})"
            )
        elif any(x.ndim for x in near):
            shapes = [tuple(x.shape) for x in near]
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
                f"cpu! ({func}, {shapes} on the cpu)"
            )

    def _copy(self, func, args, kwargs, far):
        if func is aten.copy_.default:
            to, source = isinstance(args[0], Far), args[1]
        else:
            source = args[0]
            to = _far(kwargs["device"]) if kwargs.get("device") is not None else bool(far)
        moves = isinstance(source, Far) != to
        asynchronous = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
        if moves and to:
            self.log.sends[_line()] += 1
            if not (asynchronous and getattr(source, "pinned", False)):
                self.log.waits[_line()] += 1
        elif moves:
            self.log.waits[_line()] += 1
        else:
            self.log.operators[func] += 1
        if func is aten.copy_.default:
            func(*map(_near, args))
            return args[0]
        options = {n: v for n, v in kwargs.items() if n in ("dtype", "memory_format") and v is not None}
        found = _near(source).to(**options) if options else _near(source)
        found = found.clone() if found is _near(source) else found
        return Far(found) if to else found

    @staticmethod
    def _wrapped(found, far):
        known = {id(x.numbers): x for x in far}  # what was written in place

        def wrap(x):
            if isinstance(x, (list, tuple)):
                return type(x)(map(wrap, x))
            if not isinstance(x, torch.Tensor):
                return x
            return known[id(x)] if id(x) in known else Far(x)

        return wrap(found)


def _near(x):
    if isinstance(x, Far):
        return x.numbers
    return [_near(y) for y in x] if isinstance(x, (list, tuple)) else x


def _flat(values):
    for x in values:
        if isinstance(x, (list, tuple)):
            yield from _flat(x)
        else:
            yield x


class _Calls(TorchFunctionMode):
    """Above autograd: what a build without CUDA refuses, or no longer knows further down."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.pin_memory:
            pinned = args[0].clone()
            pinned.pinned = True
            return pinned
        if func is torch.Tensor.cuda:
            func, args, kwargs = torch.Tensor.to, (args[0], CUDA), {}
        if func is torch.Tensor.to:  # "cuda" alone asks the driver which one

            def indexed(x):
                return CUDA if isinstance(x, (str, torch.device)) and str(x) == "cuda" else x

            args, kwargs = tuple(map(indexed, args)), {name: indexed(x) for name, x in kwargs.items()}
        if func in (torch.tensor, torch.as_tensor) and _far(kwargs.get("device")):
            return func(*args, **kwargs | {"device": CPU}).to(CUDA)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[0], Far):

            def sent(i):
                return torch.as_tensor(i).to(CUDA) if isinstance(i, (list, range)) else i

            index = tuple(map(sent, args[1])) if isinstance(args[1], tuple) else sent(args[1])
            args = (args[0], index, *args[2:])
        if (generator := kwargs.get("generator")) is not None:
            device = kwargs.get("device")
            far = _far(device) if device is not None else any(isinstance(x, Far) for x in _flat(args))
            if far != (generator.device.type == "cuda"):
                wanted = "cuda" if far else "cpu"
                raise RuntimeError(
                    f"Expected a '{wanted}' device type for generator but found '{generator.device.type}'"
                )
        return func(*args, **kwargs)


class _FarGenerator(torch.Generator):
    device = property(lambda self: CUDA)


def _generator(real):
    class Generator(real):
        def __new__(cls, device="cpu"):
            return _FarGenerator() if torch.device(device).type == "cuda" else real(device)

    return Generator


NOTHING = dict.fromkeys(("_lazy_init", "init", "synchronize", "reset_peak_memory_stats"), lambda *_: None)
NUMBERS = {"is_available": True, "device_count": 1, "current_device": 0, "get_device_name": "pretended"}
NUMBERS |= {"max_memory_allocated": 0, "memory_allocated": 0}


@contextlib.contextmanager
def pretended():
    """A pretended device for what runs within; yields its `Log`."""
    log = Log()
    answers = NOTHING | {name: lambda *_, value=value: value for name, value in NUMBERS.items()}
    with contextlib.ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        stack.enter_context(mock.patch.object(torch, "Generator", _generator(torch.Generator)))
        stack.enter_context(by_hand.watched())
        stack.enter_context(mock.patch.object(constants, "_disable_current_modes", contextlib.nullcontext))
        operators = stack.enter_context(_Operators(log))
        stack.enter_context(mock.patch.object(Far, "mode", operators))
        stack.enter_context(_Calls())
        yield log
