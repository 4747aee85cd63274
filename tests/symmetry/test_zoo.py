"""The right verdict with the right line for known architectures in three frameworks.

The table was reasoned by hand. Circular networks keep every shift until they subsample: the
period is the product of the strides up to there. ResNet-18 has strides 2 (stem), 2 (pool) and
three of 2, so 32; VGG-11 five pools, 32; LeNet two, 4; the ConvNeXt-like net 4 * 2 * 2 = 16; the
U-Net-like net returns to full resolution, so its output moves by 4 positions for a shift of 4; a
vision transformer keeps multiples of its patch size, 4, until it adds a position embedding.
Global pooling turns equivariance into invariance, flattening into a dense layer ends it. Zero
padding ends it in the first layer that pads.
"""

import functools
import linecache
from typing import NamedTuple

import jax
import numpy as np
import pytest

import jaxinv
from tests.sweeps import few
from tests.symmetry import measured, zoo_equinox, zoo_linen, zoo_nnx

ZOOS = {"linen": zoo_linen, "nnx": zoo_nnx, "equinox": zoo_equinox}


class Verdict(NamedTuple):
    """What is expected; `line` is the comment on the line that ends the symmetry, if one does."""

    kind: str
    period: int
    size: int
    line: str | None = None
    reason: str = ""
    before: int = 1


DENSE = ("flatten + dense", "Dense after flatten mixes fixed positions")
PADDED = ("first padding", "zero padding")
TABLE = {
    ("lenet", "CIRCULAR"): Verdict("broken", 32, 32, *DENSE, before=4),
    ("lenet", "SAME"): Verdict("broken", 32, 32, *PADDED),
    ("lenet", "VALID"): Verdict("broken", 32, 32, *DENSE, before=4),
    ("resnet18", "CIRCULAR"): Verdict("invariant", 32, 64),
    ("resnet18", "SAME"): Verdict("broken", 64, 64, *PADDED),
    ("vgg11", "CIRCULAR"): Verdict("broken", 64, 64, *DENSE, before=32),
    ("vgg11", "SAME"): Verdict("broken", 64, 64, *PADDED),
    ("convnext", "CIRCULAR"): Verdict("invariant", 16, 32),
    ("convnext", "SAME"): Verdict("broken", 32, 32, *PADDED, before=4),
    ("unet", "CIRCULAR"): Verdict("equivariant", 4, 32),
    ("unet", "SAME"): Verdict("broken", 32, 32, *PADDED),
    ("vit", "NONE"): Verdict("invariant", 4, 32),
    ("vit", "POSITIONS"): Verdict(
        "broken", 32, 32, "position embedding", "differs between positions", before=4
    ),
}
CASES = [(zoo, *case) for zoo in ZOOS for case in TABLE]


def generic(shapes, seed=0):
    """Random weights for shapes; vectors, among them variances, are positive."""
    numbers = np.random.default_rng(seed)

    def fill(leaf):
        values = numbers.normal(size=leaf.shape)
        if values.ndim < 2:
            return np.abs(values) + 0.2
        return values / np.sqrt(np.prod(leaf.shape[:-1]))

    return jax.tree.map(fill, shapes)


def source_line(where: str, zoo) -> str:
    name, number = where.rsplit(":", 1)
    assert zoo.__file__.endswith(name.split("/")[-1]), where
    return linecache.getline(zoo.__file__, int(number))


# One framework with all but the largest, and of the others what ends and what is kept.
QUICK = [
    *(("linen", *case) for case in TABLE if case[0] != "vgg11"),
    *((zoo, name, "CIRCULAR") for zoo in ("nnx", "equinox") for name in ("lenet", "unet")),
]


@pytest.mark.parametrize(("framework", "name", "padding"), few(CASES, *QUICK))
def test_verdict_and_line(framework, name, padding):
    zoo, expected = ZOOS[framework], TABLE[name, padding]
    fun, weights, shape = zoo.build(name, padding, expected.size)
    images = jax.ShapeDtypeStruct(shape, np.float32)
    certificate = jaxinv.certify(fun, weights, images, argnums=1, axes=zoo.AXES)
    assert certificate.kind == expected.kind
    assert certificate.period == (expected.period, expected.period)
    if expected.kind == "equivariant":
        assert certificate.dims == zoo.AXES
        assert certificate.only.moves == (expected.period, expected.period)
        assert certificate.only.whole == (True, True)
    else:
        assert certificate.dims == (None, None)
    first = certificate.first_end
    if expected.line is None:
        assert first is None
    else:
        assert expected.line in source_line(first.where, zoo)
        assert expected.reason in first.reason
        assert first.before.period == (expected.before, expected.before)


@pytest.mark.parametrize(
    ("name", "padding"),
    few(TABLE, ("lenet", "CIRCULAR"), ("unet", "CIRCULAR"), ("vit", "POSITIONS")),
)
def test_the_table_is_what_the_networks_do(name, padding):
    """The verdicts that the table expects hold for generic weights, and none finer does."""
    expected = TABLE[name, padding]
    with jax.enable_x64(True):
        fun, weights, shape = zoo_linen.build(name, padding, expected.size)
        x = np.random.default_rng(1).normal(size=shape)
        model = functools.partial(fun, generic(weights))
        outputs = jaxinv.certify(model, x).outputs
        orbit = measured.Orbit(model, x, (1, 2))
        assert not list(measured.violations(orbit, outputs))
        assert not list(measured.finer_symmetry(orbit, outputs))
