"""Real data and stand-ins, each labelled as what it is."""

from eqflow.data.actions import (
    ActionSet,
    Clips,
    action_set_info,
    camera_motion,
    draw_velocities,
    horizontal_flip,
    load_actions,
)
from eqflow.data.bouncing import bouncing_digits
from eqflow.data.densities import ConcentricRings, EightGaussians
from eqflow.data.download import DataError
from eqflow.data.images import (
    IMAGE_SETS,
    ImageSet,
    augment_images,
    image_set_here,
    image_set_info,
    load_images,
    move_images,
)
from eqflow.data.kth import kth_sample
from eqflow.data.rotating import rotating_digits
from eqflow.data.sets import VideoDataset, video_set
from eqflow.data.sources import (
    DigitSet,
    cache_dir,
    data_dir,
    digit_set_info,
    load_digits,
    mnist_files,
    read_idx,
)
from eqflow.data.video import VideoBatch, translating_digits
from eqflow.data.worlds import WorldBatch, digit_world, unseen_for

__all__ = [
    "IMAGE_SETS",
    "ActionSet",
    "Clips",
    "ConcentricRings",
    "DataError",
    "DigitSet",
    "EightGaussians",
    "ImageSet",
    "VideoBatch",
    "VideoDataset",
    "WorldBatch",
    "action_set_info",
    "augment_images",
    "bouncing_digits",
    "cache_dir",
    "camera_motion",
    "data_dir",
    "digit_set_info",
    "digit_world",
    "draw_velocities",
    "horizontal_flip",
    "image_set_here",
    "image_set_info",
    "kth_sample",
    "load_actions",
    "load_digits",
    "load_images",
    "mnist_files",
    "move_images",
    "read_idx",
    "rotating_digits",
    "translating_digits",
    "unseen_for",
    "video_set",
]
