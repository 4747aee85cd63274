"""TFDS data sets: prepared ones, ones prepared here, and clear errors where neither is possible."""

import gzip
import shutil
import socket
import time
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pytest

from jaxinv import data
from jaxinv.data import cache, files, mnist_family, reachability

SHARED = Path(__file__).parents[3] / "shared" / "data"
prepared = pytest.mark.skipif(not (SHARED / "tfds").is_dir(), reason="no prepared data sets here")
originals = pytest.mark.skipif(
    not (SHARED / "mnist-original").is_dir(), reason="MNIST's original files are not here"
)


@pytest.fixture
def offline(monkeypatch):
    """No name resolves, and whoever tries to connect all the same fails at once."""

    def refuse(*_, **__):
        raise socket.gaierror("offline")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@prepared
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_prepared_sets_are_read_and_cached(name, tmp_path):
    test = _load_test_split(name, tmp_path)
    assert test.images.shape == (10000, 28, 28, 1)
    assert test.num_classes == 10
    assert np.bincount(test.labels)[0] == (980 if name == "mnist" else 1000)
    files = list(tmp_path.iterdir())
    assert [file.suffix for file in files] == [".npz"]
    files[0].write_bytes(files[0].read_bytes()[:1000])  # damaged: read anew
    read = _load_test_split(name, tmp_path)
    np.testing.assert_array_equal(read.images, test.images)


def _load_test_split(name, folder):
    """The test split alone: the training split, which `load` takes the scale from, is large."""
    from jaxinv.data import tfds_reader

    builder = tfds_reader.prepared_builder(name, data_dir=SHARED / "tfds", manual_dir=None)
    path = folder / tfds_reader.cache_name(builder, "test")
    arrays = cache.cached(path, lambda: tfds_reader.read_split(builder, "test"))
    return data.Dataset(arrays["images"], arrays["labels"], name, "test", 10, (0.0,), (1.0,))


@prepared
def test_unknown_split_of_a_prepared_set():
    from jaxinv.data import tfds_reader

    builder = tfds_reader.prepared_builder("mnist", data_dir=SHARED / "tfds", manual_dir=None)
    with pytest.raises(ValueError, match="no split 'dev'; it has train, test"):
        tfds_reader.read_split(builder, "dev")


@prepared
def test_the_split_test_is_the_only_other_one_where_it_has_another_name():
    from jaxinv.data import tfds_reader

    def called(name, data_set):
        builder = tfds_reader.prepared_builder(data_set, data_dir=SHARED / "tfds", manual_dir=None)
        return files.split_called(name, list(builder.info.splits))

    assert called("test", "cifar10_partial") == "test1k"
    assert called("test", "mnist") == "test"
    assert called("dev", "cifar10_partial") == "dev"  # refused when it is read


@prepared
def test_content_under_the_wrong_name_is_noticed(tmp_path):
    """The trap of preparing both in one folder: MNIST's records under Fashion-MNIST's name."""
    from jaxinv.data import tfds_reader

    folder = tmp_path / "fashion_mnist" / "3.0.1"
    shutil.copytree(SHARED / "tfds" / "fashion_mnist" / "3.0.1", folder)
    wrong = next((SHARED / "tfds" / "mnist" / "3.0.1").glob("*-test.array_record*"))
    right = next(folder.glob("*-test.array_record*"))
    right.chmod(0o644)
    shutil.copyfile(wrong, right)
    builder = tfds_reader.prepared_builder("fashion_mnist", data_dir=tmp_path, manual_dir=None)
    for rows in (None, range(9000, 9010)):
        with pytest.raises(ValueError, match="is not 'fashion_mnist': its content differs"):
            tfds_reader.read_split(builder, "test", rows)


@originals
def test_mnist_is_prepared_from_the_original_files_without_tensorflow(
    tmp_path, offline, monkeypatch
):
    from jaxinv.data import tfds_reader

    monkeypatch.setattr(mnist_family, "_PARTS", {"test": mnist_family._PARTS["test"]})
    builder = tfds_reader.prepared_builder(
        "mnist", data_dir=tmp_path, manual_dir=SHARED / "mnist-original"
    )
    arrays = tfds_reader.read_split(builder, "test")  # checks the content hash
    key = ("mnist", "3.0.1", "test")
    assert cache.content_hash(arrays)[:16] == mnist_family.KNOWN_CONTENT[key][0]


@originals
def test_files_of_another_data_set_are_refused_before_anything_is_written(tmp_path, offline):
    with pytest.raises(ValueError, match="is not the file TFDS registers for 'fashion_mnist'"):
        data.load("fashion_mnist", data_dir=tmp_path, manual_dir=SHARED / "mnist-original")
    with pytest.raises(ValueError, match="fashion_mnist' is not prepared"):
        data.load("fashion_mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "'mnist' is not prepared under .* does not answer; give --data-dir.*'digits'"),
        ("cifar10", "'cifar10' is not prepared under .*tfds-build.*'digits'"),
        ("no_such_set", "unknown data set 'no_such_set'; allowed are 'digits'"),
        ("pictures.npy", "unknown data set 'pictures.npy'; allowed are 'digits'"),
        ("mnist:9.9.9", "'mnist:9.9.9' in .* cannot be opened"),
    ],
)
def test_what_cannot_be_had_is_said_at_once(name, message, tmp_path, offline):
    began = time.monotonic()
    with pytest.raises(ValueError, match=message):
        data.load(name, data_dir=tmp_path)
    assert time.monotonic() - began < 10


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"data_dir .*nowhere is not a folder"):
        data.load("mnist", data_dir=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"manual_dir .*nowhere is not a folder"):
        data.load("mnist", data_dir=tmp_path, manual_dir=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"has no train-images-idx3-ubyte\.gz"):
        data.load("kmnist", data_dir=tmp_path, manual_dir=tmp_path)


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    def hang(*_, **__):
        time.sleep(3)
        raise OSError("gave up")

    monkeypatch.setattr(urllib.request, "urlopen", hang)
    began = time.monotonic()
    assert not reachability.reachable("http://example.org", timeout=0.2)
    assert time.monotonic() - began < 2


def test_what_tfds_says_is_no_output_of_the_program(tmp_path, offline, capsys):
    with pytest.raises(ValueError, match="has no train-images"):
        data.load("mnist", data_dir=tmp_path, manual_dir=tmp_path)
    said = capsys.readouterr()
    assert "Downloading and preparing" in said.err
    assert not said.out


def test_idx_files():
    packed = gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)]))
    np.testing.assert_array_equal(mnist_family.idx(packed), [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match="not an idx file"):
        mnist_family.idx(gzip.compress(b"something else"))


def test_cache_reads_once_and_survives_an_unwritable_folder(tmp_path):
    calls = []

    def read():
        calls.append(1)
        return {"images": np.zeros((1, 2, 2, 1), np.uint8), "labels": np.zeros(1, np.int32)}

    for _ in range(2):
        cache.cached(tmp_path / "a" / "b.npz", read)
    assert len(calls) == 1
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.npz"]
    (tmp_path / "file").write_text("not a folder")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        arrays = cache.cached(tmp_path / "file" / "b.npz", read)
    assert "not cached" in str(caught[0].message)
    assert arrays["labels"].shape == (1,)
