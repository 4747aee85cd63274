"""Trainings in the background: networks are those of a training alone, and leaving stops them."""

import jax
import numpy as np

from jaxinv.study import trainings
from jaxinv.study.trainings import Trainings
from jaxinv.training import TrainConfig, load_checkpoint, train_and_evaluate

CONFIG = TrainConfig(model="mlp", epochs=1, train_split="train[:64]", batch_size=32)


def test_networks_are_those_of_a_training_alone_without_its_test(tmp_path):
    with Trainings() as under_way:
        made = [under_way.start(CONFIG, tmp_path / name) for name in ("a", "b")]
        first, second = (training.result() for training in made)
        again = under_way.start(CONFIG, tmp_path / "a").result()  # nothing is trained twice
    alone = train_and_evaluate(CONFIG, show=False)
    for one in (first, second, again):
        jax.tree.map(np.testing.assert_array_equal, one.variables, alone.variables)
        assert (one.step, one.config, one.data) == (alone.step, alone.config, alone.data)
    assert "test_accuracy" in alone.metrics
    assert "test_accuracy" not in first.metrics


def test_leaving_stops_what_is_under_way_and_starts_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "AT_ONCE", 1)
    with Trainings() as under_way:
        long = under_way.start(TrainConfig(model="mlp", epochs=10**6), tmp_path / "long")
        waiting = under_way.start(CONFIG, tmp_path / "waiting")
        while not (tmp_path / "long" / "config.json").exists():
            assert not long.done()
    assert isinstance(long.exception(), KeyboardInterrupt)
    assert waiting.cancelled()
    assert load_checkpoint(tmp_path / "long").step > 0
    assert not (tmp_path / "waiting").exists()
