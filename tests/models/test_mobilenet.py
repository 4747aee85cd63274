"""MobileNetV2: width, what it refuses, and the weights that were trained on ImageNet."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import certify, models
from jaxinv.models.mobilenet import InvertedResidual, scaled

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
WEIGHTS = SHARED / "weights" / "mobilenet_v2_imagenet.npz"


def test_features_are_multiples_of_8_and_not_far_below():
    """The channels of the published networks of width 0.35, 0.75 and 1.4."""
    widths = (32, 16, 24, 32, 64, 96, 160, 320, 1280)
    assert [scaled(w, 0.35) for w in widths] == [16, 8, 8, 16, 24, 32, 56, 112, 448]
    assert [scaled(w, 0.75) for w in widths] == [24, 16, 24, 24, 48, 72, 120, 240, 960]
    assert [scaled(w, 1.4) for w in widths] == [48, 24, 32, 48, 88, 136, 224, 448, 1792]


# https://github.com/tensorflow/models, MobileNetV2's checkpoints: millions of parameters.
@pytest.mark.parametrize(("width", "millions"), [(1.4, 6.06), (0.75, 2.61), (0.35, 1.66)])
def test_widths_have_the_published_number_of_parameters(width, millions):
    model = models.create("mobilenet_v2", num_classes=1000, width=width)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
    assert round(count / 1e6, 1) == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("padding", ["VALID", "FULL"])
def test_the_input_is_added_where_it_lies(signal, padding):
    """With a depthwise filter that only reads its centre, of an output that changes size."""
    block = InvertedResidual(2, expansion=1, padding=padding, activation="identity", norm="none")
    x = signal(1, 6, 6, 2)
    kernel = jnp.zeros((3, 3, 1, 2)).at[1, 1].set(1.0)
    params = {
        "depthwise": {"kernel": kernel, "bias": jnp.zeros(2)},
        "project": {"kernel": jnp.eye(2)[None, None], "bias": jnp.zeros(2)},
    }
    y = block.apply({"params": params}, x)
    inner = x[:, 1:-1, 1:-1] if padding == "VALID" else jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    np.testing.assert_allclose(y, 2 * inner, atol=1e-6)


def test_a_stage_has_four_numbers():
    model = models.create("mobilenet_v2", stages=((6, 24, 2),))
    with pytest.raises(ValueError, match=r"MobileNetV2: a stage is \(6, 24, 2\); allowed are four"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


def trained(**options):
    if not WEIGHTS.is_file():
        pytest.skip("the weights of MobileNetV2 are not in ../shared/data")
    model = models.create("mobilenet_v2", num_classes=1001, norm="none", **options)
    variables = models.from_arrays(WEIGHTS, model, shape=(224, 224, 3))
    return lambda x: model.apply(variables, x)


def test_the_trained_weights_are_sure_of_a_photograph():
    """A right layout of weights, border and scale of pixels: all of them together."""
    datasets = pytest.importorskip("sklearn.datasets")
    apply = trained(padding="SAME_UPPER")
    flower = datasets.load_sample_image("flower.jpg")[101:325, 208:432]
    y = jax.nn.softmax(apply(jnp.asarray(flower[None], jnp.float32) * 2 / 256 - 1))
    assert float(y.max()) > 0.5


@pytest.mark.parametrize(
    ("options", "kind", "period"),
    [
        ({"padding": "SAME_UPPER"}, "broken", (224, 224)),
        ({"padding": "CIRCULAR"}, "invariant", (32, 32)),
        ({"padding": "CIRCULAR", "downsample": "blur"}, "invariant", (32, 32)),
        ({"padding": "CIRCULAR", "downsample": "aps"}, "invariant", (1, 1)),
    ],
)
def test_the_trained_weights_are_certified(options, kind, period):
    certificate = certify(trained(**options), jax.ShapeDtypeStruct((1, 224, 224, 3), "float32"))
    assert (certificate.kind, certificate.period) == (kind, period)
