"""What evaluate.py refuses."""

import json
import os
import zipfile

import numpy as np
import orbax.checkpoint as ocp

from jaxinv.report.cli import main

NAME = "evaluate.py"

MODULE = """
import sys
import jax
import jax.numpy as jnp
import numpy as np

def mean(images):
    return jnp.mean(images, axis=(1, 2)) * jnp.arange(10.0)

def columns(params, images):
    return jnp.sum(images, axis=(1, 3)) @ params["weights"]["kernel"]

def two_classes(images):
    return mean(images)[:, :2]

def wants_colour(images):
    return jnp.mean(images, axis=(1, 2)) @ jnp.ones((3, 10))

def fixed_size(images):
    return images.reshape(-1, 32 * 32) @ jnp.ones((1024, 10))

def a_map(images):
    return images

def one_row(images):
    return mean(images)[:1]

def a_dictionary(images):
    return {"logits": mean(images)}

def nothing(images):
    return None

def names(images):
    return "three"

def complex_numbers(images):
    return mean(images) * 1j

def truths(images):
    return mean(images) > 0

def looks_at_values(images):
    return mean(images) if images.sum() > 0 else -mean(images)

def numpy_only(images):
    return np.asarray(images).mean((1, 2)) * np.arange(10.0)

def wrong_word(images):
    return jnp.meen(images)

def two_arguments(images, scale):
    return mean(images) * scale

def all_nan(images):
    return mean(images) * jnp.nan

def one_batch_only(images):
    assert len(images) == 2
    return mean(images)

def exits(images):
    sys.exit(3)

number = 3
"""


def prepare(folder):
    (folder / "wrong_networks.py").write_text(MODULE)
    (folder / "broken_syntax.py").write_text("def apply(images:\n")
    (folder / "broken_name.py").write_text("\nvalue = undefined_name\n")
    (folder / "broken_import.py").write_text("import no_such_library\n")
    (folder / "broken_file.py").write_text("open('no such file')\n")
    (folder / "ends.py").write_text("import sys\nsys.exit('goodbye')\n")
    kernel = np.random.default_rng(0).normal(size=(32, 10)).astype(np.float32)
    np.savez(folder / "weights.npz", **{"weights/kernel": kernel})
    np.savez(folder / "nan.npz", **{"weights/kernel": np.where(kernel > 1, np.nan, kernel)})
    np.savez(folder / "narrow.npz", **{"weights/kernel": kernel[:3]})
    np.savez(folder / "other_names.npz", kernel=kernel)
    np.savez(folder / "twice.npz", **{"weights": kernel, "weights/kernel": kernel})
    np.savez(folder / "pickled.npz", **{"weights/kernel": np.array([print], object)})
    _zip_bomb(folder / "bomb.npz")
    whole = (folder / "weights.npz").read_bytes()
    (folder / "cut_off.npz").write_bytes(whole[: len(whole) // 2])
    for suffix in ("npz", "safetensors", "msgpack"):
        (folder / f"empty.{suffix}").write_bytes(b"")
        (folder / f"damaged.{suffix}").write_bytes(b"\xff\xfe not a file of parameters" * 9)
    (folder / "weights.txt").write_text("1 2 3")
    os.mkfifo(folder / "pipe.npz")
    (folder / "empty").mkdir()
    (folder / "no_step" / "checkpoints").mkdir(parents=True)
    (folder / "two").mkdir()
    with ocp.StandardCheckpointer() as writer:
        for name in ("a", "b"):
            writer.save(folder / "two" / name, {"weights": {"kernel": kernel}})
    _runs(folder)


def _zip_bomb(path):
    """A small file whose array would take 10 TB."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("weights/kernel.npy", "w") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2_500_000_000_000,)}
        np.lib.format.write_array_header_1_0(file, header)


def _runs(folder):
    """Folders like those of train.py: damaged, not finished, of a scale that is none."""
    data = {"num_classes": 10, "mean": [0.0], "std": [0.3], "image_shape": [32, 32, 1], "size": 96}
    config = {"model": "mlp", "model_options": {"dense": [4]}}
    runs = {
        "unfinished": (config, data),
        "no_deviation": (config, data | {"std": [0.0]}),
        "nan_mean": (config, data | {"mean": [float("nan")]}),
        "unknown_model": (config | {"model": "perceptron"}, data),
        "unknown_setting": (config | {"colour": "red"}, data),
    }
    for name, (settings, of_data) in runs.items():
        (folder / name).mkdir()
        text = json.dumps({"config": settings, "data": of_data})
        (folder / name / "config.json").write_text(text)
    (folder / "damaged").mkdir()
    (folder / "damaged" / "config.json").write_text('{"config": {')


A = "--apply wrong_networks:"

ROWS = [
    # The command line itself.
    ("--bogus", "Unrecognized options: --bogus"),
    ("--max-shift two", "max-shift"),
    ("--images", "images"),
    ("--mode mirror", "mode"),
    ("--params-limit much", "params-limit"),
    ("surplus", "surplus"),
    (f"{A}mean --batch 0", "batch is 0; allowed are numbers from 1"),
    (f"{A}mean --batch -5", "batch is -5; allowed are numbers from 1"),
    (f"{A}mean --chunk 0", "chunk is 0; allowed are numbers from 1"),
    (f"{A}mean --chunk 10000000000", "chunk is 10000000000; allowed are"),
    (f"{A}mean --seed -1", "seed is -1; allowed are numbers from 0 to 4294967295"),
    ("--seed 4294967296", "allowed are numbers from 0 to 4294967295"),
    ("--images 0", "images is 0; allowed are numbers from 1"),
    ("--images 501", "images is 501; digits"),
    ("--epochs 0", "epochs is 0; allowed are numbers from 1"),
    ("--epochs 1000000000000000000000", "epochs is 1000000000000000000000; allowed are"),
    ("--seeds 0", "seeds is 0; allowed are numbers from 1"),
    ("--params-limit 3", "params_limit means nothing without params"),
    (f"{A}columns --params weights.npz --params-limit 0", "params_limit is 0.0; allowed are"),
    (f"{A}columns --params weights.npz --params-limit nan", "params_limit is nan; allowed are"),
    # Options that mean nothing beside others.
    ("--max-shift 2", "max_shift needs a checkpoint or apply"),
    ("--dataset mnist", "dataset needs a checkpoint or apply"),
    ("--split train", "split needs a checkpoint or apply"),
    ("--mode wrap", "mode needs a checkpoint or apply"),
    ("--data-dir .", "data_dir needs a checkpoint or apply"),
    (f"{A}mean --epochs 3", "epochs is an option of the study"),
    ("--checkpoint unfinished --epochs 3", "epochs is an option of the study"),
    (f"{A}mean --seeds 3", "seeds is an option of the study"),
    (f"{A}mean --data-dir .", "data_dir means nothing for digits"),
    ("--params weights.npz", "nothing to evaluate: give a checkpoint"),
    ("--checkpoint unfinished --params weights.npz", "params belongs to apply"),
    # The user's own network.
    (f"{A}mean {A}columns", "apply is given twice; allowed is one network"),
    ("--apply ''", "the word behind --apply is empty"),
    ("--out=", "--out is empty, as of a variable that is not set"),
    ("--apply wrong_networks", "it has the form package.module:name"),
    ("--apply wrong_networks:", "it has the form package.module:name"),
    ("--apply .wrong_networks:mean", "it has the form package.module:name"),
    ("--apply no_such_module:f", "cannot import no_such_module: there is no module"),
    ("--apply wrong_networks.inner:f", "wrong_networks.inner"),
    (f"{A}absent", "wrong_networks has no absent"),
    (f"{A}number", "is a int, which cannot be called"),
    ("--apply broken_syntax:apply", "by an error of its own: SyntaxError"),
    ("--apply broken_name:apply", "NameError: name 'undefined_name' is not defined (broken_name"),
    ("--apply broken_import:apply", "ModuleNotFoundError: No module named 'no_such_library'"),
    ("--apply broken_file:apply", "by an error of its own: FileNotFoundError"),
    ("--apply ends:apply", "by an error of its own: SystemExit: goodbye"),
    (f"{A}two_classes", "at least 10 classes"),
    (f"{A}wants_colour", "does not take images of shape (32, 32, 1)"),
    (f"{A}a_map", "needed are outputs (n, classes)"),
    (f"{A}one_row", "needed are outputs (n, classes)"),
    (f"{A}a_dictionary", "returns no array"),
    (f"{A}nothing", "returns no array"),
    (f"{A}names", "does not take images"),
    (f"{A}complex_numbers", "returns complex64; needed are real numbers"),
    (f"{A}truths", "returns bool; needed are real numbers"),
    (f"{A}looks_at_values", "Attempted boolean conversion of traced array"),
    (f"{A}numpy_only", "TracerArrayConversionError"),
    (f"{A}wrong_word", "meen"),
    (f"{A}two_arguments", "missing 1 required positional argument: 'scale'"),
    (f"{A}columns", "missing 1 required positional argument: 'images'"),
    (f"{A}mean --params weights.npz", "takes 1 positional argument but 2 were given"),
    (f"{A}exits", "SystemExit: 3 (wrong_networks.py, line"),
    (f"{A}one_batch_only --out one --no-certify", "wrong_networks:one_batch_only: AssertionError"),
    (
        f"{A}all_nan --images 3 --max-shift 1 --no-certify --out nan",
        "wrong_networks:all_nan: outputs are NaN, infinite or too large for float32 on 3 of the "
        "images 0 to 2, first at shift (0, 0)",
    ),
    # Its parameters.
    (f"{A}columns --params absent.npz", "absent.npz does not exist"),
    (f"{A}columns --params nan.npz", "weights/kernel holds NaN"),
    (f"{A}columns --params narrow.npz", "does not take images of shape (32, 32, 1)"),
    (f"{A}columns --params other_names.npz", "does not take images of shape (32, 32, 1)"),
    (f"{A}columns --params twice.npz", "weights/kernel"),
    (f"{A}columns --params pickled.npz", "cannot be read: Object arrays"),
    (f"{A}columns --params bomb.npz", "takes 1e+04 GB in memory; params_limit is 8"),
    (f"{A}columns --params weights.npz --params-limit 1e-7", "a larger one allows it"),
    (f"{A}columns --params cut_off.npz", "cut_off.npz cannot be read"),
    (f"{A}columns --params damaged.npz", "damaged.npz cannot be read"),
    (f"{A}columns --params damaged.safetensors", "damaged.safetensors"),
    (f"{A}columns --params damaged.msgpack", "damaged.msgpack cannot be read"),
    (f"{A}columns --params empty.npz", "empty.npz cannot be read"),
    (f"{A}columns --params empty.safetensors", "empty.safetensors cannot be read"),
    (f"{A}columns --params empty.msgpack", "empty.msgpack cannot be read"),
    (f"{A}columns --params weights.txt", "weights.txt is of an unknown kind"),
    (f"{A}columns --params pipe.npz", "pipe.npz is neither a file nor a folder"),
    (f"{A}columns --params /dev/zero", "/dev/zero is neither a file nor a folder"),
    (f"{A}columns --params empty", "empty is not a folder that orbax wrote"),
    (f"{A}columns --params two", "two holds 2 checkpoints, a, b; name one of them"),
    # Checkpoints.
    ("--checkpoint nowhere", "nowhere holds no run of train.py"),
    ("--checkpoint empty", "empty holds no run of train.py"),
    ("--checkpoint weights.npz", "weights.npz holds no run of train.py"),
    ("--checkpoint no_step", "no_step holds no run of train.py"),
    ("--checkpoint unfinished", "holds no checkpoint"),
    ("--checkpoint damaged", "config.json is damaged"),
    ("--checkpoint no_deviation", "std positive"),
    ("--checkpoint nan_mean", "must be finite"),
    ("--checkpoint unknown_model", "holds no checkpoint"),
    ("--checkpoint unknown_setting", "unknown settings of a training run: colour"),
    ("--checkpoint unfinished --checkpoint ./unfinished", "is given twice"),
    ("--checkpoint empty/.. --checkpoint .", "is given twice"),
    # Images, shifts and protocols.
    (f"{A}mean --dataset nothing", "nothing"),
    (f"{A}mean --dataset ''", "the word behind --dataset is empty"),
    (f"{A}mean --split tset", "no split 'tset'"),
    (f"{A}mean --split test[", "split 'test['"),
    (f"{A}mean --split test[9:3]", "is empty"),
    (f"{A}mean --split ''", "the word behind --split is empty"),
    (f"{A}mean --images 600", "images is 600; digits (test[:600]) has 500"),
    (f"{A}mean --split test[:5] --images 6", "images is 6; digits (test[:5]) has 5"),
    (f"{A}mean --max-shift -1", "max_shift is -1; allowed are numbers from 0"),
    (f"{A}mean --max-shift 32", "max_shift is 32; allowed are numbers from 0 to 31 for images"),
    (f"{A}mean --max-shift 1000000000", "max_shift is 1000000000; allowed are"),
    (f"{A}mean --mode constant", "mode 'constant' needs max_shift"),
    (f"{A}mean --mode crop", "mode 'crop' needs max_shift"),
    (f"{A}mean --mode crop --max-shift 16", "allowed are numbers from 0 to 15 for images"),
    (f"{A}fixed_size --mode crop --max-shift 2", "does not take windows of shape (28, 28, 1)"),
    (f"{A}mean --protocol zang", "allowed are all-shifts"),
    (f"{A}mean --protocol stylegan3", "protocol stylegan3 needs a feature map"),
    # Where to.
    (f"{A}mean --out weights.txt", "weights.txt is a file, and a folder is needed"),
    (f"{A}mean --out weights.txt/out", "weights.txt is a file, and a folder is needed"),
]

__all__ = ["NAME", "ROWS", "main", "prepare"]
