"""Image sets: uint8 pixels (N, C, H, W) and labels, split once and for all, each named as what it is.

A density needs discrete pixels to be dequantized, so nothing here is scaled to [0, 1]: whatever is
interpolated is rounded back to 8 bits. Angles, reflections and shifts are functions of numbers that come from
a hash, so that a set is the same everywhere; rounding may move a pixel by one grey level between machines.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from eqflow.data import image_readers
from eqflow.data.download import DataError
from eqflow.data.image_files import CIFAR10, CIFAR10_SUBSET, MNIST_ROT, find, obtain
from eqflow.data.image_readers import Read, held_out
from eqflow.data.rotating import turned
from eqflow.data.sources import digit_set_info, load_digits, mnist_files
from eqflow.symmetry import PlanarGroup

# To be raised with every change of how images are made, split or moved; it enters all checksums.
RECIPE = "eqflow/density-images/1"

VARIANTS = {
    "rotated": "turned by uniform angles (bilinear, 8 bits)",
    "reflected": "left and right exchanged with probability 1/2",
    "translated": "rolled over the torus by uniform whole pixels",
}
_DIGITS_CANVAS = 12  # px: an 8x8 digit fits at every angle, and two 2x2 squeezes leave 3x3

PHOTOS = {
    "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
}
PATCH_SIDES = (8, 16, 32)
_BLOCK = 64  # px: a photograph is cut into such squares, and each goes to one split as a whole
_BLOCKS_OF = {"test": 12, "val": 6}  # of a photograph's 60; the others are for training


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with labels, split once and for all.

    Attributes:
        name: Short name, one of `IMAGE_SETS`.
        label: What captions call it; a stand-in says that it is one.
        checksum: sha256 that stands for the files used and for what was made of them.
        stand_in: True where the set stands in for the paper's.
        train, val, test: uint8 (N, C, H, W).
        train_labels, val_labels, test_labels: int64 (N,), classes from 0 on; None for photographs.
    """

    name: str
    label: str
    checksum: str
    stand_in: bool
    train: Tensor
    train_labels: Tensor | None
    val: Tensor
    val_labels: Tensor | None
    test: Tensor
    test_labels: Tensor | None


def _infos() -> dict[str, tuple[str, str, bool]]:
    """name -> (label, what its bytes depend on, stand_in)."""
    _, _, digits, _ = digit_set_info("embedded")
    _, _, mnist, _ = digit_set_info("real")
    found = {
        "digits": ("scikit-learn digits; a stand-in for MNIST", digits, True),
        "mnist": ("MNIST", mnist, False),
    }
    for variant, how in VARIANTS.items():
        found[f"digits_{variant}"] = f"scikit-learn digits, {how}; a stand-in for MNIST", digits, True
        # Only of the rotated one there is a published original that another rotation stands in for.
        original = "; a stand-in for mnist-rot" if variant == "rotated" else ""
        found[f"mnist_{variant}"] = f"MNIST, {how}{original}", mnist, bool(original)
    # "/upright": the recipe of this set alone has changed, since it is not mirrored.
    found["mnist_rot"] = "mnist-rot (Larochelle et al. 2007)", f"{MNIST_ROT.checksum}/upright", False
    found["cifar10"] = "CIFAR-10", CIFAR10.checksum, False
    found["cifar10_subset"] = (
        "CIFAR-10, a subset (8,068 + 1,017 images); a stand-in for the full set",
        CIFAR10_SUBSET.checksum,
        True,
    )
    for side in PATCH_SIDES:
        label = f"{side}x{side} colour patches of two photographs (scikit-learn); a stand-in for CIFAR-10"
        found[f"photo_patches{side}"] = label, "".join(PHOTOS.values()), True
    return found


IMAGE_SETS = tuple(_infos())


def image_set_info(name: str) -> tuple[str, str, str, bool]:
    """(name, label, checksum, stand_in) of a set, without reading or downloading anything."""
    if name not in IMAGE_SETS:
        raise ValueError(f"expected one of {', '.join(IMAGE_SETS)}; got {name!r}")
    label, content, stand_in = _infos()[name]
    return name, label, hashlib.sha256(f"{RECIPE}/{name}/{content}".encode()).hexdigest(), stand_in


def image_set_here(name: str) -> bool:
    """Whether a set can be had without downloading anything (contents unchecked)."""
    image_set_info(name)  # refuses other names
    if name in _FILES:
        return find(_FILES[name][0]) is not None
    return not name.startswith("mnist") or None not in mnist_files().values()


def load_images(name: str, *, progress: bool = True) -> ImageSet:
    """Loads a set, its files verified by checksum.

    * ``digits``: scikit-learn's 8x8 digits, their 17 grey levels stretched to 0 ... 255; (1293, 144, 360)
      images of (1, 8, 8). ``digits_rotated``, ``digits_reflected``, ``digits_translated``: the same in the
      middle of 12x12 px. Only rotation fills the levels between, so bits/dim are not comparable from one to
      another.
    * ``mnist``: (54000, 6000, 10000) images of (1, 28, 28). ``mnist_rotated``, ``mnist_reflected``,
      ``mnist_translated``: in the sizes of mnist-rot, (10000, 2000, 50000): of the 70,000 the first 12,000
      and the last 50,000, the same in all three.
    * ``mnist_rot``: the published rotated MNIST, its real numbers in [0, 1] rounded to 8 bits, same sizes;
      not mirrored, whichever way its pixels are stored (see `eqflow.data.image_readers.pixel_order`).
    * ``cifar10``: (45000, 5000, 10000) of (3, 32, 32). ``cifar10_subset``: (7261, 807, 1017), the same
      bytes, from a file that `EQFLOW_DATA` must hold: no score on it compares with one on the full set.
    * ``photo_patches8``, ``...16``, ``...32``: half-overlapping patches of 64x64 px blocks; a block belongs
      to one split, so no two splits share a pixel. Their pixels may differ with the JPEG decoder. No labels.

    Digits to make videos of, in [0, 1] and with a torus to move on: `load_digits`.

    Args:
        name: One of `IMAGE_SETS`.
        progress: Show a progress bar while downloading.

    Raises:
        DataError: A file cannot be had, read or kept, or is not the right one: one line with the path and the
            remedy. No set is ever replaced by another one.
    """
    info = image_set_info(name)
    if name in _FILES:
        file, read = _FILES[name]
        path = obtain(file, progress=progress)
        try:
            images, labels, sizes = read(path)
        except (OSError, KeyError, ValueError) as error:
            raise DataError(f"cannot read {path} ({error}): replace or remove it") from None
    elif name.startswith("photo_patches"):
        images, labels, sizes = _patches(int(name.removeprefix("photo_patches")))
    else:
        images, labels, sizes = _digits(name, progress)
    parts = zip(_split(images, sizes), 3 * [None] if labels is None else _split(labels, sizes), strict=True)
    return ImageSet(*info, *(x if x is None else x.contiguous() for part in parts for x in part))


def move_images(images: Tensor, group: PlanarGroup, g: int) -> Tensor:
    """Element g of the group on 8-bit images: uint8 (N, C, H, W) -> the same.

    Where g maps the grid to itself, bytes only change places. Any other element interpolates bilinearly, with
    zeros outside, and rounds to 8 bits: then no element undoes it, and it does not belong to a group.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(f"expected uint8 images (N, C, H, W); got {images.dtype} {tuple(images.shape)}")
    if group.is_exact(g):
        return group.act_image(g, images)
    return group.act_image(g, images.double()).round_().to(torch.uint8)


def augment_images(images: Tensor, group: PlanarGroup, generator: torch.Generator) -> Tensor:
    """Images, uint8 (N, C, H, W), each moved by a uniformly drawn element of its own, as by `move_images`."""
    elements = torch.randint(len(group), (len(images),), generator=generator, device=generator.device)
    elements, moved = elements.to(images.device), torch.empty_like(images)
    for g in elements.unique().tolist():
        moved[elements == g] = move_images(images[elements == g], group, g)
    return moved


def _numbers(count: int, what: str) -> np.ndarray:
    """Uniform numbers in [0, 1), exact: float64 (count,)."""
    return np.frombuffer(hashlib.shake_256(f"{RECIPE}/{what}".encode()).digest(4 * count), "<u4") / 2.0**32


def _split(x: Tensor, sizes: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The first ones, the next ones and the last ones."""
    train, val, test = sizes
    return x[:train], x[train : train + val], x[len(x) - test :]


def _digits(name: str, progress: bool) -> Read:
    source, _, variant = name.partition("_")
    found = load_digits("embedded" if source == "digits" else "real", progress=progress)
    images = (torch.cat([found.train, found.test]) * 255).round_().to(torch.uint8)
    labels = torch.cat([found.train_labels, found.test_labels])
    sizes = held_out(len(found.train), len(found.test))
    if variant:
        if source == "mnist":
            sizes = image_readers.MNIST_ROT_SPLIT
        images, labels = (torch.cat(_split(x, sizes)) for x in (images, labels))
        if source == "digits":
            images = pad(images, [(_DIGITS_CANVAS - images.shape[-1]) // 2] * 4)
        numbers = [torch.from_numpy(_numbers(len(images), f"{variant}/{axis}")) for axis in "xy"]
        images = _VARIANTS[variant](images, *numbers)
    return images[:, None], labels, sizes


def _rotated(images: Tensor, x: Tensor, _: Tensor) -> Tensor:
    batches = zip(images.split(1000), (360 * x[:, None]).split(1000), strict=True)  # bounds the memory
    return torch.cat([turned(some.double(), at)[:, 0].round_().to(torch.uint8) for some, at in batches])


def _reflected(images: Tensor, x: Tensor, _: Tensor) -> Tensor:
    return torch.where(x[:, None, None] < 0.5, images.flip(-1), images)


def _translated(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    count, height, width = images.shape
    row = (torch.arange(height) - (height * y[:, None]).long()) % height  # (N, H)
    column = (torch.arange(width) - (width * x[:, None]).long()) % width  # (N, W)
    return images[torch.arange(count)[:, None, None], row[:, :, None], column[:, None, :]]


_VARIANTS = {"rotated": _rotated, "reflected": _reflected, "translated": _translated}


def _patches(side: int) -> tuple[Tensor, None, tuple[int, int, int]]:
    from PIL import Image

    splits: dict[str, list[Tensor]] = {"train": [], "val": [], "test": []}
    for name, sha256 in PHOTOS.items():
        content = files("sklearn.datasets.images").joinpath(name).read_bytes()
        got = hashlib.sha256(content).hexdigest()
        if got != sha256:
            raise DataError(
                f"scikit-learn's {name}: expected sha256 {sha256[:12]}...; got {got[:12]}...: "
                "reinstall the scikit-learn that requirements.lock pins"
            )
        photo = torch.from_numpy(np.array(Image.open(io.BytesIO(content)).convert("RGB"))).movedim(-1, 0)
        blocks = photo.unfold(1, _BLOCK, _BLOCK).unfold(2, _BLOCK, _BLOCK).flatten(1, 2)  # (3, 60, 64, 64)
        rank = iter(np.argsort(_numbers(blocks.shape[1], f"patches/{name}"), kind="stable").tolist())
        chosen = {split: [next(rank) for _ in range(count)] for split, count in _BLOCKS_OF.items()}
        chosen["train"] = list(rank)
        for split, numbers in chosen.items():
            windows = blocks[:, numbers].unfold(2, side, side // 2).unfold(3, side, side // 2)
            splits[split].append(windows.flatten(1, 3).movedim(0, 1))  # (N, 3, side, side)
    parts = [torch.cat(some) for some in splits.values()]
    return torch.cat(parts), None, tuple(map(len, parts))


_FILES = {
    "cifar10": (CIFAR10, image_readers.cifar10),
    "cifar10_subset": (CIFAR10_SUBSET, image_readers.cifar10_subset),
    "mnist_rot": (MNIST_ROT, image_readers.mnist_rot),
}
