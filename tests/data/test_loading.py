"""`load` of prepared data sets: what it reads, and what it says of damaged ones."""

import json
import shutil

import numpy as np
import pytest
from tensorflow_datasets.core.data_sources import base

from jaxinv import data
from jaxinv.data.dataset import channel_statistics
from tests.data import tiny


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with a small prepared data set, not to be changed."""
    folder = tmp_path_factory.mktemp("tfds")
    tiny.write(folder)
    return folder


@pytest.fixture
def folder(stored, tmp_path):
    """A copy of it, to be damaged: the folder of its files."""
    shutil.copytree(stored, tmp_path / "tfds")
    return tmp_path / "tfds" / "tiny" / "1.0.0"


@pytest.fixture
def records(monkeypatch):
    """The number of records read so far, in a list."""
    read = [0]
    getitems = base.BaseDataSource.__getitems__

    def counted(self, keys):
        read[0] += len(keys)
        return getitems(self, keys)

    monkeypatch.setattr(base.BaseDataSource, "__getitems__", counted)
    return read


def load(folder, split="test"):
    return data.load("tiny", split=split, data_dir=folder, cache_dir=folder / "cache")


def test_no_more_is_read_than_asked_for(stored, tmp_path, records):
    def load_part(split):
        return data.load("tiny", split=split, data_dir=stored, cache_dir=tmp_path)

    part = load_part("test[7:17]")
    assert records == [10]
    again = load_part("test[7:17]")
    assert records == [10]  # from the cache
    np.testing.assert_array_equal(part.images, again.images)
    # The scale is the training split's, which is read when it is asked for, and once.
    assert part.mean == part.mean == again.mean
    assert part.std == again.std
    assert records == [10 + tiny.SIZES["train"]]
    whole = load_part("train")
    assert records == [10 + tiny.SIZES["train"]]
    assert (part.mean, part.std) == channel_statistics(whole.images) == (whole.mean, whole.std)
    test = load_part("test")
    assert records == [10 + tiny.SIZES["train"] + tiny.SIZES["test"]]
    np.testing.assert_array_equal(test.images[7:17], part.images)
    np.testing.assert_array_equal(test.labels[7:17], part.labels)
    assert len(load_part("test[-5:]")) == 5
    assert records == [10 + tiny.SIZES["train"] + tiny.SIZES["test"]]


def test_what_was_written_is_read(folder):
    test = load(folder.parents[1])
    written = {image.tobytes(): index % 3 for index, image in enumerate(tiny.images_of("test"))}
    pairs = zip(test.images, test.labels, strict=True)
    assert {image.tobytes(): label for image, label in pairs} == written
    assert test.num_classes == 3


def test_labels_that_are_no_classes(folder):
    features = folder / "features.json"
    features.write_text(features.read_text().replace('"numClasses": "3"', '"numClasses": "2"'))
    assert '"2"' in features.read_text()
    with pytest.raises(ValueError, match=r"labels from 0 to 2; with 2 classes they must be in 0"):
        load(folder.parents[1])


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path):
    content = bytearray(path.read_bytes())
    content[200:210] = bytes(10)
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def garble(path):
    path.write_bytes(b"\x00{" + path.read_bytes()[:40])


@pytest.mark.parametrize("damage", [cut, spoil, empty, garble, lambda path: path.unlink()])
def test_damaged_records_are_one_line(folder, damage):
    damage(next(folder.glob("*-test.array_record*")))
    with pytest.raises(ValueError, match=r"'tiny' under .* is damaged: .*; delete that") as caught:
        load(folder.parents[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("damage", [cut, empty, garble, lambda path: path.write_text("{}")])
def test_a_damaged_description_is_one_line(folder, name, damage):
    damage(folder / name)
    with pytest.raises(ValueError, match=r"data set 'tiny' in .* cannot be opened: ") as caught:
        load(folder.parents[1])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def describe(folder, split, lengths):
    """Write into the description how many records the files of a split hold."""
    description = json.loads((folder / "dataset_info.json").read_text())
    next(s for s in description["splits"] if s["name"] == split)["shardLengths"] = lengths
    (folder / "dataset_info.json").write_text(json.dumps(description))


@pytest.mark.parametrize("lengths", [["31"], ["29"], ["1"], ["10000000000000"]])
@pytest.mark.parametrize("split", ["test", "test[:1]", "test[-1:]"])
def test_a_description_of_more_or_fewer_records(folder, split, lengths):
    describe(folder, "test", lengths)
    with pytest.raises(ValueError, match=rf"holds 30 records and is said to hold {lengths[0]};"):
        load(folder.parents[1], split)


@pytest.mark.parametrize("lengths", [["-5"], ["4", "26"], ["30", "0"], ["0"], []])
def test_a_description_of_other_files(folder, lengths):
    describe(folder, "test", lengths)
    with pytest.raises(ValueError, match=r"data set 'tiny' .* is damaged: |is empty") as caught:
        load(folder.parents[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lengths", "says"), [(["39"], "holds 40 records and is said to hold 39"), ([], "is empty")]
)
def test_a_scale_is_that_of_all_records(folder, lengths, says):
    describe(folder, "train", lengths)
    test = load(folder.parents[1])
    with pytest.raises(ValueError, match=says):
        test.std  # noqa: B018 - it is found when it is asked for


@pytest.mark.parametrize(
    ("said", "instead", "says"),
    [
        ('"6"', '"5"', r"an image has shape \(6, 5, 1\) and is said to have \(5, 5, 1\)"),
        ('"6"', '"100000000"', r"is said to have \(100000000, 5, 1\)"),
        ('"uint8"', '"uint16"', "has images of uint16; allowed is uint8"),
        ('"uint8"', '"float32"', "has images of float32; allowed is uint8"),
    ],
)
def test_a_description_of_other_images(folder, said, instead, says):
    features = folder / "features.json"
    features.write_text(features.read_text().replace(said, instead))
    with pytest.raises(ValueError, match=says) as caught:
        load(folder.parents[1])
    assert "\n" not in str(caught.value)
