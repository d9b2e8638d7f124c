"""Densities of points and images, fitted by maximum likelihood (flow matching: by its own loss): model,
batches, loss and evaluation from a run's config alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from eqflow.data import (
    ConcentricRings,
    EightGaussians,
    ImageSet,
    augment_images,
    image_set_info,
    load_images,
)
from eqflow.density import (
    ActNorm,
    AngularMap,
    Bijection,
    Chain,
    FieldType,
    FlowMatching,
    GCoupling,
    GResidual,
    ImageField,
    Logit,
    NormalizingFlow,
    PlaneField,
    QuotientResidual,
    RadialField,
    RadialMap,
    Squeeze,
    StandardNormal,
    dequantize,
    glow,
    initialize,
)
from eqflow.density.fit import draw_from, drawing_from
from eqflow.density.glow import invariant_mask
from eqflow.symmetry import PlanarGroup, cyclic, dihedral
from eqflow.training import Task, sent

# Fixed for all runs: every model and seed is validated and tested on the same points or dequantized images.
SUBSET_SEED, VALIDATION_SEED, TEST_SEED = 3_000_000, 3_000_001, 3_000_002
TOYS = {"eight_gaussians": EightGaussians, "rings": ConcentricRings}
LEVELS = 256
# The lengths of the series are drawn once for a batch, and here they are fixed: their error is no noise but
# an offset. Of a trained D4 net on 64 digits: 2.682 bits/dim with the two exact terms of training, 2.953 with
# these, 2.956 exactly.
VALIDATION_ROULETTE = {"exact_terms": 16}


def planar_group(name: str) -> PlanarGroup:
    """ "C4" or "D4" -> the group."""
    return {"C": cyclic, "D": dihedral}[name[0]](int(name[1:]))


def build(config: dict) -> NormalizingFlow | FlowMatching:
    """The density: actnorms and layers in turn, after a logit if events are images; the base is normal.

    Beyond the first scale every 2x2 block of pixels is squeezed into channels. "polar" is one map of the
    radius and, but for the group O(2), one of the angle; "glow" as `eqflow.density.glow` says.
    """
    if config["layer"] == "flow_matching":
        return _flow_matching(config)
    if config["layer"] == "polar":
        angular = [] if config["group"] == "O(2)" else [AngularMap(planar_group(config["group"]))]
        return NormalizingFlow(
            StandardNormal((2,)), Chain([ActNorm((2,), field_type="vector"), RadialMap(), *angular])
        )
    group, shape = planar_group(config["group"]), tuple(config["event"])
    if config["layer"] == "glow":
        width, *more = config["hidden_fields"]
        options = {name: config[name] for name in ("scales", "blocks", "splines", "padding", "alpha")}
        return glow(group, shape, hidden_fields=width, depth=1 + len(more), **options)
    links, fields = [], "vector"
    if len(shape) == 3:
        links, fields = [Logit(shape, config["alpha"])], FieldType.of(group, shape[0], "trivial")
    for scale in range(config["scales"]):
        if scale:
            links.append(Squeeze(group, fields))
            fields = links[-1].encoded_type
            shape = (fields.channels, shape[1] // 2, shape[2] // 2)
        for block in range(config["blocks"]):
            links.append(ActNorm(shape, group, field_type=fields))
            links.append(_layer(config, group, shape, fields, flip=bool(block % 2)))
    return NormalizingFlow(StandardNormal(shape), Chain(links))


def _flow_matching(config: dict) -> FlowMatching:
    """Points are seen as they are, pixels of [0, 1] as numbers of [-2, 2]."""
    shape, width = tuple(config["event"]), config["hidden_fields"][0]
    if config["group"] == "O(2)":
        return FlowMatching(RadialField(width=width), shape, steps=20)
    group = planar_group(config["group"])
    if len(shape) == 1:
        return FlowMatching(PlaneField(group, width=width), shape, steps=20)
    field = ImageField(group, shape[0], fields=width, blocks=config["blocks"])
    return FlowMatching(field, shape, scale=4.0, shift=-2.0, logit_normal=True, steps=10, probes=1)


def _layer(
    config: dict, group: PlanarGroup, shape: tuple[int, ...], fields: str | FieldType, *, flip: bool
) -> Bijection:
    if config["layer"] == "residual":
        names = ("coefficient", "hidden_fields", "activation", "steepness")
        options = {name: config[name] for name in names}
        if len(shape) == 1:
            return GResidual(group, shape, field_type=fields, logdet="exact", **options)
        options |= {"logdet": "roulette", "logdet_options": config["roulette"], "padding": config["padding"]}
        if fields.name == "quotient":
            return QuotientResidual(fields, shape[1:], **options)
        return GResidual(group, shape, field_type=fields.name, **options)
    mask = invariant_mask(group, shape)
    width, *more = config["hidden_fields"]
    options = {"hidden_fields": width, "depth": 1 + len(more), "soft": config["soft"]}
    return GCoupling(
        group, shape, field_type=fields, mask=mask, flip=flip, padding=config["padding"], **options
    )


def checksum(config: dict) -> str:
    """Of the data set: the name of a toy density, the files of an image set."""
    name = config["source"]
    return hashlib.sha256(name.encode()).hexdigest() if name in TOYS else image_set_info(name)[2]


def data_label(config: dict) -> str:
    """What captions call the data."""
    name = config["source"]
    return TOYS[name]().name if name in TOYS else image_set_info(name)[1]


def is_stand_in(config: dict) -> bool:
    """Whether the images stand in for the paper's; a toy density is the paper's own."""
    return config["source"] not in TOYS and image_set_info(config["source"])[3]


def loader(config: dict) -> tuple[Callable, str] | None:
    """What loads the images, and what it is given; None for points, which are drawn."""
    return None if config["source"] in TOYS else (load_images, config["source"])


@lru_cache(maxsize=2)
def images_of(name: str) -> ImageSet:
    """An image set, kept in memory."""
    return load_images(name, progress=False)


def held_out(config: dict, split: str) -> Tensor:
    """The fixed "validation" or "test" events of an experiment, the same for every model and seed.

    Images are dequantized here, once: an element of a group moves the noise with them.
    """
    seed = VALIDATION_SEED if split == "validation" else TEST_SEED
    count = config["val_size"] if split == "validation" else config["test_size"]
    generator = torch.Generator().manual_seed(seed)
    if config["source"] in TOYS:
        return TOYS[config["source"]]().sample(count, generator)
    images = images_of(config["source"])
    pixels = images.val if split == "validation" else images.test
    chosen = torch.randperm(len(pixels), generator=generator)[:count]
    return dequantize(pixels[chosen], generator, levels=LEVELS)


def act(group: PlanarGroup, g: int, x: Tensor) -> Tensor:
    """g on points (B, 2) or images (B, C, H, W)."""
    return group.act_points(g, x) if x.ndim == 2 else group.act_image(g, x)


def orbit_log_prob(model: nn.Module, x: Tensor, group: PlanarGroup, batch_size: int | None = None) -> Tensor:
    """log p(g x) in nats for every element, float64 (|G|, B), by the log-determinants that the model has.

    In batches of `batch_size`: by default 64 images, or 4096 points.
    """
    batch_size = batch_size or (4096 if x.ndim == 2 else 64)
    device = next(model.parameters()).device
    rows = []
    with torch.no_grad():
        for g in group:
            moved = act(group, g, x).split(batch_size)
            rows.append(torch.cat([model.log_prob(part.to(device)).double().cpu() for part in moved]))
    return torch.stack(rows)


def unit(config: dict, log_prob: Tensor) -> Tensor:
    """Minus log p as it is reported: nats per point, or bits per dimension of an 8-bit image."""
    if config["source"] in TOYS:
        return -log_prob
    return -log_prob / (math.prod(config["event"]) * math.log(2)) + math.log2(LEVELS)


def exact_logdet(model: nn.Module) -> nn.Module:
    """The same model, in place, with exact log-determinants: slow for images that residual layers carry."""
    for part in model.modules():
        if isinstance(part, FlowMatching):
            part.probes = None
    return _with_logdet(model, "exact", {"batch": 1})  # of 144 pixels on a CPU 3 times faster than batches


def _with_logdet(model: nn.Module, logdet: str, options: dict) -> nn.Module:
    """Residual layers get an estimator and its options, in place."""
    for part in model.modules():
        if isinstance(part, GResidual):
            part.logdet, part.logdet_options = logdet, options
    return model


def orbit_metrics(config: dict, log_prob: Tensor) -> dict:
    """What the orbits of events tell, from log p(g x) (|G|, B) of the group `config["symmetry"]`.

    Returns:
        orbit_nll: mean over the orbits ("average group bits/dim"), in `unit`s; averaged_nll: of the density
        averaged over the group, p_G(x) = mean p(g x); symmetry_gap: largest |log p(g x) - log p(x)|, nats.
        Where log-determinants are estimates, their noise makes averaged_nll too low and is in the gap.
    """
    averaged = log_prob.logsumexp(0) - math.log(len(log_prob))
    return {
        "orbit_nll": float(unit(config, log_prob).mean()),
        "averaged_nll": float(unit(config, averaged).mean()),
        "symmetry_gap": float((log_prob - log_prob[0]).abs().max()),
    }


def loss_of(
    model: nn.Module, config: dict, x: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """What is trained on: minus log p in `unit`s, or flow matching's own loss, which draws from `generator`."""
    if isinstance(model, FlowMatching):
        return model.loss(x, generator).mean()
    return unit(config, model.log_prob(x)).mean()


def empty_batch(config: dict, device: torch.device | str) -> Tensor:
    """A batch in form, for those who count operations."""
    return torch.empty(config["batch_size"], *config["event"], device=device)


def task(config: dict, seed: int, model: NormalizingFlow | FlowMatching, device: torch.device) -> Task:
    """Batches, loss, validation and test of one run; actnorms start from the first training events.

    Images get fresh dequantization noise at every showing. The loss draws too (the estimates of log-
    determinants), from a generator of its own on the model's device: every batch seeds it, so that batches
    are the same on every device and whatever the loss draws. Validation is on the whole orbit where log-
    determinants are exact, else on the events as they are, estimated with fixed random numbers. Flow matching
    is validated by its own loss, which is no likelihood.
    """
    generator, name = torch.Generator().manual_seed(seed), config["source"]
    group, augment = planar_group(config["symmetry"]), config["augment"]
    validation, estimated = held_out(config, "validation"), not model.exact
    if name in TOYS:
        toy = TOYS[name]()
        train = toy.sample(config["train_size"], torch.Generator().manual_seed(SUBSET_SEED))
    else:
        train = images_of(name).train
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(SUBSET_SEED))
        train = train[order[: config["train_size"]]]

    def training(index: Tensor) -> Tensor:
        if name in TOYS:
            if augment is None:
                return train[index]
            moves = planar_group(augment)
            elements = torch.randint(len(moves), (len(index),), generator=generator)
            matrices = torch.stack([moves.matrix(g) for g in moves]).to(train)
            return torch.einsum("bij,bj->bi", matrices[elements], train[index])
        images = train[index]
        if augment is not None:
            images = augment_images(images, planar_group(augment), generator)
        return dequantize(images, generator, levels=LEVELS)

    def batch() -> Tensor:
        x = sent(training(torch.randint(len(train), (config["batch_size"],), generator=generator)), device)
        draws.manual_seed(int(torch.randint(2**62, (), generator=generator)))  # a checkpoint has `generator`
        return x

    def loss(x: Tensor) -> Tensor:
        return loss_of(model, config, x, draws)

    def validate() -> float:
        if isinstance(model, FlowMatching):
            fixed = torch.Generator(device).manual_seed(VALIDATION_SEED)
            return model.loss(validation.to(device), fixed).mean().item()
        elements = cyclic(1) if estimated else group
        if estimated:
            _with_logdet(model, "roulette", VALIDATION_ROULETTE)
        with drawing_from(model, torch.Generator(device).manual_seed(VALIDATION_SEED)):
            found = float(unit(config, orbit_log_prob(model, validation, elements)).mean())
        if estimated:
            _with_logdet(model, "roulette", config["roulette"])
        return found

    def evaluate() -> dict:
        if config["test_logdet"] == "exact":
            exact_logdet(model)  # nothing is trained after this
        else:
            draw_from(model, torch.Generator(device).manual_seed(TEST_SEED))
        events = held_out(config, "test")
        few = events[: config["orbit_size"]]
        found = orbit_metrics(config, orbit_log_prob(model, few, group))
        scores = unit(config, orbit_log_prob(model, events, cyclic(1)))[0]
        found["test_nll"] = float(scores.mean())
        found["test_error"] = float(scores.std() / len(scores) ** 0.5)  # over events, and of estimates
        found["test_logdet"] = "exact" if model.exact else "estimate"
        found["parameters"] = sum(p.numel() for p in model.parameters())
        return found

    draws = torch.Generator(device)
    draw_from(model, draws)
    if isinstance(model, NormalizingFlow):
        first = torch.Generator().manual_seed(SUBSET_SEED)
        start = training(torch.randint(len(train), (min(len(train), 256),), generator=first))
        initialize(model.bijection, start.to(device))
    generator.manual_seed(seed)
    return Task(batch, loss, validate, evaluate, generator, best=config["best"])
