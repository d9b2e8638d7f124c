"""What is inside the files of image sets: images, labels, and how many belong to training, validation, test.

Every reader takes the path of a file whose checksum has been verified, and returns images, uint8 (N, C, H,
W), labels, int64 (N,), and the three sizes; training images come first, those of the test last.
"""

from __future__ import annotations

import math
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eqflow.data.rotating import turned
from eqflow.data.sources import load_digits

HELD_OUT = 0.1  # share of the training images that is kept for validation, where no size is published
MNIST_ROT_SPLIT = (10_000, 2_000, 50_000)  # train, val, test: Larochelle et al. 2007

Read = tuple[Tensor, Tensor, tuple[int, int, int]]


def held_out(train: int, test: int) -> tuple[int, int, int]:
    """Sizes of train, val and test, the last of the training images being kept for validation."""
    val = round(HELD_OUT * train)
    return train - val, val, test


def cifar10(path: Path) -> Read:
    """The official archive of pickles, in Python's version."""
    with tarfile.open(path) as archive:  # its checksum has been verified: these pickles are the known ones

        def batch(name: str) -> tuple[np.ndarray, list[int]]:
            found = pickle.load(archive.extractfile(f"cifar-10-batches-py/{name}"), encoding="bytes")
            return found[b"data"], found[b"labels"]

        batches = [batch(f"data_batch_{i}") for i in range(1, 6)] + [batch("test_batch")]
    images = torch.from_numpy(np.concatenate([data for data, _ in batches])).view(-1, 3, 32, 32)
    labels = torch.tensor([label for _, some in batches for label in some])
    test = len(batches[-1][0])
    return images, labels, held_out(len(images) - test, test)


def cifar10_subset(path: Path) -> Read:
    """An archive of numpy arrays, channels last."""
    with np.load(path) as file:
        images, labels = (
            np.concatenate([file[f"{kind}_{part}"] for part in ("train", "test")]) for kind in "xy"
        )
        sizes = held_out(len(file["x_train"]), len(file["x_test"]))
    return torch.from_numpy(images).movedim(-1, 1), torch.from_numpy(labels).long(), sizes


def mnist_rot(path: Path) -> Read:
    """Two tables of text: a line is 784 numbers in [0, 1] of an image, and its class.

    Whether these go row after row or column after column is not published, and public programs disagree: it
    is seen from the digits themselves, see :func:`pixel_order`.
    """
    rows = []
    with zipfile.ZipFile(path) as archive:
        for part in ("train_valid", "test"):
            with archive.open(f"mnist_all_rotation_normalized_float_{part}.amat") as table:
                rows.append(np.loadtxt(table, dtype=np.float32))
    train, val, test = MNIST_ROT_SPLIT
    expected, got = [(train + val, 785), (test, 785)], [table.shape for table in rows]
    if got != expected:
        raise ValueError(f"expected tables of {expected}; got {got}")
    table = torch.from_numpy(np.concatenate(rows))
    images = table[:, :784].mul(255).round_().to(torch.uint8).view(-1, 1, 28, 28)
    labels = table[:, 784].long()
    if pixel_order(images[: train + val], labels[: train + val]) == "column":
        images = images.transpose(2, 3)
    return images, labels, MNIST_ROT_SPLIT


def pixel_order(images: Tensor, labels: Tensor) -> str:
    """Whether turned digits, read row after row, were stored so ("row") or column after column ("column").

    The other order shows every digit mirrored, and no turn undoes that. So each image, and its mirror image,
    is compared with the mean of its class at 36 angles; the means are those of scikit-learn's digits. On
    3,000 MNIST digits, turned at random, the right order is ahead by 32 standard errors.

    Args:
        images: uint8 (N, 1, 28, 28), at any angles.
        labels: int64 (N,), their classes, 0 ... 9.

    Raises:
        ValueError: Neither order is ahead by 5 standard errors: these are no turned digits, or too few (below
            about 100).
    """
    digits = load_digits("embedded")
    means = torch.stack([digits.train[digits.train_labels == c].mean(0) for c in range(10)])
    # MNIST's digits fill 20 of 28 pixels.
    means = F.pad(F.interpolate(means[:, None], size=20, mode="bilinear", align_corners=False)[:, 0], [4] * 4)
    angles = torch.arange(0, 360, 10, dtype=torch.float64).expand(10, -1)
    templates = F.normalize(turned(means, angles).flatten(2), dim=2)  # (10, 36, 784)

    def likeness(x: Tensor) -> Tensor:  # cosine at the best angle, (N,)
        x, found = F.normalize(x.flatten(1).float(), dim=1), torch.zeros(len(x))
        for c in range(10):
            found[labels == c] = (x[labels == c] @ templates[c].T).amax(1)
        return found.double()

    ahead = likeness(images) - likeness(images.transpose(2, 3))
    score = (ahead.mean() / ahead.std() * math.sqrt(len(ahead))).item()
    if not abs(score) > 5:
        raise ValueError(
            f"expected turned digits, stored row after row or column after column; got {len(images)} images "
            f"of which neither can be said (the first is ahead by {score:.1f} standard errors)"
        )
    return "row" if score > 0 else "column"
