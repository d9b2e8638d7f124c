"""What changing over would cost or save: our layers beside those of other libraries, in one process, in turn.

    python -m benchmarks.peers [--channels 32] [--batch 16] [--size 16] [--blocks 4] ...

Densities: so many layers of one image channel, equally wide in their hidden layers (two of them, 3x3 and, in
residual nets and Glow, 1x1 between). step_s is forward and backward of the negative log-likelihood under a
normal base, inverse_s the inverse of one batch with its log-determinant, sample_s the same of new noise,
error the largest |x - inverse(forward x)|. A Glow of two scales has half of its blocks in each. normflows
(`pip install normflows`) has masked affine coupling (two networks, as ours), Glow's blocks (its first scale
sees half of the pixels, ours all of them, masked) and the residual flow (kept contractive by five power
iterations a step); its rows are missing where it is not installed. The exponential and the Fourier layer,
each of a single channel, and flow matching have no peer there. Flow matching is trained by a squared error
and draws in 40 Runge-Kutta steps; it has no call for the inverse of a batch alone.

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
from eqflow.density import (
    ConvExponential,
    FlowMatching,
    FourierConv,
    GCoupling,
    GResidual,
    ImageField,
    folded_checkerboard,
    glow,
    initialize,
)
from eqflow.motion import FramePredictor, TranslationCell
from eqflow.motion.rivals import ConvLSTMCell
from eqflow.symmetry import cyclic, dihedral, translation_grid
from eqflow.symmetry.steerable import SteerableConv2d, _escnn

FORMATS = {
    "contender": "s",
    "step_s": ".4f",
    "against": ".2f",
    "inverse_s": ".4f",
    "sample_s": ".4f",
    "error": ".1e",
    "parameters": "d",
}
SCALES = (1, 2)
NO_PEER = "normflows is not installed: its rows are missing (`pip install normflows`)."


def name_of(scales: int) -> str:
    return f"Glow of {scales} scale{'s' * (scales > 1)}"


def has_normflows() -> bool:
    return importlib.util.find_spec("normflows") is not None


def densities(args, x: Tensor) -> dict[str, tuple[nn.Module, Callable, Callable]]:
    """Layers, encode and decode of each (layer, x) -> (z, log-determinant), by name; x is to set actnorms."""
    event, k, found = tuple(x.shape[1:]), args.channels, {}
    for group in (cyclic(1), dihedral(4)):
        fields = k // len(group)
        made = {
            "coupling": lambda i, g=group, f=fields: GCoupling(
                g, event, mask=folded_checkerboard(*event[1:]), flip=i % 2 == 1, hidden_fields=f
            ),
            "residual": lambda i, g=group, f=fields: GResidual(
                g, event, hidden_fields=(f, f), logdet="roulette"
            ),
            "exponential": lambda i, g=group: ConvExponential(g, 1, field_type="trivial"),
            "Fourier": lambda i, g=group: FourierConv(g, 1, event[1:]),
        }
        kinds = {kind: nn.ModuleList(map(make, range(args.blocks))) for kind, make in made.items()}
        for scales in SCALES:
            flow = glow(group, event, scales=scales, blocks=args.blocks // scales, hidden_fields=fields)
            initialize(flow.bijection, x)
            kinds[name_of(scales)] = nn.ModuleList(flow.bijection)
        there, back = lambda layer, x: layer.encode(x), lambda layer, z: layer.decode(z)
        found |= {f"{kind}, {group}": (layers, there, back) for kind, layers in kinds.items()}
    if has_normflows():
        found |= peers(args, event)
    return found


def peers(args, event: tuple[int, ...]) -> dict:
    """normflows' layers, some running backwards; its residual flow is asked to bound its filters first."""
    import normflows as nf

    k, mask = args.channels, folded_checkerboard(*event[1:])[None].float()

    def coupling(i):
        nets = [nf.nets.ConvNet2d([1, k, k, 1], [3, 3, 3], leaky=0.01, init_zeros=False) for _ in range(2)]
        return nf.flows.MaskedAffineFlow(1 - mask if i % 2 else mask, *nets)

    def bounded(layer, x):
        nf.utils.update_lipschitz(layer, 5)
        return layer.inverse(x.view_as(x))  # it would have x itself require gradients, for all contenders

    def glow_layers(scales):
        links, channels = [nf.transforms.Logit()], 1
        for scale in range(scales):
            if scale:
                links, channels = [*links, nf.flows.Squeeze()], 4 * channels
            split = "checkerboard" if channels == 1 else "channel"
            for i in range(args.blocks // scales):
                mode = split + i % 2 * "_inv"
                links.append(nf.flows.GlowBlock(channels, k, split_mode=mode, leaky=0.01, init_zeros=False))
        return nn.ModuleList([*links, nf.flows.ActNorm((channels, 1, 1))])

    residual = [nf.nets.LipschitzCNN([1, k, k, 1], [3, 1, 3], init_zeros=False) for _ in range(args.blocks)]
    found = {"coupling": nn.ModuleList(coupling(i) for i in range(args.blocks))}
    found["residual"] = nn.ModuleList(nf.flows.Residual(net, reverse=True) for net in residual)
    found |= {name_of(scales): glow_layers(scales) for scales in SCALES}

    def forward(layer, x):
        return layer.forward(x)

    def inverse(layer, x):
        return layer.inverse(x)

    ways = {"coupling": (forward, inverse), "residual": (bounded, forward)}
    return {f"{kind}, normflows": (found[kind], *ways.get(kind, (inverse, forward))) for kind in found}


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


def flow_matching(args) -> dict[str, FlowMatching]:
    event, k = (1, args.size, args.size), args.channels
    fields = {g: ImageField(g, 1, fields=k // len(g), blocks=args.blocks) for g in (cyclic(1), dihedral(4))}
    return {
        f"flow matching, {g}": FlowMatching(field, event, scale=4, shift=-2) for g, field in fields.items()
    }


def compare(args) -> list[dict]:
    """A row per contender; `against` is its time over that of its plain or first contender."""
    device, generator = torch.device("cpu"), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    x = torch.rand(args.batch, 1, args.size, args.size, generator=generator)
    video = torch.rand(4, 10, 1, args.size, args.size, generator=generator)
    steps, backs, samples, errors, sizes = {}, {}, {}, {}, {}

    def likelihood(layers, there):
        z, total = through(layers, there, x)
        return (z.square().flatten(1).sum(1) / 2 - total).mean()

    for name, (layers, there, back) in densities(args, x).items():
        steps[name] = train(layers, lambda n=layers, t=there: likelihood(n, t))
        sizes[name] = layers
        steps[name]()
        layers.eval()
        z = through(layers, there, x)[0].detach()
        decode = torch.no_grad()(lambda z, n=layers, b=back: through(reversed(n), b, z))
        backs[name] = lambda d=decode, z=z: d(z)
        samples[name] = lambda d=decode, z=z: d(torch.randn(z.shape))
        errors[name] = float((backs[name]()[0].detach() - x).abs().max())
        layers.train()
    for name, net in flow_matching(args).items():
        sizes[name], steps[name] = net, train(net, lambda n=net: n.loss(x).mean())
        samples[name] = lambda n=net: n.sample(args.batch)
    for name, net in recurrences(args).items():
        sizes[name], steps[name] = net, train(net, lambda n=net: n(video, 10).square().mean())
    for name, (net, call) in convolutions(args).items():
        sizes[name], steps[name] = net, train(net, lambda c=call: c().square().mean())
    spent, inverse, drawn = (tables.in_turn(c, args.rounds, device) for c in (steps, backs, samples))
    nan, rows = float("nan"), []
    for name in steps:
        kind = name.split(",")[0]
        first = {"convolution": "convolution, plain", "ConvLSTM": "FERNN, V = 1", "FERNN": "FERNN, V = 1"}
        against = spent[name] / spent[first.get(kind, f"{kind}, C1")]
        measured = [inverse.get(name, nan), drawn.get(name, nan), errors.get(name, nan)]
        count = sum(p.numel() for p in sizes[name].parameters())
        rows.append(dict(zip(FORMATS, [name, spent[name], against, *measured, count], strict=True)))
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
