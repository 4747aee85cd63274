"""The table of a certificate: which rows it has, what they say, and how wide it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from tests.symmetry import shifted

drawn = functools.partial(shifted.drawn, dtype=np.float32)
IMAGE = drawn(2, 6, 4, 3)


def output_rows(certificate):
    lines = [line.split() for line in str(certificate).splitlines()]
    return [words for words in lines if words[:1] == ["output"]]


@pytest.mark.parametrize(
    ("fun", "how"),
    [
        (lambda x: x.mean((1, 2)), "mean"),
        (lambda x: x.mean((1, 2), keepdims=True), "mean"),
        (lambda x: x.sum((1, 2)) / 7, "sum"),
        (lambda x: x.max((1, 2)), "maximum"),
        (lambda x: x.min((1, 2)), "minimum"),
        (lambda x: x.reshape(2, 24, 3).mean(1), "mean"),
    ],
)
def test_the_row_at_which_the_windows_go(fun, how):
    certificate = jaxinv.certify(fun, IMAGE)
    assert certificate.steps[-1].pooled == (1, 2)
    text = str(certificate)
    assert f"{how} over the whole map: invariant from here" in " ".join(text.split())
    assert len(output_rows(certificate)) == 1


def test_pooling_along_one_axis_and_pooling_that_is_taken_back():
    down = " ".join(str(jaxinv.certify(lambda x: x.max(1), IMAGE)).split())
    assert "maximum over all of axis 1: invariant from here" in down
    centred = str(jaxinv.certify(lambda x: x - x.mean((1, 2), keepdims=True), IMAGE))
    assert "mean over the whole map: invariant\n" in centred


def test_the_head_after_global_pooling_and_every_output_have_a_row():
    def network(params, x):
        x = jnp.tanh(x @ params["stem"]["kernel"]).mean((1, 2))
        return {"logits": x @ params["head"]["kernel"], "features": x}

    params = {"stem": {"kernel": drawn(3, 5)}, "head": {"kernel": drawn(5, 7)}}
    certificate = jaxinv.certify(network, params, IMAGE, argnums=1)
    assert [step.layer for step in certificate.steps] == ["stem", "reduce_sum", "head"]
    assert [row[:3] for row in output_rows(certificate)] == [
        ["output", "features", "5"],
        ["output", "logits", "7"],
    ]


@pytest.mark.parametrize(
    "fun", [lambda x: x, jnp.tanh, lambda x: jnp.ones(3), lambda x: (x, x.sum())]
)
def test_no_table_is_empty(fun):
    certificate = jaxinv.certify(fun, IMAGE)
    assert len(output_rows(certificate)) == len(certificate.outputs)


def test_a_function_without_outputs_says_so():
    assert "The function returns no arrays." in str(jaxinv.certify(lambda x: {}, IMAGE))


def test_a_reversal_has_a_row():
    certificate = jaxinv.certify(lambda x: jnp.tanh(jnp.flip(x, 1)), IMAGE)
    assert [(step.primitive, step.mirrored) for step in certificate.steps] == [("rev", (1,))]
    assert "axis 1 moves the other way" in str(certificate)


@pytest.mark.parametrize("longest", ["layer", "shape", "reason"])
def test_the_table_stays_within_a_hundred_columns(longest):
    name = "a_module_with_a_name_of_its_own/" * 3 if longest == "layer" else "w"
    shape = (1, 1024, 1024, 65536) if longest == "shape" else (1, 64, 64, 3)

    def network(params, x):
        with jax.named_scope(name):
            y = jnp.tanh(x * params["w"])
        with jax.named_scope("pool"):
            return lax.reduce_window(y, -jnp.inf, lax.max, (1, 8, 8, 1), (1, 8, 8, 1), "VALID")

    weights = {"w": jax.ShapeDtypeStruct((shape[1], 1, 1), jnp.float32)}
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    certificate = jaxinv.certify(network, weights, images, argnums=1)
    lines = str(certificate).splitlines()
    assert max(map(len, lines)) <= 100
    copies = {str(step.copies) for step in certificate.steps}
    # Numbers are never cut.
    assert copies <= set(str(certificate).split())
    assert "…" not in str(certificate)
