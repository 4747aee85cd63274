"""Each network and each choice of layers: trained, saved, restored, certified, and measured."""

from functools import partial

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxinv import certify, models
from jaxinv.orbit import orbit
from jaxinv.tolerances import tolerance
from tests.layers.generic import trained
from tests.sweeps import few

TINY = {"widths": ((3,), (4,)), "kernels": 3, "dense": (5,)}
RES = {"blocks": (1, 1), "width": 4}
NEXT = {"blocks": (1, 1), "widths": (4, 6), "patch": 2, "layer_scale": 1.0}
VIT = {"patch": 2, "features": 8, "depth": 1, "heads": 2}
CIRCULAR = {"padding": "CIRCULAR"}
GAP = {**CIRCULAR, "head": "gap"}
MOBILE = {"stages": ((2, 8, 2, 2),), "stem_features": 8, "last_features": 8, "dropout": 0.0}
TOKENS = {**VIT, "position_embedding": False}

# Name, options, spatial sizes, what the certificate says, at which period.
LIVES = [
    ("mlp", {"dense": (5,)}, (8, 8), "broken", (8, 8)),
    ("simard", {**TINY}, (8, 8), "broken", (8, 8)),
    ("lenet5", {**TINY}, (10, 10), "broken", (10, 10)),
    ("lenet", {**TINY, "head": "gap"}, (8, 8), "broken", (8, 8)),
    ("lenet", {**TINY, **CIRCULAR}, (8, 8), "broken", (8, 8)),
    ("lenet", {**TINY, **GAP, "downsample": "max"}, (8, 8), "invariant", (4, 4)),
    (
        "lenet",
        {**TINY, **GAP, "downsample": "none", "activation": "gelu"},
        (6, 6),
        "invariant",
        (1, 1),
    ),
    ("lenet_local", {**TINY, **GAP}, (8, 8), "broken", (8, 8)),
    ("allconv", {**TINY, **CIRCULAR, "downsamplings": 1}, (8, 8), "invariant", (2, 2)),
    (
        "vgg11",
        {**TINY, **CIRCULAR, "head": "gmp", "downsample": "avg"},
        (8, 12),
        "invariant",
        (4, 4),
    ),
    (
        "vgg13",
        {**TINY, **CIRCULAR, "head": "gmp", "downsample": "maxblur"},
        (8, 8),
        "invariant",
        (4, 4),
    ),
    (
        "vgg16",
        {**TINY, **CIRCULAR, "head": "gap", "downsample": "aps", "norm": "batch"},
        (8, 8),
        "invariant",
        (1, 1),
    ),
    ("resnet20", {**RES, **CIRCULAR}, (8, 8), "invariant", (2, 2)),
    ("resnet32", {**RES, **CIRCULAR, "downsample": "avg"}, (8, 6), "invariant", (2, 2)),
    ("resnet56", {**RES, **CIRCULAR, "downsample": "none"}, (6, 4), "invariant", (1, 1)),
    (
        "resnet20",
        {**RES, **CIRCULAR, "downsample": "blur", "norm": "layer"},
        (8, 8),
        "invariant",
        (2, 2),
    ),
    ("resnet20", {**RES, **CIRCULAR, "downsample": "aps"}, (8, 4), "invariant", (1, 1)),
    ("resnet20", {**RES, **CIRCULAR, "downsample": "lps"}, (8, 4), "invariant", (1, 1)),
    ("resnet18", {**RES, **CIRCULAR, "downsample": "maxblur"}, (16, 16), "invariant", (8, 8)),
    (
        "resnet50",
        {**RES, **CIRCULAR, "downsample": "aps", "head": "attention"},
        (16, 16),
        "invariant",
        (1, 1),
    ),
    ("mobilenet_v2", {**MOBILE}, (8, 8), "broken", (8, 8)),
    ("mobilenet_v2", {**MOBILE, **CIRCULAR, "norm": "none"}, (8, 12), "invariant", (4, 4)),
    ("mobilenet_v2", {**MOBILE, **CIRCULAR, "downsample": "blur"}, (8, 8), "invariant", (4, 4)),
    ("mobilenet_v2", {**MOBILE, **CIRCULAR, "downsample": "aps"}, (8, 8), "invariant", (1, 1)),
    ("convnext_tiny", {**NEXT}, (8, 8), "broken", (8, 8)),
    ("convnext_tiny_alias_free", {**NEXT}, (8, 8), "invariant", (4, 4)),
    ("vit_small", {**VIT}, (8, 8), "broken", (8, 8)),
    ("vit_small", {**TOKENS, "head": "gap"}, (8, 8), "invariant", (2, 2)),
    ("vit_small", {**TOKENS, "head": "gap", "downsample": "aps"}, (8, 8), "invariant", (1, 1)),
    ("unet", {"widths": (3, 4), **CIRCULAR}, (8, 8), "equivariant", (2, 2)),
    ("unet2015", {"widths": (3, 4), "padding": "CIRCULAR"}, (8, 8), "equivariant", (2, 2)),
    ("unet", {"widths": (3, 4), **CIRCULAR, "downsample": "ideal"}, (8, 8), "equivariant", (2, 2)),
    ("unet", {"widths": (3, 4), **CIRCULAR, "downsample": "aps"}, (8, 8), "equivariant", (1, 1)),
    ("audio1d", {**TINY, **CIRCULAR, "factor": 2, "stem_stride": 2}, (32,), "invariant", (8,)),
    ("audio1d", {**TINY, **CIRCULAR, "factor": 2, "downsample": "aps"}, (32,), "invariant", (1,)),
]


def test_every_network_lives_here():
    assert {name for name, *_ in LIVES} == set(models.names())
    assert len(BY_LABEL) == len(LIVES)
    assert set(QUICK) <= set(BY_LABEL)


def label(case):
    return "-".join([case[0], *(str(v) for v in case[1].values() if isinstance(v, str))])


def loss_of(logits):
    """Cross-entropy of classes 0 and 2, which a U-Net has at each position."""
    logits = logits.reshape(2, -1, logits.shape[-1]).mean(1)
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([0, 2])).mean()


BY_LABEL = {label(case): case for case in LIVES}
QUICK = ("lenet-CIRCULAR-gap-max", "resnet20-CIRCULAR-aps", "convnext_tiny", "audio1d-CIRCULAR-aps")
QUICK += ("mobilenet_v2-CIRCULAR-aps", "vit_small-gap-aps", "unet-CIRCULAR-ideal")


@pytest.mark.parametrize("case", few(BY_LABEL, *QUICK))
def test_trained_saved_restored_certified_and_measured(case, signal, weights, tmp_path):
    name, options, sizes, kind, period = BY_LABEL[case]
    model = models.create(name, num_classes=3, **options)
    x = signal(2, *sizes, 2)
    start = weights(model, x)
    variables, losses = trained(model, start, x, loss_of)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]

    path = tmp_path / "model.msgpack"
    path.write_bytes(flax.serialization.to_bytes(variables))
    restored = flax.serialization.from_bytes(start, path.read_bytes())
    jax.tree.map(np.testing.assert_array_equal, restored, variables)

    axes = tuple(range(1, len(sizes) + 1))
    forward = partial(model.apply, restored)
    certificate = certify(forward, x, axes=axes)
    assert (certificate.kind, certificate.period) == (kind, period)

    every = np.asarray(jax.jit(orbit(forward, axes=axes, share=False))(x))
    here = every[(0,) * len(sizes)]
    rtol, atol = tolerance(jnp.float32, depth=64)
    far = 0.0
    for shift in np.ndindex(*sizes):
        expected = np.roll(here, shift, axes) if kind == "equivariant" else here
        error = np.abs(every[shift] - expected).max() / np.abs(here).max()
        if all(t % d == 0 for t, d in zip(shift, period, strict=True)):
            assert error < 50 * (rtol + atol), shift
        far = max(far, error)
    if options.get("downsample", model.downsample if name != "mlp" else "") == "ideal":
        # More than is proved: what ideal filters sample commutes with all other shifts by fractions
        # of the coarse grid, and an average over the map does not see those.
        assert name == "unet" or far < 50 * (rtol + atol)
    else:
        assert (far > 1e-3) == (max(period) > 1)
