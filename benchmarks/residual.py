"""Speed, memory and variance of a training step of G-residual layers, against the published recipe.

    python -m benchmarks.residual [--fields 8] [--blocks 4] [--batch 16] [--size 28] ...

A step is forward and backward of the negative log-likelihood under a normal base, group C4, kernels 3-1-3,
zero padding, in one process, all contenders in turn, round after round; seconds are medians over the rounds,
and speed-ups are ratios of medians. "published" is `benchmarks.reference_residual`: 200 power iterations per
layer, 10 exact terms and a geometric number more, the series differentiated as it stands; the weights are
ours. "ours": norms by frequency, 2 exact terms and a geometric number more, the Neumann
gradient. Both draw their numbers of terms anew in every round, the same for all who use the same law. "wide"
is the plain layer with as many channels, "small" the plain layer with about as many parameters. decode_s
inverts one batch in eval, with its log-determinant. Standard deviations are those of one estimate of the
log-determinant of all blocks, in bits per pixel, of our weights after `--steps` steps of Adam on smooth
images.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import reference_residual, tables
from eqflow.density.residual import GResidual
from eqflow.study.notebooks.meters import peak_bytes
from eqflow.symmetry import PlanarGroup, cyclic

TARGETS = {8: (4.0, 1.0, 1.1)}  # fields: speed-up, memory, ours over wide
FORMATS = {  # of the columns
    "fields": "d",
    "published_s": ".3f",
    "ours_s": ".3f",
    "speedup": ".2f",
    "published_MiB": ".0f",
    "ours_MiB": ".0f",
    "memory": ".3f",
    "published_sd": ".4f",
    "ours_sd": ".4f",
    "wide_s": ".3f",
    "small_s": ".3f",
    "decode_s": ".3f",
}


def blocks(args, group: PlanarGroup, fields: int) -> nn.ModuleList:
    """The layers, whose estimators draw from a generator of their own."""
    event, draw = (1, args.size, args.size), torch.Generator().manual_seed(0)
    options = {"hidden_fields": (fields, fields), "logdet": "roulette", "generator": draw}
    layers = nn.ModuleList(GResidual(group, event, **options) for _ in range(args.blocks))
    layers.to(args.device, getattr(torch, args.dtype))
    chance = torch.Generator(args.device).manual_seed(1)
    for layer in layers:
        layer.generator = chance
    return layers


def parameters(layers: nn.Module) -> int:
    return sum(p.numel() for p in layers.parameters())


def same_parameters(args, wanted: int) -> nn.ModuleList:
    """The plain layers whose number of parameters is nearest."""
    # Per block, of width w: filters 9 w + w^2 + 9 w, biases w + w + 1, slopes 2 w.
    width = round(math.sqrt(120 + wanted / args.blocks) - 11)
    return blocks(args, cyclic(1), max(1, width))


def smooth_images(args, count: int) -> Tensor:
    """Noise with a correlation length of some pixels, standard deviation 1."""
    draw = torch.Generator().manual_seed(2)
    noise = torch.randn(count, 1, args.size, args.size, generator=draw)
    images = F.avg_pool2d(F.avg_pool2d(noise, 5, 1, 2), 5, 1, 2)
    return (images / images.std()).to(args.device, getattr(torch, args.dtype))


def loss(encode, layers, x: Tensor) -> Tensor:
    """Negative log-likelihood in nats per pixel, up to a constant; encode(layer, z) -> z, log-determinant."""
    z, total = x, 0.0
    for layer in layers:
        z, log_det = encode(layer, z)
        total = total + log_det
    return (z.square().flatten(1).sum(1) / 2 - total).mean() / x[0].numel()


def ours(layer, z):
    return layer.encode(z)


def published(layer, z, **options):
    weights = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    return reference_residual.encode(weights, z, layer.coefficient, generator=layer.generator, **options)


def models(args, fields: int) -> dict[str, nn.ModuleList]:
    group = blocks(args, cyclic(4), fields)
    wide = blocks(args, cyclic(1), 4 * fields)
    return {"ours": group, "wide": wide, "small": same_parameters(args, parameters(group))}


def contenders(args, fields: int) -> dict:
    """One training step of each, by name, and the inverse."""
    nets, x = models(args, fields), smooth_images(args, args.batch)
    rounds = dict.fromkeys([*nets, "published"], 0)

    def train(name, encode, layers):
        rounds[name] += 1
        layers[0].generator.manual_seed(rounds[name])
        layers.zero_grad()
        loss(encode, layers, x).backward()

    frozen = blocks(args, cyclic(4), fields).eval()

    @torch.no_grad()
    def decode():
        frozen[0].generator.manual_seed(0)
        z = x
        for layer in reversed(frozen):
            z, _ = layer.decode(z)

    runs = {name: lambda n=name, net=net: train(n, ours, net) for name, net in nets.items()}
    return {"published": lambda: train("published", published, nets["ours"]), **runs, "decode": decode}


def deviations(args, fields: int) -> dict[str, float]:
    """Of one estimate each, bits per pixel, at weights that were trained a little."""
    layers, x = blocks(args, cyclic(4), fields), smooth_images(args, args.batch)
    optimizer = torch.optim.Adam(layers.parameters(), 1e-2)
    for _ in range(args.steps):
        optimizer.zero_grad()
        loss(ours, layers, x).backward()
        optimizer.step()
    layers.eval()
    few = functools.partial(published, iterations=20, keep=False)  # enough for a norm, and the weights stay
    found = {}
    with torch.no_grad():
        for name, encode in {"published": few, "ours": ours}.items():
            draws = []
            for _ in range(args.draws):
                z, total = x, 0.0
                for layer in layers:
                    z, log_det = encode(layer, z)
                    total = total + log_det
                draws.append(total)
            spread = torch.stack(draws).std(0).square().mean().sqrt().item()
            found[name] = spread / x[0].numel() / math.log(2)
    return found


def compare(args) -> list[dict]:
    """A row per number of fields."""
    device, rows = torch.device(args.device), []
    times = [tables.in_turn(contenders(args, fields), args.rounds, device) for fields in args.fields]
    for fields, spent in zip(args.fields, times, strict=True):  # memory after all timing, as it moves malloc
        runs, spread = contenders(args, fields), deviations(args, fields)
        held = {name: peak_bytes(runs[name], device) / 2**20 for name in ("published", "ours")}
        values = [fields, spent["published"], spent["ours"], spent["published"] / spent["ours"]]
        values += [held["published"], held["ours"], held["ours"] / held["published"]]
        values += [spread["published"], spread["ours"], spent["wide"], spent["small"], spent["decode"]]
        rows.append(dict(zip(FORMATS, values, strict=True)))
    return rows


def verdict(row: dict) -> str:
    if row["fields"] not in TARGETS:
        return ""
    speedup, memory, wide = TARGETS[row["fields"]]
    met = row["speedup"] >= speedup and row["memory"] <= memory and row["ours_s"] <= wide * row["wide_s"]
    return f"{speedup}x, memory {memory}, wide {wide}x " + ("met" if met else "MISSED")


def main(arguments: list[str] | None = None) -> None:
    sizes = {"blocks": 4, "batch": 16, "size": 28, "steps": 30, "draws": 50}
    parser = tables.options(__doc__, rounds=9, **sizes)
    parser.add_argument("--fields", type=int, nargs="+", default=[8], help="regular fields of a hidden layer")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows = compare(args)
    counts = [", ".join(f"{n} {parameters(m)}" for n, m in models(args, f).items()) for f in args.fields]
    text = (
        f"Training step of {args.blocks} G-residual layers, C4, {args.size}x{args.size}, batch {args.batch}; "
        f"medians of {args.rounds} interleaved rounds.\n{tables.machine(args)}. Parameters: "
        f"{'; '.join(counts)}. sd: of one estimate, bits per pixel, after {args.steps} steps.\n\n"
    )
    tables.save(args.output, "residual", text + tables.markdown(rows, FORMATS, verdict), rows)


if __name__ == "__main__":
    main()
