"""Real data and stand-ins, each labelled as what it is."""

from eqflow.data.actions import (
    ActionSet,
    Clips,
    action_set_info,
    camera_motion,
    draw_velocities,
    load_actions,
)
from eqflow.data.rotating import rotating_digits
from eqflow.data.sets import video_set
from eqflow.data.sources import (
    DataError,
    ImageSet,
    cache_dir,
    data_dir,
    image_set_info,
    load_images,
    mnist_files,
    read_idx,
)
from eqflow.data.video import VideoBatch, translating_digits

__all__ = [
    "ActionSet",
    "Clips",
    "DataError",
    "ImageSet",
    "VideoBatch",
    "action_set_info",
    "cache_dir",
    "camera_motion",
    "data_dir",
    "draw_velocities",
    "image_set_info",
    "load_actions",
    "load_images",
    "mnist_files",
    "read_idx",
    "rotating_digits",
    "translating_digits",
    "video_set",
]
