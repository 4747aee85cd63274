"""Which networks and images a command means."""

from pathlib import Path

import numpy as np
import pytest

from jaxinv import data
from jaxinv.evaluation import loading
from jaxinv.evaluation.loading import Networks, check_reach, first_images, subjects_of
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import SweepOptions
from jaxinv.training import TrainConfig


@pytest.fixture
def loaded(monkeypatch):
    """What `data.load` is asked for, when checkpoints are those of the runs given by name."""
    runs, asked = {}, []

    def load(name, **options):
        asked.append((name, options))
        return data.Dataset(
            np.zeros((9, 8, 8, 1), np.uint8), np.zeros(9, np.int32), name, "", 3, (0.0,), (1.0,)
        )

    monkeypatch.setattr(loading.data, "open", load)
    monkeypatch.setattr(loading, "read_run", lambda path: (runs[path.name], None))
    monkeypatch.setattr(
        loading,
        "_of_checkpoint",
        lambda path, trained, *, name: [Subject(name, name, lambda x: x)],
    )
    return runs, asked


def config(*paths, **options):
    return Networks(checkpoint=tuple(map(Path, paths)), **options)


def test_the_folder_of_the_data_is_that_of_the_training_unless_another_is_named(loaded):
    runs, asked = loaded
    runs |= {"a": TrainConfig(dataset="mnist", data_dir="/data", canvas=29)}
    subjects_of(config("runs/a"))
    subjects_of(config("runs/a", data_dir=Path("/other")))
    subjects_of(config("runs/a", dataset="kmnist"))
    found = [(name, str(options["data_dir"]), options["canvas"]) for name, options in asked]
    assert found == [("mnist", "/data", 29), ("mnist", "/other", 29), ("kmnist", "None", 29)]


def test_no_more_images_are_read_than_wanted(loaded):
    runs, asked = loaded
    runs |= {"a": TrainConfig(dataset="mnist")}
    _, dataset = subjects_of(config("runs/a", images=5))
    assert len(dataset) == 5
    _, dataset = subjects_of(config("runs/a", images=4, split="test[2:]"))
    assert len(dataset) == 4
    assert [options["split"] for _, options in asked] == ["test[:5]", "test[2:]"]


def test_names_are_short_where_that_tells_them_apart(loaded):
    runs, _ = loaded
    runs |= {"a": TrainConfig(), "b": TrainConfig()}
    assert [s.name for s in subjects_of(config("x/a", "y/b"))[0]] == ["a", "b"]
    long = [s.name for s in subjects_of(config("x/a", "y/a"))[0]]
    assert long == [str(Path(path).resolve()) for path in ("x/a", "y/a")]


def test_networks_of_different_images_are_not_compared(loaded):
    runs, _ = loaded
    runs |= {"a": TrainConfig(dataset="mnist"), "b": TrainConfig(dataset="kmnist")}
    with pytest.raises(ValueError, match=r"different images \(kmnist, mnist\)"):
        subjects_of(config("a", "b"))
    runs |= {"b": TrainConfig(dataset="mnist", canvas=29)}
    with pytest.raises(ValueError, match="networks that take the same size"):
        subjects_of(config("a", "b"))


@pytest.mark.parametrize(
    ("mode", "largest"), [("wrap", 7), ("constant", 7), ("reflect", 7), ("crop", 3)]
)
def test_shifts_reach_as_far_as_the_image(dataset, mode, largest):
    check_reach(dataset, SweepOptions(mode=mode, max_shift=largest))
    with pytest.raises(ValueError, match=f"allowed are numbers from 0 to {largest} "):
        check_reach(dataset, SweepOptions(mode=mode, max_shift=largest + 1))


def test_so_many_images_or_none(dataset):
    assert first_images(dataset, None) is dataset
    some = first_images(dataset, 2)
    np.testing.assert_array_equal(some.images, dataset.images[:2])
    np.testing.assert_array_equal(some.labels, dataset.labels[:2])
    with pytest.raises(ValueError, match="images is 7; noise"):
        first_images(dataset, 7)
