"""Folders of pictures with label maps: what is read, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from jaxinv import data

R = np.random.default_rng(0)


def write(folder, count, *, classes=3, size=(5, 4), palette=False):
    """Pictures and label maps; returns them as arrays."""
    images = R.integers(0, 256, (count, *size, 3)).astype(np.uint8)
    masks = R.integers(0, classes, (count, *size)).astype(np.uint8)
    masks[0, 0, 0] = classes - 1
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        made = Image.fromarray(mask)
        if palette:
            made = Image.fromarray(mask, mode="L").convert("P")
            made.putdata(mask.ravel().tolist())
        made.save(folder / "masks" / f"{number}.png")
    return images, masks


@pytest.mark.parametrize("palette", [False, True])
def test_one_split(tmp_path, palette):
    images, masks = write(tmp_path, 3, palette=palette)
    found = data.load(str(tmp_path), cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, masks)
    assert (found.num_classes, found.label_shape) == (3, (5, 4))


def test_splits_have_the_classes_that_are_trained_on(tmp_path):
    write(tmp_path / "train", 2, classes=4)
    images, masks = write(tmp_path / "val", 3, classes=2)
    options = {"cache_dir": tmp_path / "cache", "memory": 1}
    found = data.open(str(tmp_path), split="test[1:]", **options)
    assert (len(found), found.num_classes, found.label_shape) == (2, 4, (5, 4))
    got = found.read([1, 0])
    np.testing.assert_array_equal(got[0], images[[2, 1]])
    np.testing.assert_array_equal(got[1], masks[[2, 1]])
    np.testing.assert_array_equal(found.load().labels, masks[1:])


def test_void_pixels_have_no_class(tmp_path):
    for split, classes in (("train", 4), ("val", 2)):
        _, masks = write(tmp_path / split, 3, classes=classes)
        masks[1, 2:], masks[2] = 255, 255
        for number, mask in enumerate(masks):
            Image.fromarray(mask).save(tmp_path / split / "masks" / f"{number}.png")
    options = {"cache_dir": tmp_path / "cache", "void": 255}
    found = data.load(str(tmp_path), split="test", **options)
    assert found.num_classes == 4
    np.testing.assert_array_equal(found.labels, np.where(masks == 255, -1, masks.astype(int)))
    streamed = data.open(str(tmp_path), split="test", **options, memory=1)
    np.testing.assert_array_equal(streamed.read([2, 1])[1], found.labels[[2, 1]])

    masks[0, 0, 0] = 9
    Image.fromarray(masks[0]).save(tmp_path / "val" / "masks" / "0.png")
    with pytest.raises(
        ValueError, match=r"0\.png: label 9 is no class; allowed are 0 to 3, and 255"
    ):
        data.load(str(tmp_path), split="test", **options)
    for path in (tmp_path / "train" / "masks").iterdir():
        Image.fromarray(np.full((5, 4), 255, np.uint8)).save(path)
    with pytest.raises(ValueError, match="are 255, which is void"):
        data.load(str(tmp_path), **options)


@pytest.mark.parametrize("void", [-1, 256])
def test_void_is_a_number_of_a_label_map(void, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=f"void is {void}; allowed are 0 to 255"):
        data.load(str(tmp_path), void=void)


def test_targets_are_values_from_0_to_1(tmp_path):
    images = R.integers(0, 256, (3, 5, 4, 1)).astype(np.uint8)
    targets = R.integers(0, 256, (3, 10, 8, 3)).astype(np.uint8)
    for part, pictures in (("images", images), ("targets", targets)):
        (tmp_path / "test" / part).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture.squeeze()).save(tmp_path / "test" / part / f"{number}.png")
    options = {"split": "test", "cache_dir": tmp_path / "cache"}
    found = data.load(str(tmp_path), **options)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_allclose(found.labels, targets / 255, rtol=1e-6)
    assert (found.num_classes, found.label_shape) == (0, (10, 8, 3))
    streamed = data.open(str(tmp_path), **options, memory=1)
    np.testing.assert_array_equal(streamed.read([2])[1], found.labels[[2]])
    np.testing.assert_array_equal(streamed.load().labels, found.labels)
    for call, message in (
        (lambda: data.load(str(tmp_path), void=255, **options), "void means nothing"),
        (lambda: data.load(str(tmp_path), canvas=20, **options), "canvas means nothing"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    extra = tmp_path / "test" / "targets" / "9.png"
    Image.fromarray(targets[0]).save(extra)
    with pytest.raises(ValueError, match="3 pictures and 4 targets"):
        data.load(str(tmp_path), **options)
    extra.rename(extra.with_name("1.png"))
    (tmp_path / "test" / "targets" / "2.png").unlink()
    with pytest.raises(ValueError, match=r"2\.png has no target"):
        data.load(str(tmp_path), **options)


@pytest.mark.parametrize("name", ["digits", "digits_scenes", "./classes"])
def test_void_is_for_folders_of_masks(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classes").mkdir()
    with pytest.raises(ValueError, match="void means nothing for"):
        data.load(name, void=255)


def test_label_maps_in_arrays():
    images, labels = np.zeros((2, 2, 2), np.uint8), np.array([[[0, 1], [255, 2]]] * 2, np.uint8)
    made = data.Dataset.of(images, labels, void=255)
    assert (made.num_classes, made.labels[0].tolist()) == (3, [[0, 1], [-1, 2]])
    assert data.Dataset.of(images, labels.astype(int) - 1, void=-1).labels.min() == -1
    for given, message in (
        ({"labels": labels, "num_classes": 3}, "label 255 is no class; allowed are 0 to 2$"),
        ({"labels": labels, "num_classes": 2, "void": 255}, "label 2 .* 0 to 1, and 255 for no"),
        ({"labels": labels[:, 0, 0], "void": 255}, "it is for label maps"),
        ({"labels": np.full_like(labels, 7), "void": 7}, "all labels are 7, which is void"),
    ):
        with pytest.raises(ValueError, match=message):
            data.Dataset.of(images, **given)


def test_what_does_not_fit_is_refused(tmp_path):
    write(tmp_path, 2)
    load = lambda: data.load(str(tmp_path), cache_dir=tmp_path / "cache")  # noqa: E731
    mask = tmp_path / "masks" / "1.png"
    for made, message in (
        (np.zeros((4, 4), np.uint8), "masks of the size of their pictures"),
        (
            np.full((5, 4), 255, np.uint8),
            "holds 255; allowed are classes 0 to 254, or the option",
        ),
        (np.zeros((5, 4, 3), np.uint8), "kind RGB; allowed are label maps in grey"),
    ):
        Image.fromarray(made).save(mask)
        with pytest.raises(ValueError, match=message):
            load()
    mask.unlink()
    with pytest.raises(ValueError, match=r"1\.png has no label map"):
        load()
