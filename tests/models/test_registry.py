import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import models
from jaxinv.layers import DOWNSAMPLES, PADDINGS
from tests.sweeps import few

# Name, options, input, trainable parameters. Where no source is given the number is the sum over
# the layers of the paper, written out.
PUBLISHED = [
    # Simard et al. (2003): 5 (25 + 1) + 50 (5 * 25 + 1) + 100 (1250 + 1) + 10 (100 + 1)
    ("simard", {}, (29, 29, 1), 130 + 6300 + 125100 + 1010),
    # LeCun et al. (1998) with all maps connected: 156 + 2416 + 48120 + 10164 + 850
    ("lenet5", {}, (32, 32, 1), 61706),
    # Springenberg et al. (2014), All-CNN-C, "about 1.4 million"
    ("allconv", {}, (32, 32, 3), 2688 + 3 * 83040 - 83040 + 166080 + 3 * 331968 + 37056 + 1930),
    # torchvision's documentation, "num_params"
    ("vgg11", {"num_classes": 1000}, (224, 224, 3), 132863336),
    ("vgg13", {"num_classes": 1000}, (224, 224, 3), 133047848),
    ("vgg16", {"num_classes": 1000}, (224, 224, 3), 138357544),
    ("vgg11", {"num_classes": 1000, "norm": "batch"}, (224, 224, 3), 132868840),
    ("resnet18", {"num_classes": 1000}, (224, 224, 3), 11689512),
    ("resnet50", {"num_classes": 1000}, (224, 224, 3), 25557032),
    ("convnext_tiny", {"num_classes": 1000}, (224, 224, 3), 28589128),
    ("mobilenet_v2", {"num_classes": 1000}, (224, 224, 3), 3504872),
    # He et al. (2015), table 6: 0.27M, 0.46M, 0.85M; exactly as in the published weights
    ("resnet20", {}, (32, 32, 3), 269722),
    ("resnet32", {}, (32, 32, 3), 464154),
    ("resnet56", {}, (32, 32, 3), 853018),
    # Touvron et al. (2020), DeiT-S: 22M; 22,050,664 in their repository
    ("vit_small", {"num_classes": 1000}, (224, 224, 3), 22050664),
    # Ronneberger et al. (2015): 3 x 3 and 2 x 2 convolutions with biases, two classes
    (
        "unet2015",
        {"num_classes": 2},
        (64, 64, 1),
        sum(
            9 * a * b + b + 9 * b * b + b
            for a, b in [(1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
        )
        + sum(4 * 2 * b * b + b + 9 * 2 * b * b + b + 9 * b * b + b for b in (64, 128, 256, 512))
        + 2 * 64
        + 2,
    ),
    # Dai et al. (2016), M5: 0.5M
    ("audio1d", {}, (2048, 1), 80 * 128 + 3 * 128 * (128 + 256) + 3 * 256 * 512 + 3 * 1024 + 5130),
]


@pytest.mark.parametrize(("name", "options", "shape", "count"), PUBLISHED)
def test_parameters_are_as_many_as_published(name, options, shape, count):
    model = models.create(name, **options)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
    assert sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params)) == count


def test_the_alias_free_convnext_differs_by_its_polynomials_alone():
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    counts = []
    for name in ("convnext_tiny", "convnext_tiny_alias_free"):
        params = jax.eval_shape(models.create(name).init, jax.random.key(0), x)["params"]
        counts.append(sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params)))
    widened = 4 * (3 * 96 + 3 * 192 + 9 * 384 + 3 * 768)
    # three coefficients a channel and two scales in each of 18 blocks; the stem has a gain besides
    assert counts[1] - counts[0] == 3 * widened + 18 * 2 + 3 * 96 + 2 + 1


@pytest.mark.slow
def test_the_alias_free_convnext_starts_where_its_authors_code_does():
    model = models.create("convnext_tiny_alias_free", blocks=(1,), widths=(2,))
    params = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    stem = params["patchify0"]["polynomial"]
    assert float(stem["gain"]) == 0
    for polynomial in (stem, params["stage0_0"]["activation"]["polynomial"]):
        assert float(polynomial["in_scale"]) == float(polynomial["out_scale"]) == 7
        for column in polynomial["coefficients"].T:
            np.testing.assert_allclose(column, [0.0169394634, 0.5, 0.3078363964], rtol=1e-7)


def test_a_polynomial_in_the_stem_needs_a_place():
    model = models.create("convnext_tiny", stem_polynomial=True)
    with pytest.raises(
        ValueError, match=r"Patchify 'patchify0': a polynomial .* another than 'str"
    ):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_the_locally_connected_twin_has_the_layers_of_lenet():
    x = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    shared, unshared = (
        jax.eval_shape(models.create(n).init, jax.random.key(0), x)["params"]
        for n in ("lenet", "lenet_local")
    )
    assert jax.tree.structure(shared) == jax.tree.structure(unshared)
    assert unshared["conv0"]["kernel"].shape == (8, 8, 25, 16)


def test_every_name_is_made_with_its_options():
    for name in models.names():
        chosen = models.options(name)
        model = models.create(name, num_classes=7)
        assert model.num_classes == 7
        assert all(getattr(model, k) == v for k, v in chosen.items() if k != "num_classes")


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("downsample", DOWNSAMPLES)
@pytest.mark.parametrize("name", few(["lenet", "resnet20", "mobilenet_v2", "unet"], "lenet"))
def test_any_padding_goes_with_any_downsampling(name, padding, downsample):
    slim = {"lenet": {"widths": ((2,), (2,))}, "resnet20": {"blocks": (1, 1), "width": 2}}
    slim["mobilenet_v2"] = {"stages": ((2, 8, 2, 2),), "stem_features": 8, "last_features": 8}
    options = slim.get(name, {"widths": (2, 4)})
    model = models.create(name, padding=padding, downsample=downsample, **options)
    x = jax.ShapeDtypeStruct((2, 29, 30, 3), jnp.float32)  # odd and not square
    y = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x)[0], x)
    assert y.shape[0] == 2
    if name != "unet":
        assert y.shape == (2, 10)
    elif padding not in ("VALID", "FULL"):
        assert y.shape == (2, 29, 30, 10)


@pytest.mark.parametrize("shape", [(1, 64, 1), (1, 8, 8, 8, 1)])
def test_signals_of_one_and_three_dimensions(shape):
    model = models.create("resnet20", blocks=(1, 1), width=2, downsample="aps", padding="CIRCULAR")
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    y = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x)[0], x)
    assert y.shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet6", {}, "model is 'lenet6'; allowed are mlp, simard"),
        ("lenet", {"colour": 1}, "model lenet has no option 'colour'; allowed are activation"),
        ("mlp", {"padding": "SAME"}, "model mlp has no option 'padding'"),
        ("lenet", {"padding": "circular"}, "padding is 'circular'; allowed are SAME, CIRCULAR"),
        ("lenet", {"downsample": "pool"}, "downsample is 'pool'; allowed are stride, max"),
        ("lenet", {"head": "token"}, "head is 'token'; allowed are flatten, gap"),
        (
            "vit_small",
            {"head": "cls"},
            "head is 'cls'; allowed are flatten, gap, gmp, attention, token",
        ),
        ("lenet", {"activation": "elu"}, "activation is 'elu'; allowed are relu"),
        ("resnet20", {"norm": "group"}, "norm is 'group'; allowed are none, batch"),
        ("resnet20", {"shortcut": "C"}, "shortcut is 'C'; allowed are projection, zeros"),
        ("resnet20", {"stem": "big"}, "stem is 'big'; allowed are cifar, imagenet"),
        ("lenet", {"num_classes": 0}, "num_classes is 0; allowed are whole numbers from 1"),
    ],
)
def test_wrong_names_and_options_are_refused_with_what_is_allowed(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **options)


def test_a_map_that_gets_too_small_names_the_layer():
    with pytest.raises(ValueError, match="Conv 'conv1': filter of 5 positions is larger"):
        jax.eval_shape(models.create("simard").init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
