"""Target images, and datasets written and read."""

from metasim.data.dataset import FORMATS, generate_dataset
from metasim.data.images import (
    TargetImages,
    check_varied,
    load_images,
    load_labelled,
    load_named,
    picture_names,
    save_images,
)
from metasim.data.reading import Dataset, read_dataset, rerender
from metasim.data.records import Instance, Record

__all__ = [
    "FORMATS",
    "Dataset",
    "Instance",
    "Record",
    "TargetImages",
    "check_varied",
    "generate_dataset",
    "load_images",
    "load_labelled",
    "load_named",
    "picture_names",
    "read_dataset",
    "rerender",
    "save_images",
]
