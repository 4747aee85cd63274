"""Parameters from anybody's files: any format, any devices, no more memory than allowed."""

import json
import shutil

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization
from safetensors.numpy import save_file

from jaxinv.evaluation.parameters import read_parameters

KERNEL = np.arange(6.0).reshape(2, 3)
TREE = {"params": {"conv": {"kernel": KERNEL}, "bias": np.ones(2)}}
FLAT = {"params/conv/kernel": KERNEL, "params/bias": np.ones(2)}


def assert_is_the_tree(found):
    assert isinstance(found["params"]["conv"]["kernel"], np.ndarray)
    np.testing.assert_array_equal(found["params"]["conv"]["kernel"], KERNEL)
    np.testing.assert_array_equal(found["params"]["bias"], np.ones(2))


@pytest.mark.parametrize("kind", ["npz", "safetensors", "msgpack"])
def test_parameters_come_back_as_the_tree_they_were(kind, tmp_path):
    path = tmp_path / f"weights.{kind}"
    if kind == "npz":
        np.savez(path, **FLAT)
    elif kind == "safetensors":
        save_file(FLAT, path)
    else:
        path.write_bytes(serialization.to_bytes(TREE))
    assert_is_the_tree(read_parameters(path))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folders of orbax: a checkpoint, a manager's with two steps, one with two items a step."""
    folder = tmp_path_factory.mktemp("orbax")
    save = ocp.args.StandardSave
    with ocp.StandardCheckpointer() as writer:
        writer.save(folder / "plain", TREE)
    with ocp.CheckpointManager(folder / "manager") as manager:
        manager.save(9, args=save({"params": {"conv": {"kernel": KERNEL * 2}}}))
        manager.wait_until_finished()
        manager.save(20, args=save(TREE))
        manager.wait_until_finished()
    with ocp.CheckpointManager(folder / "items") as manager:
        items = ocp.args.Composite(state=save(TREE), notes=ocp.args.JsonSave({"a": 1}))
        manager.save(3, args=items)
        manager.wait_until_finished()
    return folder


@pytest.mark.parametrize(
    "place", ["plain", "manager", "manager/20", "manager/20/default", "items", "items/3/state"]
)
def test_folders_of_orbax_steps_and_items(written, place):
    assert_is_the_tree(read_parameters(written / place))


def test_an_older_step_is_read_by_its_folder(written):
    found = read_parameters(written / "manager" / "9")
    np.testing.assert_array_equal(found["params"]["conv"]["kernel"], KERNEL * 2)


def test_a_step_that_was_not_finished_is_none(written, tmp_path):
    shutil.copytree(written / "manager", tmp_path / "manager")
    (tmp_path / "manager" / "31.orbax-checkpoint-tmp-7" / "default").mkdir(parents=True)
    assert_is_the_tree(read_parameters(tmp_path / "manager"))


ONE = {"sharding_type": "SingleDeviceSharding", "device_str": "cpu:0"}
ANOTHER = ONE | {"device_str": "cuda:0"}
EIGHT = {
    "sharding_type": "NamedSharding",
    "shape": [8],
    "axis_names": ["d"],
    "axis_types": ["AxisType.Explicit"],
    "partition_spec": [None],
    "device_mesh": {"mesh": [{"id": number} for number in range(8)]},
}


@pytest.mark.parametrize("devices", [ANOTHER, EIGHT], ids=["cuda", "eight"])
def test_other_devices_than_those_that_wrote_them(tmp_path, devices):
    arrays = {"params": {"conv": {"kernel": jnp.asarray(KERNEL)}, "bias": jnp.ones(2)}}
    with ocp.StandardCheckpointer() as writer:
        writer.save(tmp_path / "there", arrays)
    where = tmp_path / "there" / "_sharding"
    stored = json.loads(where.read_text())
    assert [json.loads(text) for text in stored.values()] == [ONE, ONE]
    where.write_text(json.dumps(dict.fromkeys(stored, json.dumps(devices))))
    # What the library does where nothing is said about devices.
    with (
        ocp.StandardCheckpointer() as reader,
        pytest.raises(ValueError, match=r"[Tt]opology|device"),
    ):
        reader.restore(tmp_path / "there")
    assert_is_the_tree(read_parameters(tmp_path / "there"))


def test_more_than_the_limit_is_refused_and_a_larger_limit_allows_it(written, tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", zeros=np.zeros(10**6))
    assert (tmp_path / "zeros.npz").stat().st_size < 20_000
    (tmp_path / "weights.msgpack").write_bytes(serialization.to_bytes({"a": np.ones(10**4)}))
    save_file({"a": np.ones(10**4)}, tmp_path / "weights.safetensors")
    for path, size in (
        (tmp_path / "zeros.npz", 8e-3),
        (tmp_path / "weights.msgpack", 8e-5),
        (tmp_path / "weights.safetensors", 8e-5),
        (written / "plain", 64e-9),
    ):
        with pytest.raises(ValueError, match=r"params_limit is \S+, a larger one allows it"):
            read_parameters(path, limit=size * 0.9)
        read_parameters(path, limit=size * 1.1 + 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64"])
def test_nan_is_refused_with_its_place(tmp_path, dtype):
    kind = getattr(ml_dtypes, dtype, dtype)
    tree = {"params": {"a": np.ones(3, np.int32), "b": np.array([1, np.nan, np.nan], kind)}}
    (tmp_path / "weights.msgpack").write_bytes(serialization.to_bytes(tree))
    with pytest.raises(ValueError, match=r"params/b holds NaN, 2 of its 3 numbers"):
        read_parameters(tmp_path / "weights.msgpack")
