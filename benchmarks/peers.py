"""What changing over would cost or save: our layers beside those of other libraries, in one process, in turn.

    python -m benchmarks.peers [--channels 32] [--batch 16] [--size 16] [--blocks 4] ...

Densities: so many layers of one image channel, equally wide in their hidden layers (two of them, 3x3 and, in
residual nets, 1x1 between). step_s is forward and backward of the negative log-likelihood under a normal
base, inverse_s the inverse of one batch with its log-determinant, error the largest |x - inverse(forward x)|.
normflows (`pip install normflows`) has masked affine coupling (two networks, as ours) and the residual flow
(kept contractive by five power iterations a step); its rows are missing where it is not installed.

Recurrences: a training step of the frame predictor, 10 + 10 frames; the ConvLSTM is `eqflow.motion.rivals`'.
Steerable convolution: a training step of one layer from regular to regular fields of D4, filter expansion
included, and escnn's `R2Conv`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import tables
from eqflow.density import GCoupling, GResidual, folded_checkerboard
from eqflow.motion import FramePredictor, TranslationCell
from eqflow.motion.rivals import ConvLSTMCell
from eqflow.symmetry import cyclic, dihedral, translation_grid
from eqflow.symmetry.steerable import SteerableConv2d, _escnn

FORMATS = {
    "contender": "s",
    "step_s": ".4f",
    "against": ".2f",
    "inverse_s": ".4f",
    "error": ".1e",
    "parameters": "d",
}
NO_PEER = "normflows is not installed: its rows are missing (`pip install normflows`)."


def has_normflows() -> bool:
    return importlib.util.find_spec("normflows") is not None


def densities(args) -> dict[str, tuple[nn.Module, Callable, Callable]]:
    """Layers, encode and decode of each (layer, x) -> (z, log-determinant), by name."""
    event, k, found = (1, args.size, args.size), args.channels, {}
    for group in (cyclic(1), dihedral(4)):
        fields = k // len(group)
        made = {
            "coupling": lambda i, g=group, f=fields: GCoupling(
                g, event, mask=folded_checkerboard(*event[1:]), flip=i % 2 == 1, hidden_fields=f
            ),
            "residual": lambda i, g=group, f=fields: GResidual(
                g, event, hidden_fields=(f, f), logdet="roulette"
            ),
        }
        for kind, make in made.items():
            layers = nn.ModuleList(make(i) for i in range(args.blocks))
            there, back = lambda layer, x: layer.encode(x), lambda layer, z: layer.decode(z)
            found[f"{kind}, {group}"] = layers, there, back
    if has_normflows():
        found |= peers(args, event)
    return found


def peers(args, event: tuple[int, ...]) -> dict:
    """normflows' layers; its residual flow runs backwards, and is asked to bound its filters first."""
    import normflows as nf

    k, mask = args.channels, folded_checkerboard(*event[1:])[None].float()

    def coupling(i):
        nets = [nf.nets.ConvNet2d([1, k, k, 1], [3, 3, 3], leaky=0.01, init_zeros=False) for _ in range(2)]
        return nf.flows.MaskedAffineFlow(1 - mask if i % 2 else mask, *nets)

    def bounded(layer, x):
        nf.utils.update_lipschitz(layer, 5)
        return layer.inverse(x)

    residual = [nf.nets.LipschitzCNN([1, k, k, 1], [3, 1, 3], init_zeros=False) for _ in range(args.blocks)]
    found = {"coupling": nn.ModuleList(coupling(i) for i in range(args.blocks))}
    found["residual"] = nn.ModuleList(nf.flows.Residual(net, reverse=True) for net in residual)
    back = {"coupling": lambda layer, z: layer.inverse(z), "residual": lambda layer, z: layer.forward(z)}
    there = {"coupling": lambda layer, x: layer.forward(x), "residual": bounded}
    return {f"{kind}, normflows": (found[kind], there[kind], back[kind]) for kind in found}


def through(layers, move: Callable, x: Tensor) -> tuple[Tensor, Tensor]:
    total = torch.zeros(len(x))
    for layer in layers:
        x, log_det = move(layer, x)
        total = total + log_det
    return x, total


def recurrences(args) -> dict[str, nn.Module]:
    cells = {f"FERNN, V = {(2 * v + 1) ** 2}": v for v in (0, 1, 2)}
    found = {
        name: FramePredictor(TranslationCell(1, 16, motions=translation_grid(v))) for name, v in cells.items()
    }
    return found | {"ConvLSTM": FramePredictor(ConvLSTMCell(1, 16))}


def convolutions(args) -> dict[str, Callable[[], Tensor]]:
    group, fields = dihedral(4), args.channels // 8
    x = torch.randn(args.batch, args.channels, args.size, args.size, requires_grad=True)
    ours = SteerableConv2d(group, fields, fields, bias=False)
    escnn = _escnn()
    space = escnn.gspaces.flipRot2dOnR2(N=4)
    kind = escnn.layers.FieldType(space, fields * [space.regular_repr])
    theirs = escnn.layers.R2Conv(kind, kind, 3, padding=1, bias=False)
    plain = nn.Conv2d(args.channels, args.channels, 3, padding=1, bias=False)
    return {
        "convolution, plain": (plain, lambda: plain(x)),
        "convolution, D4": (ours, lambda: ours(x)),
        "convolution, escnn D4": (
            theirs,
            lambda: theirs(escnn.layers.GeometricTensor(x, kind)).tensor,
        ),
    }


def train(net: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    def step():
        net.zero_grad()
        loss().backward()

    return step


def compare(args) -> list[dict]:
    """A row per contender; `against` is the time of its plain or first contender over its own."""
    device, generator = torch.device("cpu"), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    x = torch.rand(args.batch, 1, args.size, args.size, generator=generator)
    video = torch.rand(4, 10, 1, args.size, args.size, generator=generator)
    steps, backs, errors, sizes = {}, {}, {}, {}

    def likelihood(layers, there):
        z, total = through(layers, there, x)
        return (z.square().flatten(1).sum(1) / 2 - total).mean()

    for name, (layers, there, back) in densities(args).items():
        steps[name] = train(layers, lambda n=layers, t=there: likelihood(n, t))
        sizes[name] = layers
        steps[name]()
        layers.eval()
        z = through(layers, there, x)[0].detach()
        backs[name] = torch.no_grad()(lambda n=layers, b=back, z=z: through(reversed(n), b, z))
        errors[name] = float((backs[name]()[0].detach() - x).abs().max())
        layers.train()
    for name, net in recurrences(args).items():
        sizes[name], steps[name] = net, train(net, lambda n=net: n(video, 10).square().mean())
    for name, (net, call) in convolutions(args).items():
        sizes[name], steps[name] = net, train(net, lambda c=call: c().square().mean())
    spent = tables.in_turn(steps, args.rounds, device)
    inverse, nan = tables.in_turn(backs, args.rounds, device), float("nan")
    first = {"coupling": "coupling, C1", "residual": "residual, C1", "convolution": "convolution, plain"}
    rows = []
    for name in steps:
        base = spent[first.get(name.split(",")[0], "FERNN, V = 1")]
        count = sum(p.numel() for p in sizes[name].parameters())
        values = [name, spent[name], spent[name] / base, inverse.get(name, nan), errors.get(name, nan), count]
        rows.append(dict(zip(FORMATS, values, strict=True)))
    return sorted(rows, key=lambda row: row["contender"].split(",")[0])


def verdict(row: dict) -> str:
    if row["contender"] == "coupling, D4":
        return "1.1x of plain " + ("met" if row["against"] <= 1.1 else "MISSED")
    return ""


def main(arguments: list[str] | None = None) -> None:
    sizes = {"channels": 32, "batch": 16, "size": 16, "blocks": 4}
    args = tables.options(__doc__, rounds=5, **sizes).parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows = compare(args)
    text = (
        f"Layers beside those of other libraries: {args.blocks} layers of a density, {args.channels} hidden "
        f"channels, {args.size}x{args.size}, batch {args.batch}; {args.rounds} interleaved rounds, medians. "
        f"`against`: its time over that of the plain one, or over FERNN's with V = 1.\n"
        f"{tables.machine(args)}."
        f"{'' if has_normflows() else ' ' + NO_PEER}\n\n"
    )
    tables.save(args.output, "peers", text + tables.markdown(rows, FORMATS, verdict), rows)


if __name__ == "__main__":
    main()
