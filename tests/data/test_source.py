"""Sources of images: read as they are needed, they hold what is held in memory."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from jaxinv import data
from jaxinv.data.dataset import channel_statistics
from jaxinv.data.source import ChannelStatistics, parse_bytes, statistics_of
from tests.data import tiny
from tests.data.test_files import SIZES, images_of, write_archive, write_folder

ROWS = [3, 0, 4, 4, 1]


def tfds(root):
    tiny.write(root / "tfds")
    return {"name": "tiny", "data_dir": root / "tfds"}


def folder(root):
    return {"name": str(write_folder(root / "pictures"))}


def archive(root):
    return {"name": str(write_archive(root / "mine.npz"))}


def compressed(root):
    arrays = {}
    for split in SIZES:
        arrays |= {
            f"x_{split}": images_of(split, 1)[..., 0],
            f"y_{split}": np.ones(SIZES[split], int),
        }
    np.savez_compressed(root / "small.npz", **arrays)
    return {"name": str(root / "small.npz")}


def columns_first(root):
    turned = {f"x_{split}": np.asfortranarray(images_of(split, 3)) for split in SIZES}
    return {"name": str(write_archive(root / "turned.npz", **turned))}


def digits(root):
    return {"name": "digits"}


@pytest.mark.parametrize("kind", [tfds, folder, archive, compressed, columns_first, digits])
def test_what_is_streamed_is_what_is_loaded(tmp_path, kind):
    given = kind(tmp_path) | {"cache_dir": tmp_path / "cache"}
    for split in ("train", "test", "test[1:]"):
        held = data.load(**given, split=split)
        streamed = data.open(**given, split=split, memory=held.nbytes - 1)
        assert isinstance(data.open(**given, split=split, memory=held.nbytes), data.Dataset)
        assert isinstance(streamed, data.Streamed) or kind is digits
        assert len(streamed) == len(held)
        assert streamed.image_shape == held.image_shape == held.images.shape[1:]
        for name in ("name", "split", "num_classes", "nbytes", "mean", "std"):
            assert getattr(streamed, name) == getattr(held, name), name
        rows = [row % len(held) for row in ROWS]
        for source in (held, streamed, held.part(range(len(held))), streamed.load()):
            images, labels = source.read(rows)
            assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
            np.testing.assert_array_equal(images, held.images[rows])
            np.testing.assert_array_equal(labels, held.labels[rows])
        again = data.load(**given, split=split)
        np.testing.assert_array_equal(again.images, held.images)


def test_nothing_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    from tensorflow_datasets.core.data_sources import base

    given, read = tfds(tmp_path), []
    getitems = base.BaseDataSource.__getitems__
    monkeypatch.setattr(
        base.BaseDataSource, "__getitems__", lambda s, rows: read.extend(rows) or getitems(s, rows)
    )
    part = data.open(**given, split="train[10:20]", memory=0, cache_dir=tmp_path / "cache")
    assert not read
    part.read([2, 0])
    assert read == [12, 10]
    del read[:]
    assert part.mean == data.load(**given, cache_dir=tmp_path / "other").mean
    assert sorted(read[:40]) == list(range(40))
    assert not list((tmp_path / "cache").glob("*train-[0-9]*.npz"))  # only the scale is kept


def test_batches_come_in_order_from_wherever_they_are_taken_up(tmp_path):
    source = data.open(**folder(tmp_path), memory=0, cache_dir=tmp_path / "cache")
    order = np.random.default_rng(0).permutation(SIZES["train"])[:6].reshape(3, 2)
    held = data.load(**folder(tmp_path / "again"), cache_dir=tmp_path / "cache")
    for start in range(4):
        found = list(source.batches(order[start:]))
        assert len(found) == 3 - start
        for (images, labels), rows in zip(found, order[start:], strict=True):
            np.testing.assert_array_equal(images, held.images[rows])
            np.testing.assert_array_equal(labels, held.labels[rows])


def test_reading_ahead_is_bounded(monkeypatch):
    asked = []

    def read(rows):
        asked.append(rows)
        return np.zeros((len(rows), 2**10, 2**10, 1), np.uint8), np.zeros(len(rows), np.int32)

    source = data.Streamed(read, range(10**6), (2**10, 2**10, 1), 1)
    batches = source.batches([range(n, n + 32) for n in range(0, 3200, 32)])
    for _ in range(3):
        next(batches)
    batches.close()
    assert len(asked) <= 3 + 4 + 1  # of 32 MiB each


def test_a_part_and_a_canvas_of_a_stream(tmp_path):
    given = folder(tmp_path) | {"cache_dir": tmp_path / "cache"}
    held = data.load(**given, canvas=9)
    source = data.open(**given, canvas=9, memory=0)
    assert isinstance(source, data.Streamed)
    assert source.image_shape == (9, 9, 3)
    part = source.part(range(2, 5)).part(range(1, 3))
    np.testing.assert_array_equal(part.read([0, 1])[0], held.images[3:5])
    assert part.mean == held.mean == held.part(range(1)).mean  # of all training images
    np.testing.assert_array_equal(part.load().images, held.images[3:5])
    with pytest.raises(ValueError, match="4x6 do not fit on a canvas of 5x5"):
        data.open(**given, canvas=5, memory=0)


class Numbers(data.Source):
    """Images of one pixel whose value is their number."""

    name, split, num_classes, image_shape = "numbers", "train", 2, (1, 1, 1)

    def __len__(self):
        return 100

    def read(self, rows):
        rows = np.asarray(rows)
        return rows.astype(np.uint8)[:, None, None, None], (rows % 2).astype(np.int32)

    mean, std = (0.5,), (0.25,)


def test_a_source_of_ones_own():
    source = Numbers()
    part = source.part(range(10, 20)).map(lambda images: images + 1)
    assert (len(part), part.mean, part.std, part.nbytes) == (10, (0.5,), (0.25,), 10)
    np.testing.assert_array_equal(part.load().images.ravel(), np.arange(11, 21))
    np.testing.assert_array_equal(source.load().labels, np.arange(100) % 2)
    assert statistics_of(source) == channel_statistics(source.load().images)


@pytest.mark.parametrize(
    "changed",
    [
        lambda images, labels: (images / 255, labels),
        lambda images, labels: (images[..., 0], labels),
        lambda images, labels: (images[:-1], labels[:-1]),
        lambda images, labels: (images, labels[:, None]),
    ],
)
def test_a_source_that_is_not_what_it_says_is_refused(changed):
    class Wrong(Numbers):
        def read(self, rows):
            return changed(*super().read(rows))

    for read in (Wrong().load, lambda: list(Wrong().batches([range(5)]))):
        with pytest.raises(ValueError, match=r"'numbers' gives images.*; needed are uint8 \("):
            read()


@pytest.mark.parametrize("seed", range(4))
def test_statistics_do_not_depend_on_the_parts(seed):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (9, 4, 3, 2)).astype(np.uint8)
    # The median of the border is about black; one pixel decides.
    images[:, 0] *= seed > 0
    images[:, :, 0] *= generator.random((9, 4, 2)) < seed / 8
    found = ChannelStatistics(2)
    for part in np.split(images, [2, 3, 7]):
        found.add(part)
    mean, std = images.mean((0, 1, 2)), images.std((0, 1, 2))
    border = [images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]]
    if np.median(np.concatenate([edge.ravel() for edge in border])) == 0:
        mean, std = 0 * mean, np.sqrt((images.astype(float) ** 2).mean((0, 1, 2)))
    np.testing.assert_allclose(found.scale(), (mean / 255, std / 255), rtol=1e-12)
    assert found.scale() == channel_statistics(images)


@pytest.mark.parametrize(("black", "mean"), [(2, 0.0), (1, 0.5)])
def test_the_median_of_a_border_of_four_pixels(black, mean):
    # As many black pixels as others: the median is between them.
    image = np.full((1, 2, 1, 1), 255, np.uint8)
    image[0, :black] = 0
    assert channel_statistics(image)[0] == (mean,)


def test_a_folder_without_splits(tmp_path):
    folder = write_folder(tmp_path / "pictures") / "train"
    held = data.load(str(folder), cache_dir=tmp_path)
    np.testing.assert_array_equal(held.images, images_of("train", 3))
    assert (held.split, held.num_classes, set(held.labels)) == ("train", 2, {0, 1})
    with pytest.raises(ValueError, match="no split 'test'; it has train"):
        data.load(str(folder), split="test", cache_dir=tmp_path)
    flat = data.open(str(folder / "ant"), split="train[:2]", memory=0, cache_dir=tmp_path)
    assert (len(flat), flat.num_classes) == (2, 0)
    images, labels = flat.read(range(2))
    np.testing.assert_array_equal(images, held.images[:2])
    np.testing.assert_array_equal(labels, [-1, -1])


def test_what_is_wrong_with_a_stream_is_said_when_it_is_read(tmp_path):
    folder = write_folder(tmp_path / "pictures")
    last = folder / "test" / "bee" / "004.png"
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(last)
    source = data.open(str(folder), split="test", memory=0, cache_dir=tmp_path)
    source.read([0, 1])
    with pytest.raises(ValueError, match=r"004.png has 5x6 pixels, 3 channels and .*000.png 4x6"):
        list(source.batches([range(5)]))
    last.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"004.png cannot be read as a picture"):
        list(source.batches([range(5)]))
    path = write_archive(tmp_path / "mine.npz", y_test=np.array([-1, 0, 0, 0, 0]))
    source = data.open(str(path), split="test", memory=0, cache_dir=tmp_path)
    source.read([1])
    with pytest.raises(ValueError, match="has labels from -1 to 0; with 2 classes they must be in"):
        source.read([1, 0])


def test_ten_rows_of_an_archive_do_not_take_the_memory_of_all(tmp_path):
    images = np.zeros((4096, 64, 64), np.uint8)
    images[7] = 7
    np.savez(tmp_path / "large.npz", x_train=images, y_train=np.zeros(4096, int))
    tracemalloc.start()
    try:
        part = data.load(str(tmp_path / "large.npz"), split="train[7:17]", cache_dir=tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert part.images[0].min() == 7
    assert peak < images.nbytes / 8


@pytest.mark.parametrize(
    ("size", "found"), [("2GiB", 2**31), ("1.5 kB", 1500), ("3mib", 3 * 2**20), ("0", 0), (9, 9)]
)
def test_sizes_in_words(size, found):
    assert parse_bytes(size) == found


@pytest.mark.parametrize("size", ["", "GiB", "-1", "2 potatoes", "1e9", "inf", None])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match="allowed are numbers of bytes such as 500MB and 2GiB"):
        data.open("digits", memory=size)
