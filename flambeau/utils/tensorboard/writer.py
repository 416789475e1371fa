"""SummaryWriter: the methods with which a program writes what TensorBoard shows."""

from __future__ import annotations

import datetime
import os
import socket
import time

from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from . import arrays, embedding, summary


class FileWriter:
    """Writes event messages to one file of a folder, on a thread of its own."""

    def __init__(self, log_dir, max_queue: int = 10, flush_secs: float = 120,
                 filename_suffix: str = ""):
        self.event_writer = EventFileWriter(str(log_dir), max_queue, flush_secs, filename_suffix)

    def get_logdir(self) -> str:
        """The folder of the file."""
        return self.event_writer.get_logdir()

    def add_event(self, event, step=None, walltime: float | None = None) -> None:
        """Write an ``Event`` message at a step and a time (now)."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)
        self.event_writer.add_event(event)

    def add_summary(self, summary, global_step=None, walltime: float | None = None) -> None:
        """Write a ``Summary`` message."""
        self.add_event(event_pb2.Event(summary=summary), global_step, walltime)

    def flush(self) -> None:
        """Write to disk what waits."""
        self.event_writer.flush()

    def close(self) -> None:
        """Write to disk what waits and close the file."""
        self.event_writer.close()

    def reopen(self) -> None:
        """Open another file in the same folder after :meth:`close`."""
        self.event_writer.reopen()


class SummaryWriter:
    """Logs for TensorBoard in a folder; a context manager that closes at its end.

    Args:
        log_dir: the folder; ``runs/<time>_<host><comment>`` when not given.
        purge_step: TensorBoard hides what earlier files of the folder hold from this step on.
        max_queue, flush_secs: how many records or seconds may wait before they are on disk.
        filename_suffix: end of the file's name.
    """

    def __init__(self, log_dir=None, comment: str = "", purge_step: int | None = None,
                 max_queue: int = 10, flush_secs: float = 120, filename_suffix: str = ""):
        if not log_dir:
            now = datetime.datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = log_dir
        self.purge_step, self.max_queue, self.flush_secs = purge_step, max_queue, flush_secs
        self.filename_suffix = filename_suffix
        self.default_bins = summary.EDGES.tolist()
        self.file_writer: FileWriter | None = None
        #: the file of each folder that add_scalars() writes into
        self.all_writers: dict[str, FileWriter] | None = None
        self._get_file_writer()

    def _get_file_writer(self) -> FileWriter:
        if self.all_writers is None or self.file_writer is None:
            self.file_writer = FileWriter(self.log_dir, self.max_queue, self.flush_secs,
                                          self.filename_suffix)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
                self.file_writer.add_event(event_pb2.Event(file_version="brain.Event:2"),
                                           self.purge_step)
                self.file_writer.add_event(event_pb2.Event(session_log=start), self.purge_step)
                self.purge_step = None
        return self.file_writer

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def _add(self, record, global_step, walltime) -> None:
        self._get_file_writer().add_summary(record, global_step, walltime)

    def add_scalar(self, tag: str, scalar_value, global_step=None, walltime=None,
                   new_style: bool = False, double_precision: bool = False) -> None:
        """One number of a curve."""
        self._add(summary.scalar(tag, scalar_value, new_style, double_precision), global_step,
                  walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: dict, global_step=None,
                    walltime=None) -> None:
        """Several curves in one chart; each is written to a folder of its own."""
        base = self._get_file_writer().get_logdir()
        for tag, value in tag_scalar_dict.items():
            folder = os.path.join(base, f"{main_tag.replace('/', '_')}_{tag}")
            writer = self.all_writers.get(folder)
            if writer is None:
                writer = self.all_writers[folder] = FileWriter(
                    folder, self.max_queue, self.flush_secs, self.filename_suffix)
            writer.add_summary(summary.scalar(main_tag, value), global_step, walltime)

    def add_tensor(self, tag: str, tensor, global_step=None, walltime=None) -> None:
        """A whole tensor."""
        self._add(summary.tensor(tag, tensor), global_step, walltime)

    def add_histogram(self, tag: str, values, global_step=None, bins="tensorflow", walltime=None,
                      max_bins: int | None = None) -> None:
        """How values are distributed; ``bins`` as numpy.histogram takes them."""
        self._add(summary.histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_histogram_raw(self, tag: str, min, max, num, sum, sum_squares,  # noqa: A002
                          bucket_limits, bucket_counts, global_step=None, walltime=None) -> None:
        """A histogram that was counted elsewhere.

        Raises:
            ValueError: there are not as many counts as upper ends of buckets.
        """
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")
        self._add(summary.histogram_raw(tag, min, max, num, sum, sum_squares, bucket_limits,
                                        bucket_counts), global_step, walltime)

    def add_image(self, tag: str, img_tensor, global_step=None, walltime=None,
                  dataformats: str = "CHW") -> None:
        """A picture: floats in [0, 1] or uint8."""
        self._add(summary.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_images(self, tag: str, img_tensor, global_step=None, walltime=None,
                   dataformats: str = "NCHW") -> None:
        """A batch of pictures, side by side in rows of eight."""
        self._add(summary.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_image_with_boxes(self, tag: str, img_tensor, box_tensor, global_step=None,
                             walltime=None, rescale: float = 1, dataformats: str = "CHW",
                             labels=None) -> None:
        """A picture with frames of (left, top, right, bottom).

        Raises:
            NotImplementedError: ``rescale`` is not 1.
        """
        if rescale != 1:
            raise NotImplementedError("add_image_with_boxes(rescale=...): scale the picture and "
                                      "the boxes before (nn.functional.interpolate)")
        self._add(summary.image_boxes(tag, img_tensor, box_tensor, dataformats, labels),
                  global_step, walltime)

    def add_figure(self, tag: str, figure, global_step: int | None = None, close: bool = True,
                   walltime=None) -> None:
        """A Matplotlib figure, or a list of figures of one size, as a picture."""
        pixels, formats = arrays.figures(figure, close)
        self._add(summary.image(tag, pixels, formats), global_step, walltime)

    def add_video(self, tag: str, vid_tensor, global_step=None, fps: float = 4,
                  walltime=None) -> None:
        """Not there: encoding a video takes a package (moviepy) that is not used here."""
        raise NotImplementedError("add_video: flambeau does not encode videos; write frames with "
                                  "add_images")

    def add_audio(self, tag: str, snd_tensor, global_step=None, sample_rate: int = 44100,
                  walltime=None) -> None:
        """A sound of one channel, values in [-1, 1]."""
        self._add(summary.audio(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step=None, walltime=None) -> None:
        """A text in Markdown."""
        self._add(summary.text(tag, text_string), global_step, walltime)

    def add_graph(self, model, input_to_model=None, verbose: bool = False,
                  use_strict_trace: bool = True) -> None:
        """Not there: TensorBoard draws PyTorch's traced graph, and there is no tracer here."""
        raise NotImplementedError(
            "add_graph: TensorBoard's graph view draws what torch.jit traces, and flambeau has no "
            "torch.jit graphs; flambeau.debug.explain prints what a function computes, and "
            "add_text(tag, str(model)) logs a model's layers")

    def add_onnx_graph(self, prototxt) -> None:
        """Not there: ONNX files are not read."""
        raise NotImplementedError("add_onnx_graph: flambeau does not read ONNX files")

    def add_embedding(self, mat, metadata=None, label_img=None, global_step=None,
                      tag: str = "default", metadata_header=None) -> None:
        """Points for the projector.

        Args:
            mat: (N, D) tensor, one point per row.
            metadata: N labels; with ``metadata_header`` (names of columns) N rows of labels.
            label_img: (N, C, H, W) pictures of the points.
        """
        embedding.write(self._get_file_writer().get_logdir(), mat, metadata, label_img,
                        global_step, tag, metadata_header)

    def add_pr_curve(self, tag: str, labels, predictions, global_step=None,
                     num_thresholds: int = 127, weights=None, walltime=None) -> None:
        """Precision over recall of predictions in [0, 1] for labels that are 0 or 1."""
        self._add(summary.pr_curve(tag, labels, predictions, num_thresholds, weights), global_step,
                  walltime)

    def add_pr_curve_raw(self, tag: str, true_positive_counts, false_positive_counts,
                         true_negative_counts, false_negative_counts, precision, recall,
                         global_step=None, num_thresholds: int = 127, weights=None,
                         walltime=None) -> None:
        """A precision-recall curve that was computed elsewhere."""
        columns = [arrays.array(x) for x in (
            true_positive_counts, false_positive_counts, true_negative_counts,
            false_negative_counts, precision, recall)]
        self._add(summary.pr_curve_raw(tag, *columns, num_thresholds, weights), global_step,
                  walltime)

    def add_custom_scalars(self, layout: dict) -> None:
        """Charts of scalars that are logged: ``{category: {title: ["Multiline", tags]}}`` or
        ``["Margin", [value, lower, upper]]``. Once per folder."""
        self._add(summary.custom_scalars(layout), None, None)

    def add_custom_scalars_multilinechart(self, tags: list, category: str = "default",
                                          title: str = "untitled") -> None:
        """One chart of several scalars."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(self, tags: list, category: str = "default",
                                       title: str = "untitled") -> None:
        """One chart of a value between bounds: tags of value, lower and upper."""
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    def add_mesh(self, tag: str, vertices, colors=None, faces=None, config_dict=None,
                 global_step=None, walltime=None) -> None:
        """Points (batch, n, 3) or, with ``faces``, triangles in space."""
        self._add(summary.mesh(tag, vertices, colors, faces, config_dict), global_step, walltime)

    def add_hparams(self, hparam_dict: dict, metric_dict: dict, hparam_domain_discrete=None,
                    run_name: str | None = None, global_step=None) -> None:
        """What a run was asked for and what it reached, in a folder of its own.

        Raises:
            TypeError: an argument is no dictionary.
        """
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        records = summary.hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        folder = os.path.join(self._get_file_writer().get_logdir(), run_name or str(time.time()))
        with SummaryWriter(folder) as writer:
            for record in records:
                writer._add(record, global_step, None)
            for tag, value in metric_dict.items():
                writer.add_scalar(tag, value, global_step)

    def flush(self) -> None:
        """Write to disk what waits."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Write to disk what waits and close; another ``add_`` opens a new file."""
        for writer in (self.all_writers or {}).values():
            writer.flush()
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None:
        self.close()
