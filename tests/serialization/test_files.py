"""Files: damage, distrust, devices, atomic replacement."""

import io
import os
import pickle
import resource
import signal
import zipfile

import pytest

import flambeau
from flambeau import nn
from flambeau.tensor.archive import Reader, Writer


def saved(value) -> bytes:
    buffer = io.BytesIO()
    flambeau.save(value, buffer)
    return buffer.getvalue()


VALUE = {"a": flambeau.ones(3, 4), "b": [flambeau.arange(5), 1.5], "p": nn.Parameter(
    flambeau.ones(2)), "size": flambeau.Size([1]), "dtype": flambeau.float32, "set": {1}}
REFUSED = (RuntimeError, pickle.UnpicklingError, EOFError)


def load(data: bytes, **options):
    return flambeau.load(io.BytesIO(data), **options)


class Evil:
    ran = False

    def __reduce__(self):
        return (setattr, (Evil, "ran", True))


# -- damage ----------------------------------------------------------------------------------------


def test_cut_off_files_are_refused():
    data = saved(VALUE)
    for n in range(0, len(data), 13):
        with pytest.raises(REFUSED):
            load(data[:n])


def _with_pickle(reader: Reader, data: bytes) -> bytes:
    out = io.BytesIO()
    writer = Writer(out, "archive")
    writer.add("data.pkl", data)
    for name in reader.entries:
        if name != "data.pkl":
            writer.add(name, reader.read(name))
    writer.finish()
    return out.getvalue()


def test_a_view_beyond_its_storage_is_refused():
    reader = Reader(io.BytesIO(saved(flambeau.ones(4))))
    data = reader.read("data.pkl").tobytes()
    assert data.count(b"K\x04") == 2  # the storage's length and the tensor's size
    first = data.index(b"K\x04")
    changed = data[:first + 2] + data[first + 2:].replace(b"K\x04", b"K\x7f")
    with pytest.raises(RuntimeError, match="out of bounds"):
        load(_with_pickle(reader, changed))


@pytest.mark.parametrize(("data", "error", "text"), [
    (b"", EOFError, "empty"),
    (b"hello world, no file", pickle.UnpicklingError, "not a file that torch.save"),
    (b"PK\3\4 and no more", RuntimeError, "central directory"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", RuntimeError,
     "before PyTorch 1.6"),
])
def test_foreign_files(data, error, text):
    with pytest.raises(error, match=text):
        load(data)


def test_other_archives():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("folder/a.txt", "x")
    with pytest.raises(RuntimeError, match="data.pkl"):
        load(buffer.getvalue())


def test_compressed_entries_are_refused():
    plain = zipfile.ZipFile(io.BytesIO(saved(flambeau.zeros(1000))))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in plain.infolist():
            archive.writestr(entry.filename, plain.read(entry))
    with pytest.raises(RuntimeError, match="compressed"):
        load(buffer.getvalue())


# -- distrust --------------------------------------------------------------------------------------


def test_nothing_in_the_file_is_executed():
    data = saved({"x": Evil()})
    with pytest.raises(pickle.UnpicklingError, match="setattr"):
        load(data)
    assert not Evil.ran


def test_whole_models_need_weights_only_false(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    flambeau.save(model, tmp_path / "m.pt")
    with pytest.raises(pickle.UnpicklingError, match="weights_only=False"):
        flambeau.load(tmp_path / "m.pt")
    again = flambeau.load(tmp_path / "m.pt", weights_only=False)
    assert again[0].weight.tolist() == model[0].weight.tolist()
    assert list(again.state_dict()) == list(model.state_dict())


class Point:
    def __init__(self, x):
        self.x = x


def test_safe_globals():
    data = saved(Point(3))
    with pytest.raises(pickle.UnpicklingError, match="add_safe_globals"):
        load(data)
    with flambeau.serialization.safe_globals([Point]):
        assert load(data).x == 3
    assert flambeau.serialization.get_safe_globals() == []


def test_explicit_pickle_module_and_weights_only():
    with pytest.raises(RuntimeError, match="pickle_module"):
        load(saved(1), pickle_module=pickle, weights_only=True)


# -- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [
    "cpu", flambeau.device("cpu"), lambda storage, name: storage, lambda storage, name: None,
    {"cpu": "cpu"}, {"cuda:0": "cpu"}])
def test_map_location(where):
    assert load(saved(flambeau.ones(2)), map_location=where).tolist() == [1, 1]


def test_map_location_meta():
    t = load(saved(flambeau.ones(2, 3)), map_location="meta")
    assert (t.device.type, tuple(t.shape)) == ("meta", (2, 3))


def test_cuda_tensors_name_the_cure():
    with pytest.raises(RuntimeError, match="map_location=torch.device"):
        load(saved(flambeau.ones(2)), map_location="cuda")


def test_mmap(tmp_path):
    path = tmp_path / "x.pt"
    flambeau.save([flambeau.arange(1000), flambeau.ones(3)], path)
    a, b = flambeau.load(path, mmap=True)
    assert a.sum().item() == 499500
    b.add_(1)
    assert b.tolist() == [2, 2, 2]
    assert flambeau.load(path)[1].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="file path"):
        load(path.read_bytes(), mmap=True)


def test_file_objects_must_seek():
    class Stream:
        def read(self, n=-1):
            return b""

    with pytest.raises(AttributeError, match="seekable"):
        flambeau.load(Stream())
    with pytest.raises(AttributeError, match="write"):
        flambeau.save(1, 5)


def test_missing_folder(tmp_path):
    with pytest.raises(RuntimeError, match="Parent directory"):
        flambeau.save(1, tmp_path / "none" / "x.pt")
    with pytest.raises(FileNotFoundError):
        flambeau.load(tmp_path / "none.pt")


# -- replacing -------------------------------------------------------------------------------------


def test_a_failure_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "x.pt"
    flambeau.save(flambeau.ones(3), path)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        flambeau.save({"a": flambeau.zeros(3), "b": lambda: 0}, path)
    assert flambeau.load(path).tolist() == [1, 1, 1]
    assert os.listdir(tmp_path) == ["x.pt"]


def test_a_full_disk_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "x.pt"
    flambeau.save(flambeau.ones(3), path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(RuntimeError, match="untouched") as caught:
            flambeau.save(flambeau.ones(100_000), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert isinstance(caught.value, OSError)
    assert flambeau.load(path).tolist() == [1, 1, 1]
    assert os.listdir(tmp_path) == ["x.pt"]


def test_links_and_modes_are_kept(tmp_path):
    path, link = tmp_path / "x.pt", tmp_path / "link.pt"
    flambeau.save(1, path)
    path.chmod(0o640)
    link.symlink_to(path)
    flambeau.save(2, link)
    assert link.is_symlink()
    assert flambeau.load(path) == 2
    assert path.stat().st_mode & 0o777 == 0o640
