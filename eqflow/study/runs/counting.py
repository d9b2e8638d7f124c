"""What one training step of a run computes, moves and keeps: counted on tensors without numbers."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from eqflow.density.lipschitz import BoundedConv2d
from eqflow.motion import by_hand

from ..files import read_json, write_json
from .fingerprint import code_of, hash_of
from .spec import RunSpec

aten = torch.ops.aten
CONVOLUTIONS = {aten.convolution, aten._convolution, aten.convolution_backward}
NO_KERNEL = {aten.detach, aten.empty, aten.empty_like, aten.new_empty, aten.empty_strided, aten.alias}
NO_KERNEL |= {aten.new_empty_strided, aten._unsafe_view, aten.lift_fresh, aten.is_same_size}
PUBLISHED = Path(__file__).with_name("counts.json")
# Settings that change no operation of a step.
ELSEWHERE = (
    "steps",
    "lr",
    "budget",
    "profile",
    "data",
    "val_every",
    "val_size",
    "test_size",
    "best",
    "seeds",
)
ADAM = 7  # numbers that an update reads or writes for each weight


@dataclass(frozen=True)
class Count:
    """Of one piece of work.

    Attributes:
        launches: operators that have a kernel.
        convolutions: operations (a product and a sum are two) by channels, the fewer of in and out, rounded
            up to a power of two: {"16": ...}.
        products: operations of matrix products in single precision.
        double: operations of those in double precision, complex ones counted as real.
        moved: bytes that all other kernels read and write.
        peak: the most bytes held at once, weights, gradients and Adam's moments included.
    """

    launches: int = 0
    convolutions: dict[str, float] = field(default_factory=dict)
    products: float = 0.0
    double: float = 0.0
    moved: float = 0.0
    peak: float = 0.0

    def plus(self, other: Count, times: float = 1) -> Count:
        """This and so many times the other."""
        widths = self.convolutions.keys() | other.convolutions.keys()
        mine, theirs = self.convolutions, other.convolutions
        return Count(
            round(self.launches + times * other.launches),
            {w: mine.get(w, 0.0) + times * theirs.get(w, 0.0) for w in sorted(widths, key=int)},
            *(
                getattr(self, name) + times * getattr(other, name)
                for name in ("products", "double", "moved", "peak")
            ),
        )

    @property
    def operations(self) -> float:
        """All of them."""
        return sum(self.convolutions.values()) + self.products + self.double


class Counting(TorchDispatchMode):
    """Counts what runs within, with `Count` as `count()`."""

    def __init__(self) -> None:
        super().__init__()
        self.launches, self.moved, self.live, self.peak = 0, 0.0, 0, 0
        self.flop = Counter()
        self._held: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        outputs = [x for x in _flat(found) if isinstance(x, Tensor)]
        for x in outputs:
            self._hold(x)
        packet = func._overloadpacket
        if func.is_view or packet in NO_KERNEL or not outputs:
            return found
        inputs = [x for x in _flat((*args, *(kwargs or {}).values())) if isinstance(x, Tensor)]
        if not any(x.is_meta for x in (*inputs, *outputs)):
            return found  # a table made on the host
        self.launches += 1
        if packet in flop_registry:
            self._operations(packet, args, kwargs or {}, found, inputs)
        else:
            self.moved += sum(x.numel() * x.element_size() for x in (*inputs, *outputs))
        return found

    def _operations(self, packet, args, kwargs, found, inputs) -> None:
        flop = flop_registry[packet](*args, **kwargs, out_val=found)
        if packet in CONVOLUTIONS:
            weight = inputs[2] if packet is aten.convolution_backward else inputs[1]
            self.flop[str(2 ** math.ceil(math.log2(min(weight.shape[:2]))))] += flop
        elif inputs[0].dtype in (torch.float64, torch.complex128):
            self.flop["double"] += flop * (4 if inputs[0].is_complex() else 1)
        else:
            self.flop["products"] += flop * (4 if inputs[0].is_complex() else 1)

    def _hold(self, x: Tensor) -> None:
        storage = x.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if not x.is_meta or key in self._held:
            return

        def free(_, key=key, size=size):
            self.live -= size
            del self._held[key]

        self._held[key] = weakref.ref(storage, free)
        self.live += size
        self.peak = max(self.peak, self.live)

    def count(self) -> Count:
        """What was seen so far."""
        flop = dict(self.flop)
        double, products = flop.pop("double", 0.0), flop.pop("products", 0.0)
        return Count(self.launches, flop, products, double, self.moved, float(self.peak))


def _flat(values):
    for x in values if isinstance(values, (list, tuple)) else [values]:
        if isinstance(x, (list, tuple)):
            yield from _flat(x)
        else:
            yield x


def counted(work: Callable[[], object]) -> Count:
    """Of a call that works on tensors of the device "meta"."""
    with by_hand.watched(), Counting() as counting:
        work()
        return counting.count()


def on_meta(spec: RunSpec) -> nn.Module:
    """The run's model without numbers; first weights are not scaled to their norms, which takes long."""
    norm = BoundedConv2d.operator_norm
    BoundedConv2d.operator_norm = lambda layer, filter: filter.new_ones(())
    try:
        with torch.random.fork_rng(devices=[]):
            return spec.load_module().build(spec.config).to("meta")
    finally:
        BoundedConv2d.operator_norm = norm


def count_step(spec: RunSpec) -> Count:
    """One step of training: forward, backward, clipping and Adam.

    Layers that repeat are counted once: from two on, which share some operations, work grows in a line with
    the number of blocks.
    """
    blocks = spec.config.get("blocks") or 1
    if blocks <= 3:
        return _count_step(spec)
    two, three = (_count_step(replace(spec, config=spec.config | {"blocks": n})) for n in (2, 3))
    return two.plus(three, blocks - 2).plus(two, 2 - blocks)


def _count_step(spec: RunSpec) -> Count:
    model, module = on_meta(spec), spec.load_module()
    batch, weights = module.empty_batch(spec.config, "meta"), list(model.parameters())

    def step() -> None:
        module.loss_of(model, spec.config, batch).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # decides how many terms a roulette has
        found = counted(step)
    size = sum(p.numel() * p.element_size() for p in weights)
    # The update is one launch, and one counts its steps; weights, gradients and two moments are held.
    return found.plus(Count(launches=2, moved=ADAM * size, peak=3.0 * size))


def name_of(spec: RunSpec) -> str:
    """Of its step, by its settings, the code of its module, and how it is counted."""
    settings = {n: v for n, v in spec.config.items() if n not in ELSEWHERE}
    key = json.dumps([spec.module, settings, _code(spec.module)], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:16]


@functools.cache
def _code(module: str) -> tuple[str, dict[str, str]]:
    """How it is counted, and what: read once in a process."""
    return hash_of(Path(__file__)), code_of([module])


@functools.cache
def published_counts() -> dict[str, dict]:
    """Those that `python -m benchmarks.launches` wrote beside this file, by `name_of`; none if it has not."""
    return read_json(PUBLISHED) if PUBLISHED.exists() else {}


def counted_once(spec: RunSpec, folder: Path) -> Count:
    """`count_step`, from the published ones or kept in `folder`; in neither are those of other code found."""
    name = name_of(spec)
    if name in published_counts():
        return Count(**published_counts()[name])
    path = folder / f"{name}.json"
    try:
        return Count(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        found = count_step(spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(found))
        return found
