"""The records that TensorBoard reads: one function per kind, each gives a ``Summary`` message.

The messages are those of tensorboard's own protocol files; plugins recognise theirs by the name in
the metadata.
"""

from __future__ import annotations

import json

import numpy as np
from google.protobuf import struct_pb2
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata as hparams_metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import (HParamsPluginData, SessionEndInfo,
                                                         SessionStartInfo)
from tensorboard.plugins.mesh import metadata as mesh_metadata
from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData
from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData
from tensorboard.util import tensor_util

from ...tensor import Tensor
from . import arrays


def _metadata(plugin: str, content: bytes = b"", **fields) -> SummaryMetadata:
    data = SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    return SummaryMetadata(plugin_data=data, **fields)


def _one(tag: str, **value) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, **value)])


def _shape(*sizes: int) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in sizes])


def scalar(name: str, tensor, new_style: bool = False,
           double_precision: bool = False) -> Summary:
    """One number. ``new_style``: as a tensor, in float64 with ``double_precision``."""
    value = arrays.number(tensor)
    if not new_style:
        return _one(name, simple_value=value)
    kind = "DT_DOUBLE" if double_precision else "DT_FLOAT"
    field = "double_val" if double_precision else "float_val"
    return _one(name, tensor=TensorProto(**{field: [value]}, dtype=kind),
                metadata=_metadata("scalars"))


def tensor(tag: str, value) -> Summary:
    """A whole tensor."""
    return _one(tag, tensor=tensor_util.make_tensor_proto(arrays.array(value)),
                metadata=_metadata("tensor"))


def _default_edges() -> np.ndarray:
    """TensorBoard's buckets: 1e-12 growing by a tenth up to 1e20, the same below zero, and zero."""
    edges, v = [], 1e-12
    while v < 1e20:
        edges.append(v)
        v *= 1.1
    return np.array([*(-e for e in reversed(edges)), 0.0, *edges])


EDGES = _default_edges()


def histogram(name: str, values, bins="tensorflow", max_bins: int | None = None) -> Summary:
    """How values are distributed over buckets.

    Args:
        bins: edges, a name or a count that ``numpy.histogram`` understands; "tensorflow" for
            TensorBoard's own edges.
        max_bins: join neighbouring buckets until there are at most so many.

    Raises:
        ValueError: there are no values.
    """
    values = arrays.array(values).reshape(-1)
    if values.size == 0:
        raise ValueError("The input has no element.")
    values = values.astype(np.float64, copy=False)
    counts, edges = np.histogram(values, bins=EDGES if isinstance(bins, str)
                                 and bins == "tensorflow" else bins)
    if max_bins is not None and len(counts) > max_bins:
        step = len(counts) // max_bins
        short = -len(counts) % step
        # the last bucket may hold fewer
        counts = np.pad(counts, (0, short)).reshape(-1, step).sum(1)
        edges = np.append(edges[:-1:step], edges[-1])
    used = np.flatnonzero(counts)
    if used.size == 0:
        raise ValueError("The histogram is empty, please file a bug report.")
    first, last = used[0], used[-1]
    # each bucket is named by its upper end, so the lower end of the first used bucket is told by
    # an empty bucket before it
    counts = counts[first - 1:last + 1] if first else np.concatenate([[0], counts[:last + 1]])
    return histogram_raw(name, values.min(), values.max(), len(values), values.sum(),
                         values.dot(values), edges[first:last + 2].tolist(), counts.tolist())


def histogram_raw(name: str, min, max, num, sum, sum_squares,  # noqa: A002
                  bucket_limits, bucket_counts) -> Summary:
    """A histogram that was counted elsewhere; each bucket is given by its upper end."""
    return _one(name, histo=HistogramProto(
        min=min, max=max, num=num, sum=sum, sum_squares=sum_squares, bucket_limit=bucket_limits,
        bucket=bucket_counts))


def _image(tag: str, pixels: np.ndarray) -> Summary:
    height, width, channels = pixels.shape
    return _one(tag, image=Summary.Image(height=height, width=width, colorspace=channels,
                                         encoded_image_string=arrays.png(pixels)))


def image(tag: str, tensor, dataformats: str = "NCHW") -> Summary:  # noqa: F811
    """A picture; values in [0, 1] of floats or [0, 255] of uint8, clipped."""
    return _image(tag, arrays.picture(tensor, dataformats))


def image_boxes(tag: str, tensor_image, tensor_boxes, dataformats: str = "CHW",
                labels=None) -> Summary:
    """A picture with red frames of (left, top, right, bottom). ``labels`` need Pillow."""
    pixels = arrays.picture(tensor_image, dataformats).copy()
    boxes = arrays.array(tensor_boxes).reshape(-1, 4)
    if labels is not None and isinstance(labels, str):
        labels = [labels]
    height, width = pixels.shape[:2]
    for left, top, right, bottom in boxes.astype(int):
        x0, x1 = np.clip([left, right], 0, width - 1)
        y0, y1 = np.clip([top, bottom], 0, height - 1)
        red = (255, 0, 0, 255)[:pixels.shape[2]]
        pixels[[y0, y1], x0:x1 + 1] = red
        pixels[y0:y1 + 1, [x0, x1]] = red
    if labels is not None:
        pixels = _labelled(pixels, boxes, labels)
    return _image(tag, pixels)


def _labelled(pixels: np.ndarray, boxes: np.ndarray, labels) -> np.ndarray:
    from PIL import Image, ImageDraw  # optional third-party package

    drawing = Image.fromarray(pixels)
    draw = ImageDraw.Draw(drawing)
    for (left, _, _, bottom), text_ in zip(boxes, labels, strict=False):
        draw.text((left, bottom), str(text_), fill="black")
    return np.asarray(drawing)


def audio(tag: str, tensor, sample_rate: int = 44100) -> Summary:  # noqa: F811
    """A sound of one channel, values in [-1, 1]."""
    data, frames = arrays.wav(tensor, sample_rate)
    return _one(tag, audio=Summary.Audio(
        sample_rate=sample_rate, num_channels=1, length_frames=frames, encoded_audio_string=data,
        content_type="audio/wav"))


def text(tag: str, text: str) -> Summary:  # noqa: F811
    """A text in Markdown."""
    content = TextPluginData(version=0).SerializeToString()
    value = TensorProto(dtype="DT_STRING", string_val=[text.encode()], tensor_shape=_shape(1))
    return _one(tag + "/text_summary", metadata=_metadata("text", content), tensor=value)


def pr_curve_raw(tag: str, tp, fp, tn, fn, precision, recall, num_thresholds: int = 127,
                 weights=None) -> Summary:
    """A precision-recall curve that was computed elsewhere."""
    count = min(num_thresholds, 127)
    data = np.stack([tp, fp, tn, fn, precision, recall])
    content = PrCurvePluginData(version=0, num_thresholds=count).SerializeToString()
    value = TensorProto(dtype="DT_FLOAT", float_val=data.reshape(-1).tolist(),
                        tensor_shape=_shape(*data.shape))
    return _one(tag, metadata=_metadata("pr_curves", content), tensor=value)


def pr_curve(tag: str, labels, predictions, num_thresholds: int = 127, weights=None) -> Summary:
    """Precision and recall of predictions in [0, 1] over thresholds.

    At threshold t an example counts as positive when its prediction is at least t.
    """
    count = min(num_thresholds, 127)
    truth = arrays.array(labels).reshape(-1).astype(bool)
    score = arrays.array(predictions).reshape(-1)
    weight = np.ones(score.shape) if weights is None else arrays.array(weights).reshape(-1)
    place = np.clip(np.floor(score * (count - 1)), 0, count - 1).astype(int)

    def at_least(chosen) -> np.ndarray:
        per = np.bincount(place[chosen], weight[chosen], count)
        return per[::-1].cumsum()[::-1]

    tp, fp = at_least(truth), at_least(~truth)
    tn, fn = fp[0] - fp, tp[0] - tp
    tiny = 1e-7  # no division by zero where nothing is positive
    return pr_curve_raw(tag, tp, fp, tn, fn, tp / np.maximum(tiny, tp + fp),
                        tp / np.maximum(tiny, tp + fn), count)


def custom_scalars(layout: dict) -> Summary:
    """Charts of several scalars: ``{category: {title: [kind, tags]}}``, kind "Margin" or not."""
    categories = []
    for name, charts in layout.items():
        made = []
        for title, (kind, tags) in charts.items():
            if kind == "Margin":
                if len(tags) != 3:
                    raise AssertionError("a Margin chart takes three tags: value, lower and upper, "
                                         f"got {len(tags)}")
                series = layout_pb2.MarginChartContent.Series(value=tags[0], lower=tags[1],
                                                              upper=tags[2])
                content = layout_pb2.MarginChartContent(series=[series])
                made.append(layout_pb2.Chart(title=title, margin=content))
            else:
                made.append(layout_pb2.Chart(
                    title=title, multiline=layout_pb2.MultilineChartContent(tag=tags)))
        categories.append(layout_pb2.Category(title=name, chart=made))
    value = TensorProto(dtype="DT_STRING", tensor_shape=_shape(), string_val=[
        layout_pb2.Layout(category=categories).SerializeToString()])
    return _one("custom_scalars__config__", tensor=value, metadata=_metadata("custom_scalars"))


def mesh(tag: str, vertices, colors, faces, config_dict, display_name=None,
         description=None) -> Summary:
    """Points or triangles in space: ``vertices`` (batch, n, 3), ``colors`` likewise in 0..255,
    ``faces`` (batch, m, 3) of vertex numbers; ``config_dict`` for the viewer."""
    settings = json.dumps(config_dict or {}, sort_keys=True)
    parts = [(vertices, MeshPluginData.VERTEX), (faces, MeshPluginData.FACE),
             (colors, MeshPluginData.COLOR)]
    present = [(arrays.array(x), kind) for x, kind in parts if x is not None]
    bits = mesh_metadata.get_components_bitmask([kind for _, kind in present])
    values = []
    for data, kind in present:
        meta = mesh_metadata.create_summary_metadata(
            tag, display_name, kind, bits, list(data.shape), description, settings)
        dtype = np.int32 if kind == MeshPluginData.FACE else \
            np.uint8 if kind == MeshPluginData.COLOR else np.float32
        values.append(Summary.Value(tag=mesh_metadata.get_instance_name(tag, kind), metadata=meta,
                                    tensor=tensor_util.make_tensor_proto(data.astype(dtype))))
    return Summary(value=values)


def _hyper(name: str, value) -> tuple[struct_pb2.Value, str]:
    """(the value as a message, name of its type)."""
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value), "DATA_TYPE_BOOL"
    if isinstance(value, (int, float, np.number)):
        return struct_pb2.Value(number_value=value), "DATA_TYPE_FLOAT64"
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value), "DATA_TYPE_STRING"
    if isinstance(value, Tensor):
        return struct_pb2.Value(number_value=arrays.number(value)), "DATA_TYPE_FLOAT64"
    raise ValueError("value should be one of int, float, str, bool, or torch.Tensor: "
                     f"{name!r} is {type(value).__name__}")


def hparams(hparam_dict: dict, metric_dict: dict,
            hparam_domain_discrete: dict | None = None) -> tuple[Summary, Summary, Summary]:
    """What a run was asked for, and the names of what it reached: (experiment, start, end).

    Raises:
        TypeError: an argument is no dictionary, or a domain's values are not of its type.
        ValueError: a value is no number, string or truth value.
    """
    for name, d in (("hparam_dict", hparam_dict), ("metric_dict", metric_dict),
                    ("hparam_domain_discrete", hparam_domain_discrete or {})):
        if not isinstance(d, dict):
            raise TypeError(f"parameter: {name} should be a dictionary, nothing logged.")
    domains = hparam_domain_discrete or {}
    for k, choices in domains.items():
        if k not in hparam_dict or not isinstance(choices, list) \
                or not all(isinstance(c, type(hparam_dict[k])) for c in choices):
            raise TypeError(f"parameter: hparam_domain_discrete[{k}] should be a list of same type "
                            f"as hparam_dict[{k}].")
    start, infos = SessionStartInfo(), []
    for k, v in hparam_dict.items():
        if v is None:
            continue
        message, kind = _hyper(k, v)
        start.hparams[k].CopyFrom(message)
        domain = struct_pb2.ListValue(values=[_hyper(k, c)[0] for c in domains[k]]) \
            if k in domains else None
        infos.append(api_pb2.HParamInfo(name=k, type=api_pb2.DataType.Value(kind),
                                        domain_discrete=domain))
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=k)) for k in metric_dict]
    end = SessionEndInfo(status=api_pb2.Status.Value("STATUS_SUCCESS"))

    def record(tag: str, **content) -> Summary:
        data = HParamsPluginData(version=hparams_metadata.PLUGIN_DATA_VERSION, **content)
        return _one(tag, metadata=_metadata(hparams_metadata.PLUGIN_NAME,
                                            data.SerializeToString()))

    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
    return (record(hparams_metadata.EXPERIMENT_TAG, experiment=experiment),
            record(hparams_metadata.SESSION_START_INFO_TAG, session_start_info=start),
            record(hparams_metadata.SESSION_END_INFO_TAG, session_end_info=end))
