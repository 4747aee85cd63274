from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import data, models
from jaxinv.models.weights import read_state_dict

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def torch_state(seed=0):
    """A state dict in torchvision's names for a ResNet with one block a stage."""
    random = np.random.default_rng(seed)
    state = {"conv1.weight": random.normal(size=(4, 3, 3, 3))}

    def norm(name, features):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{leaf}"] = random.uniform(0.5, 1.5, features)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    norm("bn1", 4)
    for stage, (before, after) in enumerate([(4, 4), (4, 8)], start=1):
        block = f"layer{stage}.0"
        state[f"{block}.conv1.weight"] = random.normal(size=(after, before, 3, 3))
        norm(f"{block}.bn1", after)
        state[f"{block}.conv2.weight"] = random.normal(size=(after, after, 3, 3))
        norm(f"{block}.bn2", after)
    state["layer2.0.downsample.0.weight"] = random.normal(size=(8, 4, 1, 1))
    norm("layer2.0.downsample.1", 8)
    state["fc.weight"] = random.normal(size=(10, 8))
    state["fc.bias"] = random.normal(size=10)
    return state


@pytest.fixture
def model():
    return models.ResNet((1, 1), width=4)


def test_every_array_goes_where_its_name_says(model):
    state = torch_state()
    variables = models.from_torch(state, model)
    params, stats = variables["params"], variables["batch_stats"]
    kernel = np.moveaxis(state["layer2.0.conv1.weight"], (0, 1), (-1, -2)).astype(np.float32)
    np.testing.assert_array_equal(params["layer2_0"]["conv1"]["kernel"], kernel)
    shortcut = state["layer2.0.downsample.0.weight"].astype(np.float32)[:, :, 0, 0].T
    np.testing.assert_array_equal(params["layer2_0"]["shortcut_conv"]["kernel"][0, 0], shortcut)
    np.testing.assert_array_equal(
        stats["layer1_0"]["norm2"]["batch"]["var"],
        state["layer1.0.bn2.running_var"].astype(np.float32),
    )
    np.testing.assert_array_equal(
        params["classifier"]["logits"]["kernel"], state["fc.weight"].T.astype(np.float32)
    )
    x = jnp.zeros((1, 8, 8, 3))
    assert jax.eval_shape(model.apply, variables, x).shape == (1, 10)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_and_prefixes(model, tmp_path, suffix):
    state = {f"module.{k}": np.ascontiguousarray(v) for k, v in torch_state().items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, **state)
    else:
        pytest.importorskip("safetensors.numpy").save_file(state, path)
    from_file, from_dict = models.from_torch(path, model), models.from_torch(torch_state(), model)
    jax.tree.map(np.testing.assert_array_equal, from_file, from_dict)


def test_a_flattened_map_is_turned_from_channels_first_to_channels_last():
    model = models.ConvNet(((2,),), kernels=3, dense=(), num_classes=3, downsample="none")
    weight = np.arange(3 * 2 * 16.0).reshape(3, 32)  # (classes, channels * 4 * 4)
    state = {
        "features.0.weight": np.ones((2, 1, 3, 3)),
        "features.0.bias": np.zeros(2),
        "classifier.0.weight": weight,
        "classifier.0.bias": np.zeros(3),
    }
    model = model.copy(downsamplings=0)
    kernel = models.from_torch(state, model)["params"]["classifier"]["logits"]["kernel"]
    y = np.random.default_rng(0).normal(size=(2, 4, 4))  # a map, channels first
    expected = weight @ y.ravel()
    got = np.moveaxis(y, 0, -1).ravel() @ np.asarray(kernel)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_batch_norms_of_vgg_follow_their_convolutions():
    model = models.ConvNet(
        ((2,), (3,)), kernels=3, dense=(), num_classes=4, norm="batch", head="gap"
    )
    random = np.random.default_rng(0)
    state = {}
    for number, (before, after) in ((0, (3, 2)), (4, (2, 3))):
        state[f"features.{number}.weight"] = random.normal(size=(after, before, 3, 3))
        state[f"features.{number}.bias"] = random.normal(size=after)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"features.{number + 1}.{leaf}"] = random.uniform(size=after)
    state["classifier.0.weight"], state["classifier.0.bias"] = np.ones((4, 3)), np.ones(4)
    variables = models.from_torch(state, model)
    mean = variables["batch_stats"]["norm1"]["batch"]["mean"]
    np.testing.assert_allclose(mean, state["features.5.running_mean"], rtol=1e-6)


def changed(**arrays):
    state = torch_state()
    for name, value in arrays.items():
        name = name.replace("__", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed(conv1__weight=None), "state dict lacks conv1.weight of ResNet"),
        (changed(layer1__0__bn1__bias=None), "state dict lacks layer1.0.bn1.bias of ResNet"),
        (changed(bn1__running_var=None), "state dict lacks bn1.running_var of ResNet"),
        (changed(layer2__0__downsample__1__weight=None), "lacks layer2.0.downsample.1.weight"),
        (changed(fc__bias=None), "state dict lacks fc.bias"),
        (changed(attention__weight=np.ones(3)), "state dict has attention.weight, which no layer"),
        (
            changed(layer9__0__conv1__weight=np.ones((1, 1, 1, 1))),
            "layer9.0.conv1.weight, for which",
        ),
        (changed(fc__gain=np.ones(3)), "state dict has fc.gain, which no layer of ResNet"),
        (
            changed(conv1__weight=np.ones((5, 3, 3, 3))),
            r"conv1.weight has shape \(5, 3, 3, 3\); params/conv1/kernel of ResNet needs",
        ),
    ],
)
def test_mismatches_name_the_array_and_what_the_network_has(model, state, message):
    with pytest.raises(ValueError, match=message):
        models.from_torch(state, model)


def test_wrong_files_and_models(tmp_path):
    with pytest.raises(
        ValueError, match=r"weights are in w.pth; allowed are .npz and .safetensors"
    ):
        read_state_dict(tmp_path / "w.pth")
    with pytest.raises(ValueError, match="there is no file"):
        read_state_dict(tmp_path / "w.npz")
    (tmp_path / "w.npz").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"w\.npz cannot be read"):
        read_state_dict(tmp_path / "w.npz")
    with pytest.raises(ValueError, match="model is a MLP; allowed are ResNet, MobileNetV2 and"):
        models.from_torch({}, models.create("mlp"))


def test_a_published_cifar_resnet_reaches_the_accuracy_stated_for_it():
    files = list((SHARED / "weights").glob("resnet20-*.npz"))
    if not files or not (SHARED / "tfds" / "cifar10_partial").is_dir():
        pytest.skip("the CIFAR weights or images are not in ../shared/data")
    test = data.load("cifar10_partial", split="test1k", data_dir=SHARED / "tfds")
    model = models.create("resnet20")
    variables = models.from_torch(files[0], model)
    x = (jnp.asarray(test.images, jnp.float32) / 255 - jnp.array(MEAN)) / jnp.array(STD)
    predict = jax.jit(lambda x: jnp.argmax(model.apply(variables, x), -1))
    predictions = np.concatenate([predict(x[i : i + 250]) for i in range(0, 1000, 250)])
    assert np.mean(predictions == test.labels) == pytest.approx(0.915, abs=1e-9)


SLIM = {"stages": ((1, 8, 1, 1), (2, 8, 1, 2), (2, 8, 1, 1)), "stem_features": 8}


def slim_mobilenet(**options):
    return models.create("mobilenet_v2", num_classes=4, last_features=16, **SLIM, **options)


def places_and_shapes(model, shape=(16, 16, 3)):
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    tree = jax.eval_shape(model.init, jax.random.key(0), x)
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): leaf.shape for p, leaf in flat}


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_arrays_go_to_the_places_that_they_are_named_by(norm, tmp_path):
    model, random = slim_mobilenet(norm=norm), np.random.default_rng(0)
    arrays = {
        name.removeprefix("params/"): random.normal(size=shape).astype(np.float32)
        for name, shape in places_and_shapes(model).items()
    }
    assert ("block01/expand/bias" in arrays) == (norm == "none")
    assert ("batch_stats/block00/depthwise_norm/batch/mean" in arrays) == (norm == "batch")
    stored = arrays | {"logits/kernel": arrays["logits/kernel"][None, None]}
    np.savez(tmp_path / "weights.npz", **stored)
    for given in (arrays, stored, tmp_path / "weights.npz"):
        variables = models.from_arrays(given, model, shape=(16, 16, 3))
        for name, value in arrays.items():
            found = variables if name.startswith("batch_stats") else variables["params"]
            for part in name.split("/"):
                found = found[part]
            np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem/kernel": None}, "arrays lack params/stem/kernel of MobileNetV2"),
        ({"more/kernel": 0.0}, "there are arrays params/more/kernel, for which MobileNetV2 has no"),
        (
            {"stem/kernel": np.ones((8, 3, 3, 3))},
            r"an array has shape \(8, 3, 3, 3\); params/stem/kernel of MobileNetV2 needs \(3, 3, 3",
        ),
        ({"logits/kernel": np.ones((3, 1, 16, 4))}, r"has shape \(3, 1, 16, 4\); params/logits"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change, message):
    model = slim_mobilenet(norm="none")
    names = places_and_shapes(model)
    arrays = {name.removeprefix("params/"): np.ones(shape) for name, shape in names.items()}
    arrays = {name: value for name, value in (arrays | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        models.from_arrays(arrays, model, shape=(16, 16, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"features.2.conv.0.0.weight": None},
            "state dict lacks features.2.conv.0.0.weight of M",
        ),
        ({"features.3.conv.3.running_var": None}, "lacks features.3.conv.3.running_var"),
        ({"features.4.1.bias": None}, "lacks features.4.1.bias"),
        ({"classifier.1.bias": None}, "lacks classifier.1.bias"),
        ({"features.9.conv.0.0.weight": 0.0}, "has features.9.conv.0.0.weight, which no layer"),
        ({"classifier.0.weight": 0.0}, "has classifier.0.weight, which no layer of MobileNetV2"),
        ({"features.0.1.gain": 0.0}, "has features.0.1.gain, which no layer"),
    ],
)
def test_mobilenets_of_torchvision_that_do_not_fit_are_named(change, message):
    model, random = slim_mobilenet(), np.random.default_rng(0)
    state = {"classifier.1.weight": np.ones((4, 16)), "classifier.1.bias": np.ones(4)}

    def layer(convolution, norm, shape):
        state[f"{convolution}.weight"] = random.normal(size=shape)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{leaf}"] = random.uniform(0.5, 1.5, shape[0])

    layer("features.0.0", "features.0.1", (8, 3, 3, 3))
    layer("features.1.conv.0.0", "features.1.conv.0.1", (8, 1, 3, 3))
    layer("features.1.conv.1", "features.1.conv.2", (8, 8, 1, 1))
    for block in ("features.2.conv", "features.3.conv"):
        layer(f"{block}.0.0", f"{block}.0.1", (16, 8, 1, 1))
        layer(f"{block}.1.0", f"{block}.1.1", (16, 1, 3, 3))
        layer(f"{block}.2", f"{block}.3", (8, 16, 1, 1))
    layer("features.4.0", "features.4.1", (16, 8, 1, 1))
    variables = models.from_torch(state, model)
    assert jax.eval_shape(model.apply, variables, jnp.zeros((1, 16, 16, 3))).shape == (1, 4)
    changed = {name: value for name, value in (state | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        models.from_torch(changed, model)
