"""SummaryWriter: what it writes is read back with tensorboard's own reader, and compared with what
PyTorch's writer writes for the same calls where that is installed."""

import glob
import io
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest

import flambeau as torch

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing import event_file_loader  # noqa: E402
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # noqa: E402
from tensorboard.util.tensor_util import make_ndarray  # noqa: E402

from flambeau.utils.tensorboard import FileWriter, SummaryWriter, summary  # noqa: E402


def read(folder) -> list:
    """Every summary value of a folder's files as (step, value)."""
    found = []
    for path in sorted(glob.glob(os.path.join(str(folder), "events.out.tfevents.*"))):
        for event in event_file_loader.RawEventFileLoader(path).Load():
            message = event_file_loader.event_pb2.Event.FromString(event)
            found += [(message.step, v) for v in message.summary.value]
    return found


def pixels(encoded: bytes) -> np.ndarray:
    """A PNG whose rows are stored without a filter."""
    file = io.BytesIO(encoded)
    assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    data, size = b"", None
    while head := file.read(8):
        body = file.read(int.from_bytes(head[:4], "big"))
        assert int.from_bytes(file.read(4), "big") == zlib.crc32(head[4:] + body)
        if head[4:] == b"IHDR":
            size = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
        elif head[4:] == b"IDAT":
            data += body
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(size[1], -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(size[1], size[0], -1)


def test_scalars(tmp_path):
    with SummaryWriter(tmp_path) as w:
        for step in range(3):
            w.add_scalar("loss", torch.tensor(1.5) * step, step)
        w.add_scalar("new", 0.1, 7, new_style=True, double_precision=True)
        w.add_scalars("many/both", {"a": 1, "b": np.float64(2)}, 4)
        assert w.get_logdir() == tmp_path
    got = read(tmp_path)
    assert [(s, v.tag, v.simple_value) for s, v in got[:3]] == [
        (0, "loss", 0.0), (1, "loss", 1.5), (2, "loss", 3.0)]
    assert got[3][1].tensor.double_val[0] == 0.1
    assert got[3][1].metadata.plugin_data.plugin_name == "scalars"
    for name, value in (("a", 1), ("b", 2)):
        (step, v), = read(tmp_path / f"many_both_{name}")
        assert (step, v.tag, v.simple_value) == (4, "many/both", value)
    with pytest.raises(AssertionError, match="0D"), SummaryWriter(tmp_path) as w:
        w.add_scalar("x", torch.ones(2))


def test_flush_writes_and_close_reopens(tmp_path):
    w = SummaryWriter(tmp_path)
    w.add_scalar("a", 1, 0)
    w.flush()
    assert len(read(tmp_path)) == 1
    w.close()
    w.close()
    w.add_scalar("a", 2, 1)
    w.close()
    assert [v.simple_value for _, v in read(tmp_path)] in ([1.0, 2.0], [2.0])  # one name a second


def test_default_folder_and_comment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SummaryWriter(comment="_lr1") as w:
        assert w.get_logdir().startswith("runs" + os.sep) and w.get_logdir().endswith("_lr1")
    assert os.listdir("runs")


def test_histogram(tmp_path):
    values = torch.tensor([-1.0, 0.0, 0.0, 0.5, 2.0])
    with SummaryWriter(tmp_path) as w:
        w.add_histogram("h", values, 3)
        w.add_histogram("b", values.bfloat16(), 3, bins=[-2, -1, 0, 1, 2, 3])
        w.add_histogram("few", torch.linspace(0, 1, 100), bins=64, max_bins=8)
        w.add_histogram_raw("raw", 0, 1, 2, 1, 1, [0.5, 1], [1, 1])
        with pytest.raises(ValueError, match="no element"):
            w.add_histogram("none", torch.empty(0))
        with pytest.raises(ValueError, match="bucket_limits"):
            w.add_histogram_raw("raw", 0, 1, 2, 1, 1, [0.5], [1, 1])
    h, b, few, raw = (v.histo for _, v in read(tmp_path))
    assert (h.min, h.max, h.num, h.sum, h.sum_squares) == (-1, 2, 5, 1.5, 5.25)
    assert sum(h.bucket) == 5 and len(h.bucket) == len(h.bucket_limit)
    assert list(b.bucket_limit) == [-1, 0, 1, 2, 3] and list(b.bucket) == [0, 1, 3, 0, 1]
    assert sum(few.bucket) == 100 and len(few.bucket) <= 10
    assert list(raw.bucket_limit) == [0.5, 1]


@pytest.mark.parametrize("formats", ["CHW", "HWC", "HW"])
def test_image(tmp_path, formats):
    chw = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    given = {"CHW": chw, "HWC": chw.transpose(1, 2, 0), "HW": chw[0]}[formats]
    with SummaryWriter(tmp_path) as w:
        w.add_image("i", torch.tensor(np.ascontiguousarray(given)), dataformats=formats)
        w.add_image("u", (given * 255).astype(np.uint8), dataformats=formats)
        with pytest.raises(AssertionError, match="input_format"):
            w.add_image("i", np.zeros((2, 2, 2, 2)))
    want = (chw if formats != "HW" else chw[[0, 0, 0]]).transpose(1, 2, 0)
    for _, v in read(tmp_path):
        assert (v.image.height, v.image.width, v.image.colorspace) == (4, 5, 3)
        assert (pixels(v.image.encoded_image_string) == (want * 255).astype(np.uint8)).all()


def test_images_in_rows(tmp_path):
    batch = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1).repeat(1, 1, 2, 3)
    with SummaryWriter(tmp_path) as w:
        w.add_images("i", batch)
        w.add_image_with_boxes("b", torch.zeros(3, 8, 8), torch.tensor([[1, 2, 5, 6]]))
    grid, boxes = (pixels(v.image.encoded_image_string) for _, v in read(tmp_path))
    assert grid.shape == (4, 24, 3) and grid[3, 3, 0] == 9 and grid[3, 6, 0] == 0
    assert boxes[2, 1].tolist() == [255, 0, 0] and boxes[3, 2].tolist() == [0, 0, 0]


def test_figure(tmp_path):
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure(figsize=(1, 2), dpi=40)
    figure.subplots().plot([1, 2, 3])
    with SummaryWriter(tmp_path) as w:
        w.add_figure("f", figure, 2)
        w.add_figure("two", [figure, figure], 2)
    (_, one), (_, two) = read(tmp_path)
    assert (one.image.height, one.image.width, two.image.width) == (80, 40, 80)
    assert len(np.unique(pixels(one.image.encoded_image_string))) > 2


def test_text_audio_tensor_curve_mesh(tmp_path):
    with SummaryWriter(tmp_path) as w:
        w.add_text("note", "**ünï**", 5)
        w.add_audio("tone", torch.sin(torch.arange(100) / 5), sample_rate=8000)
        w.add_tensor("t", torch.arange(6.0).reshape(2, 3))
        w.add_pr_curve("pr", torch.tensor([1, 0, 1, 0]), torch.tensor([0.9, 0.6, 0.4, 0.1]))
        w.add_custom_scalars({"all": {"losses": ["Multiline", ["a", "b"]],
                                      "m": ["Margin", ["v", "lo", "hi"]]}})
        w.add_mesh("m", torch.zeros(1, 4, 3), faces=torch.tensor([[[0, 1, 2]]]))
    note, tone, tensor, curve, layout, vertices, faces = (v for _, v in read(tmp_path))
    assert note.tag == "note/text_summary" and note.tensor.string_val[0].decode() == "**ünï**"
    assert tone.audio.length_frames == 100 and tone.audio.encoded_audio_string[:4] == b"RIFF"
    assert [d.size for d in tensor.tensor.tensor_shape.dim] == [2, 3]
    table = np.array(curve.tensor.float_val).reshape(6, 127)
    assert table[:4, 0].tolist() == [2, 2, 0, 0] and table[:4, 70].tolist() == [1, 1, 1, 1]
    assert layout.metadata.plugin_data.plugin_name == "custom_scalars"
    assert {vertices.metadata.plugin_data.plugin_name} == {"mesh"} and "FACE" in faces.tag


def test_hparams(tmp_path):
    with SummaryWriter(tmp_path) as w:
        w.add_hparams({"lr": 0.1, "name": "adam", "nesterov": True, "none": None,
                       "t": torch.tensor(2.0)}, {"hparam/loss": 3},
                      {"name": ["adam", "sgd"]}, run_name="one", global_step=2)
        with pytest.raises(TypeError):
            w.add_hparams([("lr", 1)], {})
        with pytest.raises(ValueError, match="one of int"):
            w.add_hparams({"a": object()}, {})
        with pytest.raises(TypeError, match="same type"):
            w.add_hparams({"a": 1}, {}, {"a": ["x"]})
    experiment, start, end, loss = (v for _, v in read(tmp_path / "one"))
    assert loss.tag == "hparam/loss" and loss.simple_value == 3
    values = HParamsPluginData.FromString(
        start.metadata.plugin_data.content).session_start_info.hparams
    assert values["lr"].number_value == 0.1 and values["name"].string_value == "adam"
    assert values["nesterov"].bool_value is True and values["t"].number_value == 2
    infos = HParamsPluginData.FromString(
        experiment.metadata.plugin_data.content).experiment.hparam_infos
    assert [i.name for i in infos] == ["lr", "name", "nesterov", "t"]


def test_embedding(tmp_path):
    with SummaryWriter(tmp_path) as w:
        w.add_embedding(torch.eye(3), ["a", "b", "c"], torch.rand(3, 1, 2, 2), 1, "first")
        w.add_embedding(torch.eye(3), [[1, 2]] * 3, metadata_header=["x", "y"])
        with pytest.raises(AssertionError, match="#labels"):
            w.add_embedding(torch.eye(3), ["a"])
    assert (tmp_path / "00001/first/metadata.tsv").read_text() == "a\nb\nc\n"
    assert (tmp_path / "00000/default/tensors.tsv").read_text().startswith("1.0\t0.0\t0.0\n")
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert config.count("embeddings {") == 2 and "sprite" in config


def test_what_is_not_there_says_why(tmp_path):
    with SummaryWriter(tmp_path) as w:
        for call, word in ((lambda: w.add_graph(torch.nn.Linear(1, 1)), "explain"),
                           (lambda: w.add_video("v", torch.zeros(1, 1, 3, 2, 2)), "add_images"),
                           (lambda: w.add_onnx_graph("x"), "ONNX")):
            with pytest.raises(NotImplementedError, match=word):
                call()


def test_file_writer(tmp_path):
    w = FileWriter(tmp_path)
    w.add_summary(summary.scalar("x", 1), 3)
    w.close()
    assert w.get_logdir() == str(tmp_path) and len(read(tmp_path)) == 1


def test_missing_package_says_how_to_install():
    code = ("import sys; sys.modules['tensorboard'] = None\n"
            "try:\n import torch.utils.tensorboard\nexcept ImportError as e:\n print(e)")
    done = subprocess.run([sys.executable, "-m", "flambeau", "-c", code], capture_output=True,
                          text=True, timeout=120)
    assert "pip install 'flambeau[tensorboard]'" in done.stdout, done.stdout + done.stderr


def test_the_same_records_as_pytorch(tmp_path):
    pytest.importorskip("torch")
    from torch.utils import tensorboard as oracle

    data = np.random.default_rng(0).standard_normal(200).astype(np.float32)
    image = np.abs(data[:75]).reshape(3, 5, 5)

    def fill(w):
        w.add_scalar("s", 0.25, 1)
        w.add_scalar("n", 0.25, 1, new_style=True)
        w.add_histogram("h", data, 2)
        w.add_histogram("m", data, 2, bins="auto", max_bins=5)
        w.add_text("t", "x", 3)
        w.add_pr_curve("p", (data > 0).astype(int), 1 / (1 + np.exp(-data)), 3)
        w.add_mesh("mesh", image[None, :, :, 0].transpose(0, 2, 1).copy())
        w.add_hparams({"lr": 0.1, "a": "b"}, {"m": 1}, run_name="h")
        w.close()

    fill(SummaryWriter(tmp_path / "ours"))
    fill(oracle.SummaryWriter(tmp_path / "theirs"))
    for sub in (".", "h"):
        ours, theirs = read(tmp_path / "ours" / sub), read(tmp_path / "theirs" / sub)
        assert [s for s, _ in ours] == [s for s, _ in theirs]
        for (_, a), (_, b) in zip(ours, theirs, strict=True):
            if a.WhichOneof("value") == "histo":
                for field in ("min", "max", "num", "sum", "sum_squares"):
                    assert getattr(a.histo, field) == pytest.approx(getattr(b.histo, field)), a.tag
                assert list(a.histo.bucket) == list(b.histo.bucket), a.tag
                assert list(a.histo.bucket_limit) == pytest.approx(list(b.histo.bucket_limit))
            elif a.tag == "p":
                assert list(a.tensor.float_val) == pytest.approx(list(b.tensor.float_val))
            elif a.tag.startswith("mesh"):
                assert a.metadata == b.metadata
                assert (make_ndarray(a.tensor) == make_ndarray(b.tensor)).all()
            else:
                assert a == b, a.tag
