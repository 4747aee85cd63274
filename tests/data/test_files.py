"""Data sets in folders of pictures and in .npz archives: what is read, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from jaxinv import data
from jaxinv.data import folders, source
from jaxinv.data.dataset import channel_statistics

SIZES = {"train": 7, "test": 5}


def images_of(split, channels):
    shape = (SIZES[split], 4, 6, channels)
    return np.random.default_rng(channels).integers(0, 256, shape).astype(np.uint8)


def labels_of(split):
    return np.arange(SIZES[split], dtype=np.int32) * 2 // SIZES[split]


def write_folder(root, channels=3, splits=("train", "test")):
    for split in splits:
        for number, (image, label) in enumerate(
            zip(images_of(split, channels), labels_of(split), strict=True)
        ):
            path = root / split / ("ant", "bee")[label] / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.squeeze()).save(path)
    return root


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_folder_holds_a_split_in_folders_of_classes(tmp_path, split, channels):
    folder = write_folder(tmp_path / "pictures", channels)
    (folder / "train" / "ant" / "notes.txt").write_text("no picture")
    found = data.load(str(folder), split=split, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(found.images, images_of(split, channels))
    np.testing.assert_array_equal(found.labels, labels_of(split))
    assert (found.num_classes, found.split) == (2, split)
    assert (found.mean, found.std) == channel_statistics(images_of("train", channels))


ARCHIVES = {
    "medmnist": lambda split, images, labels: {
        f"{split}_images": images, f"{split}_labels": labels[:, None].astype(np.uint8)
    },
    "keras": lambda split, images, labels: {f"x_{split}": images, f"y_{split}": labels},
}  # fmt: skip


def write_archive(path, kind="keras", channels=3, splits=("train", "test"), **changes):
    arrays = {}
    for split in splits:
        images = images_of(split, channels)
        arrays |= ARCHIVES[kind](
            split, images[..., 0] if channels == 1 else images, labels_of(split)
        )
    np.savez(path, **arrays | changes)
    return path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_holds_splits_as_arrays(tmp_path, kind, channels):
    path = write_archive(tmp_path / "mine.npz", kind, channels)
    for split in SIZES:
        found = data.load(str(path), split=split, cache_dir=tmp_path)
        np.testing.assert_array_equal(found.images, images_of(split, channels))
        np.testing.assert_array_equal(found.labels, labels_of(split))
        assert found.mean == channel_statistics(images_of("train", channels))[0]
        assert found.num_classes == 2


def test_no_more_pictures_are_read_than_asked_for(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "pictures")
    read = []
    decoded = folders.decoded
    monkeypatch.setattr(folders, "decoded", lambda path: read.append(path) or decoded(path))
    found = data.load(str(folder), split="test[1:3]", cache_dir=tmp_path / "cache")
    assert len(read) == 2
    np.testing.assert_array_equal(found.images, images_of("test", 3)[1:3])
    assert found.split == "test[1:3]"
    assert found.mean == found.mean
    assert len(read) == 2 + SIZES["train"]  # once, and kept for the next call
    assert data.load(str(folder), split="test[:1]", cache_dir=tmp_path / "cache").std == found.std
    assert len(read) == 3 + SIZES["train"]


def test_a_changed_folder_has_another_scale(tmp_path):
    folder = write_folder(tmp_path / "pictures")
    before = data.load(str(folder), split="test", cache_dir=tmp_path / "cache").std
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / "train" / "ant" / "new.png")
    assert data.load(str(folder), split="test", cache_dir=tmp_path / "cache").std != before


def test_test_means_the_one_split_besides_train(tmp_path):
    folder = write_folder(tmp_path / "pictures")
    (folder / "test").rename(folder / "val")
    found = data.load(str(folder), split="test[:2]", cache_dir=tmp_path / "cache")
    assert (found.split, len(found)) == ("val[:2]", 2)


def break_folder(folder, how):
    first = folder / "test" / "ant" / "000.png"
    if how == "size":
        Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(folder / "test" / "bee" / "004.png")
    elif how == "damaged":
        first.write_bytes(first.read_bytes()[:40])
    elif how == "class":
        (folder / "test" / "ant").rename(folder / "test" / "cow")
    elif how == "empty":
        for path in (folder / "test").rglob("*.png"):
            path.unlink()


@pytest.mark.parametrize(
    ("how", "split", "message"),
    [
        ("", "valid", "has no split 'valid'; it has test, train"),
        ("", "test[3:3]", r"split 'test\[3:3\]' .* is empty"),
        (
            "size",
            "test",
            r"004.png has 5x6 pixels, 3 channels and .*000.png 4x6 pixels, 3 channels",
        ),
        ("damaged", "test", "000.png cannot be read as a picture"),
        ("class", "test", "cow is a class that .*train has not"),
        ("empty", "test", "holds no pictures in folders of classes"),
    ],
)
def test_wrong_folders_are_refused_in_one_line(tmp_path, how, split, message):
    folder = write_folder(tmp_path / "pictures")
    break_folder(folder, how)
    with pytest.raises(ValueError, match=message) as refused:
        data.load(str(folder), split=split, cache_dir=tmp_path / "cache")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "split", "message"),
    [
        ({}, "valid", "has no split 'valid'; it has train, test"),
        ({"x_test": np.zeros((5, 4, 6, 3))}, "test", r"x_test in .* is float64 of shape"),
        ({"x_test": np.zeros((4, 4, 6, 3), np.uint8)}, "test", r"\(4, 4, 6, 3\) for 5 labels"),
        ({"y_test": np.zeros(5)}, "test", r"y_test in .* is float64 of shape \(5,\)"),
        ({"x_test": np.array([None] * 5)}, "test", "x_test in .* cannot be read: Object arrays"),
        ({"y_test": np.array([-1, 0, 0, 0, 0])}, "test", "has labels from -1 to 0"),
        ({"y_test": np.array([2**32, 0, 0, 0, 0])}, "test", "y_test in .* holds 4294967296; all"),
    ],
)
def test_wrong_archives_are_refused_in_one_line(tmp_path, changes, split, message):
    path = write_archive(tmp_path / "mine.npz", **changes)
    with pytest.raises(ValueError, match=message):
        data.load(str(path), split=split, cache_dir=tmp_path)


def test_what_is_no_archive_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "text.npz").write_text("no arrays")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for name, message in {
        "other.npz": "it has no arrays such as train_images",
        "damaged.npz": "cannot be read",
        "one.npz": "holds one array",
        "text.npz": "it is no .npz file",
        "notes.txt": "is a file; allowed are folders and .npz files",
        "nowhere.npz": "does not exist",
        "nowhere": "does not exist",
    }.items():
        with pytest.raises(ValueError, match=message):
            data.load(str(tmp_path / name), cache_dir=tmp_path)
    with pytest.raises(ValueError, match="mean nothing for a folder"):
        data.load(str(tmp_path), data_dir=tmp_path)


def test_more_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "pictures")
    monkeypatch.setattr(source.psutil, "virtual_memory", lambda: type("Free", (), {"available": 9}))
    with pytest.raises(ValueError, match=r"5 pictures of 4x6 pixels, 3 channels take .* are free"):
        data.load(str(folder), split="test", cache_dir=tmp_path / "cache")
