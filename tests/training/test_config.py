"""Configurations: what is refused, and the way through JSON and the command line."""

import json

import numpy as np
import pytest

from jaxinv.training.config import TrainConfig, parse_options
from jaxinv.training.presets import PRESETS, preset
from jaxinv.training.step import parse_augment


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "rmsprop"}, "optimizer is 'rmsprop'; allowed are sgd, adam"),
        ({"schedule": "x"}, "schedule is 'x'; allowed"),
        ({"precision": "float16"}, "precision is 'float16'; allowed"),
        ({"fill": "crop"}, "fill is 'crop'; allowed"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"epochs": -1}, "epochs is -1; it must not be negative"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be positive"),
        ({"ema": 1.0}, "ema is 1.0; it must be in"),
        ({"batch_size": 10, "accumulate": 3}, "batch_size 10 cannot be split into 3"),
        ({"max_shift": None}, "needs fill 'wrap'"),
        ({"max_shift": -2}, "max_shift is -2"),
        ({"max_shift": 0.1}, "max_shift is 0.1; allowed are a whole number or one per axis"),
        ({"max_shift": 2.9}, "max_shift is 2.9; allowed are a whole number or one per axis"),
        ({"max_shift": (1, 2, 3)}, "has 3 entries for 2 axes"),
        ({"epochs": 1.5}, "epochs is 1.5; allowed are whole numbers"),
        ({"epochs": True}, "epochs is True; allowed are whole numbers"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be finite"),
        ({"alpha": 10**400}, "alpha is inf; it must be finite"),
        ({"rotation": "far"}, "rotation is 'far'; allowed are numbers"),
        ({"nesterov": 1}, "nesterov is 1; allowed are True and False"),
        ({"model_options": [("dense", 8)]}, "allowed are dictionaries"),
        ({"dataset": None}, "dataset is None; allowed are words"),
        ({"seed": 2**32}, "seed is 4294967296; it must be in 0 to 4294967295"),
        ({"clip_norm": -1.0}, "clip_norm is -1.0; it must be positive"),
    ],
)
def test_values_that_no_run_could_have(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**fields)


def test_survives_json():
    config = TrainConfig(model="mlp", model_options={"dense": (8, 4)}, augment="affine+orbit")
    again = TrainConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.model_options["dense"] == (8, 4)  # hashable, as modules need it


def test_numbers_of_numpy_and_paths_are_kept_as_json_can_hold_them(tmp_path):
    config = TrainConfig(epochs=np.int64(3), ema=np.float32(0.5), data_dir=tmp_path)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.data_dir == str(tmp_path)
    assert TrainConfig(max_shift=[0, 3]).max_shift == (0, 3)
    assert TrainConfig(max_shift=2.5, subpixel=True).max_shift == 2.5


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="unknown settings of a training run: colour"):
        TrainConfig.from_dict({"colour": 1})


def test_model_options_from_words():
    assert parse_options(["a=1", "b=(2, 3)", "c=x=y"]) == {"a": 1, "b": (2, 3), "c": "x=y"}
    for word in ("a", "=1", "1a=2"):
        with pytest.raises(ValueError, match="is not of the form name=value"):
            parse_options([word])


@pytest.mark.parametrize("augment", ["shear", "orbit+worst", "translate+", "none+flip"])
def test_unknown_augmentations_are_refused(augment):
    with pytest.raises(ValueError, match="allowed are none, or names joined by"):
        parse_augment(TrainConfig(augment=augment))


def test_presets_are_runnable_and_named_in_errors():
    from jaxinv import models

    for config in PRESETS.values():
        parse_augment(config)
        models.create(config.model, **config.model_options)
    with pytest.raises(ValueError, match="unknown preset 'simard'; allowed are simard2003-mlp"):
        preset("simard")
