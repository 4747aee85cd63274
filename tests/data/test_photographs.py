"""Photographs of any size: what is seen of them, in which classes, and what is left out."""

import contextlib
import io
import sys

import numpy as np
import pytest
from PIL import Image

from jaxinv import data
from jaxinv.data.pictures import Framing
from jaxinv.progress import progress_bar
from tests.data.photos import photograph, write

torchvision = None
with contextlib.suppress(Exception):  # where it is, it is asked, too
    import torchvision

SIZES = [(30, 40), (50, 36), (33, 33), (41, 90), (200, 31)]
FRAMINGS = [(24, 20), (24, 21), (25, 20), (31, 31), (16, 24), (None, 19), (9, None)]
FRAMINGS += [((20, 30), (12, 17))]


def by_definition(picture, size, crop, interpolation="bilinear"):
    """Resize and CenterCrop as torchvision's documentation has them, by Pillow."""
    if isinstance(size, int):
        short, long = sorted(picture.size)
        other = int(size * long / short)
        size = (size, other) if picture.height <= picture.width else (other, size)
    if size is not None:
        methods = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
        picture = picture.resize(size[::-1], methods[interpolation])
    if crop is None:
        return np.asarray(picture)
    array, crop = np.asarray(picture), (crop, crop) if isinstance(crop, int) else crop
    missing = [max(0, window - n) for window, n in zip(crop, array.shape, strict=False)]
    array = np.pad(array, [*((m // 2, m - m // 2) for m in missing), (0, 0)])
    for axis, window in enumerate(crop):
        start = round((array.shape[axis] - window) / 2)
        array = array.take(range(start, start + window), axis)
    return array


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "crop"), FRAMINGS)
def test_what_is_seen_is_what_torchvision_shows(size, crop, interpolation, tmp_path):
    path = tmp_path / "one.png"
    for seed, (height, width) in enumerate(SIZES):
        picture = photograph(seed, height, width)
        picture.save(path)
        found = data.read_photograph(path, size=size, crop=crop, interpolation=interpolation)
        np.testing.assert_array_equal(found, by_definition(picture, size, crop, interpolation))
        assert Framing(size=size, crop=crop).shape(height, width) == found.shape[:2]
        if torchvision is not None:
            transforms = torchvision.transforms
            method = transforms.InterpolationMode(interpolation)
            steps = [] if size is None else [transforms.Resize(size, method, antialias=True)]
            steps += [] if crop is None else [transforms.CenterCrop(crop)]
            theirs = np.asarray(transforms.Compose(steps)(picture)).astype(int)
            assert np.abs(found - theirs).max() <= 1


def test_the_margin_is_what_lies_around_the_crop(tmp_path):
    """Also where the crop's place is rounded: an odd number of pixels is left."""
    path = tmp_path / "one.png"
    for size in ((37, 60), (64, 39), (38, 41)):
        picture = photograph(0, *size)
        picture.save(path)
        for crop in (20, 21):
            framing = Framing(size=32, crop=crop)
            for margin in range(framing.reach(*size) + 1):
                larger = data.read_photograph(path, size=32, crop=crop, margin=margin)
                window = larger[margin : margin + crop, margin : margin + crop]
                np.testing.assert_array_equal(window, by_definition(picture, 32, crop))
                assert len(larger) == crop + 2 * margin
            with pytest.raises(ValueError, match=rf"margin is {margin + 1}; a picture of .* has"):
                data.read_photograph(path, size=32, crop=crop, margin=margin + 1)


def kinds_of_files():
    upright = photograph(3, 30, 44)
    turned = Image.Exif()
    turned[0x0112] = 6  # turn clockwise to show
    clear = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("P")
    grey = upright.convert("L")
    return {
        "a.jpg": (upright, {"quality": 95}, upright),
        "b.png": (upright, {}, upright),
        "c.webp": (upright, {"lossless": True}, upright),
        "d.PNG": (grey, {}, grey.convert("RGB")),
        "grey.jpeg": (grey, {"quality": 95}, grey.convert("RGB")),
        "clear.png": (clear, {"transparency": b"\0\1"}, clear.convert("RGB")),
        "alpha.png": (upright.convert("RGBA"), {}, upright),
        "turned.png": (upright.rotate(90, expand=True), {"exif": turned}, upright),
        "ink.jpg": (upright.convert("CMYK"), {"quality": 95}, upright),
    }


@pytest.mark.parametrize("name", kinds_of_files())
def test_kinds_of_files(name, tmp_path):
    picture, options, expected = kinds_of_files()[name]
    picture.save(tmp_path / name, **options)
    exact = name.lower().endswith(("png", "webp"))
    for grey in (False, True):
        found = data.read_photograph(tmp_path / name, size=None, crop=None, grey=grey)
        wanted = np.asarray(expected.convert("L") if grey else expected).astype(int)
        assert found.shape == (*wanted.shape[:2], 1 if grey else 3)
        assert np.abs(found.reshape(wanted.shape) - wanted).mean() <= (0 if exact else 4)


@pytest.mark.parametrize("grey", [False, True])
def test_classes_are_folders(tmp_path, grey):
    files = write(tmp_path / "p", SIZES)
    found = data.photographs(
        tmp_path / "p", size=24, crop=20, grey=grey, cache_dir=tmp_path / "cache"
    )
    assert [found.labels.tolist(), found.num_classes] == [[0, 0, 0, 1, 1], 2]
    assert found.class_names == ("ant", "bee")
    expected = [data.read_photograph(file, size=24, crop=20, grey=grey) for file in files]
    np.testing.assert_array_equal(found.images, expected)
    assert found.image_shape == (20, 20, 1 if grey else 3)


def test_without_folders_there_are_no_classes(tmp_path):
    (tmp_path / "p").mkdir()
    for seed, size in enumerate(SIZES):
        photograph(seed, *size).save(tmp_path / "p" / f"{seed}.png")
    found = data.photographs(tmp_path / "p", size=24, crop=20, cache_dir=tmp_path, split="all[1:4]")
    assert (found.num_classes, len(found), found.split) == (0, 3, "all[1:4]")
    assert found.class_names == ()
    np.testing.assert_array_equal(found.labels, [-1] * 3)


def test_classes_are_numbered_as_the_network_has_them(tmp_path):
    write(tmp_path / "p", SIZES)
    names = tmp_path / "classes.txt"
    options = {"size": 24, "crop": 20, "cache_dir": tmp_path}
    for text, shown in {
        "wasp\nbee\nant\n": ("wasp", "bee", "ant"),
        "n0 wasp\nbee honey bee\nant\n": ("wasp", "honey bee", "ant"),
        "bee two\nbee\nant\n": ("bee two", "bee", "ant"),
    }.items():
        names.write_text(text)
        found = data.photographs(tmp_path / "p", classes=names, **options)
        assert (found.labels.tolist(), found.num_classes) == ([2, 2, 2, 1, 1], 3)
        assert found.class_names == shown
    assert data.photographs(tmp_path / "p", classes=["bee", "ant"], **options).labels[0] == 1


def test_streamed_or_held_they_are_the_same(tmp_path):
    write(tmp_path / "p", SIZES)
    options = {"size": 24, "crop": 16, "margin": 3, "cache_dir": tmp_path / "cache"}
    held = data.photographs(tmp_path / "p", **options)
    streamed = data.photographs(tmp_path / "p", memory=held.nbytes - 1, **options)
    assert isinstance(held, data.Dataset)
    assert isinstance(streamed, data.Streamed)
    (batch,) = streamed.batches([[4, 0, 2]])
    np.testing.assert_array_equal(batch[0], held.images[[4, 0, 2]])
    np.testing.assert_array_equal(batch[1], held.labels[[4, 0, 2]])


def damaged(tmp_path):
    """A folder with three files that cannot be read, and a class without photographs."""
    root = tmp_path / "p"
    whole = write(root, SIZES)[1]
    (root / "ant" / "cut.jpg").write_bytes(whole.read_bytes()[:-200])
    Image.fromarray(np.zeros((30, 30), np.uint16)).save(root / "bee" / "deep.png")
    (root / "bee" / "link.png").symlink_to("nowhere")
    (root / "cow").mkdir()
    return root


def test_what_cannot_be_read_is_named_counted_and_left_out(tmp_path, monkeypatch):
    options = {"size": 24, "crop": 20, "cache_dir": tmp_path / "cache"}
    root, said = damaged(tmp_path), io.StringIO()
    bar = progress_bar()
    bar.console.file = said
    found = data.photographs(root, progress=bar, **options)
    assert len(found) == 5
    assert found.left_out[0].startswith("ant/cut.jpg: cannot be read as a picture: ")
    assert "more than 8 bits" in found.left_out[1]
    assert "No such file" in found.left_out[2]
    assert "3 of 8 photographs cannot be read and are left out: ant/cut.jpg" in said.getvalue()
    assert "has 1 class without photographs: cow" in said.getvalue()
    assert found.num_classes == 3  # a class keeps its number
    assert found.part(range(2)).left_out == found.left_out
    assert found.part(range(2)).class_names == found.map(np.copy).class_names == found.class_names
    with monkeypatch.context() as patch:  # what was found is kept
        patch.setattr(sys.modules[data.photographs.__module__], "decoded", None)
        again = data.photographs(root, memory=0, **options)
    assert again.left_out == found.left_out
    (root / "cow").rmdir()
    with pytest.raises(ValueError, match=r"3 of 8 photographs cannot be read in .*ant/cut.jpg: "):
        data.photographs(root, strict=True, **options)


def test_strict_refuses_classes_without_photographs(tmp_path):
    with pytest.raises(ValueError, match="has 1 class without photographs: cow"):
        data.photographs(damaged(tmp_path), strict=True, cache_dir=tmp_path / "cache")


REFUSED = [
    ({"size": None, "crop": None}, r"differ in size \(.*000.jpg 30x40, .*002.jpg 33x33\)"),
    ({"size": 24, "crop": 20, "margin": 3}, "shifts of 3 pixels read beyond .* 2 pixels around"),
    ({"size": 24, "crop": 28, "margin": 1}, "has 0 pixels around the crop"),
    ({"split": "train"}, r"split is 'train'; allowed are 'all' and slices such as 'all\[:100\]'"),
    ({"split": "all[9:]"}, r"split 'all\[9:\]' of .* is empty"),
    ({"classes": ["ant", "cow"]}, "classes do not name bee, which are folders"),
    ({"classes": ["ant", "bee", "ant"]}, "classes name ant twice"),
    ({"classes": ["ant", " ", "bee"]}, "line 2 of classes is empty"),
    ({"classes": "nowhere.txt"}, "classes nowhere.txt cannot be read"),
    ({"size": 0}, "size is 0; allowed are whole numbers from 1"),
    ({"crop": (8, 0)}, r"crop is \(8, 0\); allowed are whole numbers from 1"),
    ({"margin": -1}, "margin is -1; allowed are whole numbers from 0"),
    ({"crop": None, "margin": 1}, "margin needs crop"),
    ({"interpolation": "cubic"}, "interpolation is 'cubic'; allowed are bilinear and bicubic"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, options, message):
    write(tmp_path / "p", SIZES)
    with pytest.raises(ValueError, match=message) as refused:
        data.photographs(tmp_path / "p", cache_dir=tmp_path / "cache", **options)
    assert "\n" not in str(refused.value)


def test_what_is_no_folder_of_photographs(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "flat").mkdir()
    for path, message in {
        tmp_path / "file": "is no folder",
        tmp_path / "nowhere": "is no folder",
        tmp_path / "flat": "holds no photographs; allowed are files that end in .png",
    }.items():
        with pytest.raises(ValueError, match=message):
            data.photographs(path, cache_dir=tmp_path)
    (tmp_path / "flat" / "a.jpg").write_text("no picture")
    with pytest.raises(ValueError, match="1 of 1 photograph cannot be read in"):
        data.photographs(tmp_path / "flat", cache_dir=tmp_path)
    with pytest.raises(ValueError, match="has no folders of classes, for which classes are given"):
        data.photographs(tmp_path / "flat", classes=["ant"], cache_dir=tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory", [0, "1GiB"])
def test_other_data_sets_are_resized_and_cropped_alike(tmp_path, channels, memory):
    images = np.random.default_rng(0).integers(0, 256, (4, 30, 40, channels)).astype(np.uint8)
    path = tmp_path / "mine.npz"
    np.savez(path, x_test=images, y_test=np.arange(4))
    framing = {"size": 24, "crop": 16, "margin": 2, "interpolation": "bicubic", "memory": memory}
    found = data.open(str(path), split="test", cache_dir=tmp_path, **framing)
    seen, labels = found.read(range(4))
    assert found.image_shape == seen.shape[1:] == (20, 20, channels)
    for image, window in zip(images, seen, strict=True):
        picture = Image.fromarray(image.squeeze())
        expected = by_definition(picture, 24, None, "bicubic")
        expected = expected.reshape(24, 32, channels)[2:22, 6:26]
        np.testing.assert_array_equal(window, expected)
    np.testing.assert_array_equal(labels, range(4))
    with pytest.raises(ValueError, match="margin is 5; a picture of 24x32 has 4 pixels around"):
        data.open(str(path), split="test", cache_dir=tmp_path, **framing | {"margin": 5})
