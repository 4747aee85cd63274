"""An evaluation on eight devices is that of one: bit for bit, but where the shifts are divided."""

import dataclasses
import functools
import math

import chex
import jax
import numpy as np
import pytest

from jaxinv import data, models
from jaxinv.evaluation.audit import AuditPlan, audit_network
from jaxinv.evaluation.division import Division, divide
from jaxinv.evaluation.maps import MapSweep, map_sweep
from jaxinv.evaluation.results import Results
from jaxinv.evaluation.run import devices_of
from jaxinv.evaluation.subject import of_module
from jaxinv.evaluation.sweep import IMAGES, SweepOptions, few_shifts, sweep
from jaxinv.evaluation.values import ValueSweep, value_sweep

DIGITS = data.load("digits", split="test[:44]")


@functools.cache
def subject(name="lenet", **options):
    module = models.create(name, **options)
    variables = module.init(jax.random.key(0), np.zeros((1, 32, 32, 1), np.float32))
    return of_module(module, variables, name=name, std=(0.5,))


def on_one_device(monkeypatch, run):
    with monkeypatch.context() as patched:
        patched.setattr(jax, "local_device_count", lambda: 1)
        return run()


def given(count):
    return (DIGITS.part(range(count)),)


@pytest.mark.parametrize("options", [
    SweepOptions(max_shift=1, batch=4),
    SweepOptions(max_shift=1, batch=4, share=False),
    SweepOptions(mode="edge", max_shift=2, batch=4, chunk=7, share=False),
])  # fmt: skip
def test_a_shard_a_device_is_that_of_one_bit_for_bit(monkeypatch, tmp_path, options):
    """Eleven shards on eight devices, the last of them shorter, and the files they are kept in."""
    count = 43
    whole = sweep(subject().apply, *given(count), options=options, directory=tmp_path / "eight")
    assert len(set(whole.devices)) == 8
    one = on_one_device(
        monkeypatch,
        lambda: sweep(subject().apply, *given(count), options=options, directory=tmp_path / "one"),
    )
    assert len(one.devices) == 1
    for name in IMAGES:
        np.testing.assert_array_equal(getattr(whole, name), getattr(one, name))
    files = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.npz")}
        for root in (tmp_path / "eight", tmp_path / "one")
    ]
    assert len(files[0]) == 11
    assert files[0] == files[1]


@pytest.mark.parametrize("count", [43, 3])
def test_label_maps_are_those_of_one_device(monkeypatch, tmp_path, count):
    """A shard a device bit for bit, fewer images than a device takes included."""
    scenes = data.load("digits_scenes", split=f"test[:{count}]")
    module = models.create("unet", widths=(2, 3), num_classes=scenes.num_classes)
    variables = module.init(jax.random.key(0), np.zeros((1, *scenes.image_shape), np.float32))
    given = (of_module(module, variables, name="unet", std=(0.5,)).apply, scenes)
    # As many images as eight devices give a shard: one device would take more.
    options = SweepOptions(max_shift=1, batch=4 if count > 8 else 1)
    whole = map_sweep(*given, options=options, directory=tmp_path / "eight")
    assert len(set(whole.devices)) == min(8, count)
    one = on_one_device(
        monkeypatch,
        lambda: map_sweep(*given, options=options, directory=tmp_path / "one"),
    )
    assert len(one.devices) == 1
    for field in dataclasses.fields(MapSweep):
        if field.name not in ("shifts", "devices"):
            np.testing.assert_array_equal(getattr(whole, field.name), getattr(one, field.name))
    files = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.npz")}
        for root in (tmp_path / "eight", tmp_path / "one")
    ]
    assert len(files[0]) == math.ceil(count / options.batch)
    assert files[0] == files[1]


def test_values_are_those_of_one_device(monkeypatch):
    images = data.load("digits_scenes", split="test[:11]").images
    pairs = data.Dataset(images, images / np.float32(255), "pairs", "test", 0, (0.0,), (1.0,))
    module = models.create("unet", widths=(2, 3), num_classes=1)
    variables = module.init(jax.random.key(0), np.zeros((1, *pairs.image_shape), np.float32))
    given = (of_module(module, variables, name="unet", std=(0.5,)).apply, pairs)
    options = SweepOptions(max_shift=1, batch=2)
    whole = value_sweep(*given, options=options)
    assert len(set(whole.devices)) == 6
    one = on_one_device(monkeypatch, lambda: value_sweep(*given, options=options))
    for field in dataclasses.fields(ValueSweep):
        if field.name not in ("shifts", "devices"):
            both = (getattr(found, field.name) for found in (whole, one))
            jax.tree.map(np.testing.assert_array_equal, *both)


@pytest.mark.parametrize("images", [1, 9])
@pytest.mark.parametrize("options", [
    SweepOptions(batch=4),
    SweepOptions(max_shift=2, batch=4),
    SweepOptions(mode="constant", max_shift=2, batch=4),
    SweepOptions(mode="reflect", max_shift=3, batch=4, share=False),
    SweepOptions(mode="crop", max_shift=2, batch=4, share=False),
])  # fmt: skip
def test_fewer_shards_than_devices_divide_the_shifts(monkeypatch, options, images):
    """Another program than that of one device, so to rounding."""
    apply = subject("simard").apply
    if options.mode == "crop":
        whole = apply

        def apply(x):
            return whole(jax.image.resize(x, (len(x), 32, 32, 1), "linear"))

    found = sweep(apply, *given(images), options=options)
    assert len(found.devices) > 4
    one = on_one_device(monkeypatch, lambda: sweep(apply, *given(images), options=options))
    np.testing.assert_array_equal(found.predictions, one.predictions)
    for name in ("confidence", "distance", "outputs"):
        np.testing.assert_allclose(getattr(found, name), getattr(one, name), rtol=2e-4, atol=2e-5)


def test_a_proof_is_measured_on_all_devices(monkeypatch):
    net = subject("lenet", padding="CIRCULAR", head="gap", downsample="aps")
    options = SweepOptions(batch=4)
    found = few_shifts(net.apply, *given(43), options=options)
    assert len(set(found.devices)) == 8
    one = on_one_device(monkeypatch, lambda: few_shifts(net.apply, *given(43), options=options))
    for name in IMAGES:
        np.testing.assert_array_equal(getattr(found, name), getattr(one, name))


def test_how_devices_are_divided():
    assert divide(100, 9) == Division(8, 1)
    assert divide(3, 9) == Division(3, 2)
    assert divide(1, 7) == Division(1, 7)
    assert divide(1, 9) == Division(1, 5)  # two rows each; six devices would not be faster
    assert divide(1, 224) == Division(1, 8)


def test_an_audit_is_that_of_one_device(monkeypatch):
    """Proof, sweep, layers and protocols; the last two, whose batch is divided, to rounding."""
    net = subject("lenet", padding="CIRCULAR", head="gap", downsample="aps")
    dataset = dataclasses.replace(DIGITS, images=DIGITS.images[:16], labels=DIGITS.labels[:16])
    plan = AuditPlan(SweepOptions(max_shift=1, batch=2), protocols=("zhang2019", "adversarial"))
    found = audit_network(net, dataset, plan=plan)
    assert devices_of([found]) == [str(device) for device in jax.local_devices()]
    with monkeypatch.context() as patched:
        first = jax.local_devices()[:1]
        patched.setattr(jax, "local_devices", lambda: first)
        patched.setattr(jax, "local_device_count", lambda: 1)
        one = audit_network(net, dataset, plan=plan)
    assert devices_of([one]) == [str(jax.local_devices()[0])]
    assert found.result.figures["worst"] == one.result.figures["worst"]
    chex.assert_trees_all_close(numbers_of(found), numbers_of(one), rtol=1e-3, atol=2e-5)


def numbers_of(made):
    whole = Results(headline="", networks=(made.result,)).to_dict()["networks"][0]
    leaves = jax.tree.leaves(whole)
    assert len(leaves) > 100
    return [leaf for leaf in leaves if isinstance(leaf, float)]
