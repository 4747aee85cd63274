"""What is expected of a network, in words."""

import jax
import jax.numpy as jnp
import pytest

import jaxinv
from jaxinv.certificate.expectation import expectation

IMAGE = jax.ShapeDtypeStruct((1, 8, 12, 3), jnp.float32)
NETWORKS = {
    "mean": lambda x: x.mean((1, 2)),
    "strided": lambda x: x[:, ::4, ::2],
    "strided mean": lambda x: x[:, ::4, ::2].mean((1, 2)),
    "rows": lambda x: jnp.cumsum(x, 1),
    "both": lambda x: (x[:, ::2], x.mean((1, 2))),
}
HOLDS = {
    ("mean", "invariant to every shift"): True,
    ("mean", "invariant every shift"): True,
    ("mean", "equivariant to every shift"): True,
    ("strided", "equivariant to multiples of (4, 2)"): True,
    ("strided", "equivariant multiples of 4"): True,
    ("strided", "equivariant to multiples of 8, 6"): True,
    ("strided", "equivariant to multiples of 2"): False,
    ("strided", "equivariant to multiples of (2, 4)"): False,
    ("strided", "invariant to multiples of 4"): False,
    ("strided mean", "invariant to multiples of 4"): True,
    ("strided mean", "invariant to every shift"): False,
    ("rows", "equivariant to every shift"): False,
    ("rows", "equivariant to multiples of 8"): False,
    ("both", "equivariant to multiples of 2"): True,
    ("both", "invariant to multiples of 2"): False,
}


@pytest.mark.parametrize(("name", "words"), HOLDS)
def test_what_holds(name, words):
    certificate = jaxinv.certify(NETWORKS[name], IMAGE)
    assert expectation(words).holds(certificate) == HOLDS[name, words]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "invariant",
        "broken to every shift",
        "invariant to multiples of",
        "invariant to multiples of 0",
        "invariant to multiples of (4, 2",
        "invariant to multiples of 4)",
        "equivariant to multiples of x",
        "invariant to every shift, really",
    ],
)
def test_words_of_another_form(words):
    with pytest.raises(ValueError, match="it has the form 'invariant to every shift'"):
        expectation(words)


def test_another_number_of_axes():
    certificate = jaxinv.certify(NETWORKS["mean"], IMAGE)
    with pytest.raises(ValueError, match="expect names 3 axes; the network has 2"):
        expectation("invariant to multiples of (1, 2, 3)").holds(certificate)
