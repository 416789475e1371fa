"""Files of TensorBoard's projector: points, labels and pictures beside a list of them."""

from __future__ import annotations

import math
import os

import numpy as np
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from . import arrays

CONFIG = "projector_config.pbtxt"


def _table(path: str, rows) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines("\t".join(str(x) for x in row) + "\n" for row in rows)


def _sprite(path: str, images: np.ndarray) -> None:
    """All pictures in one square, in rows, the rest black."""
    side = math.ceil(math.sqrt(len(images)))
    rows = arrays.grid(images, side).transpose(1, 2, 0)
    edge = rows.shape[1]
    square = np.zeros((max(edge, rows.shape[0]), edge, rows.shape[2]))
    square[:rows.shape[0]] = rows
    with open(path, "wb") as file:
        file.write(arrays.png((square * 255).clip(0, 255).astype(np.uint8)))


def write(log_dir: str, mat, metadata, label_img, global_step, tag: str, header) -> None:
    """Write one set of points and add it to the folder's list.

    Raises:
        AssertionError: labels, pictures and points are not equally many.
    """
    points = arrays.array(mat)
    if points.ndim != 2:
        raise AssertionError("mat should be 2D, where mat.size(0) is the number of data points")
    step = str(global_step if global_step is not None else 0).zfill(5)
    name = f"{step}/{tag.replace('%', '%25').replace('/', '%2F')}"
    folder = os.path.join(log_dir, name)
    os.makedirs(folder, exist_ok=True)

    path = os.path.join(log_dir, CONFIG)
    config = ProjectorConfig()
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text_format.Parse(file.read(), config)
    entry = config.embeddings.add(tensor_name=f"{tag}:{step}", tensor_path=f"{name}/tensors.tsv")
    if metadata is not None:
        if len(metadata) != len(points):
            raise AssertionError("#labels should equal with #data points")
        rows = [header, *metadata] if header else [[label] for label in metadata]
        _table(os.path.join(folder, "metadata.tsv"), rows)
        entry.metadata_path = f"{name}/metadata.tsv"
    if label_img is not None:
        images = arrays.array(label_img)
        if len(images) != len(points):
            raise AssertionError("#images should equal with #data points")
        _sprite(os.path.join(folder, "sprite.png"), images)
        entry.sprite.image_path = f"{name}/sprite.png"
        entry.sprite.single_image_dim.extend([images.shape[3], images.shape[2]])
    _table(os.path.join(folder, "tensors.tsv"), points.tolist())
    with open(path, "w", encoding="utf-8") as file:
        file.write(text_format.MessageToString(config))
