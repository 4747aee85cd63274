"""Names of layers from what a function carries; whatever lies there, the function is certified."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxinv
from jaxinv.symmetry.array_names import array_names, closure_names

IMAGES = jax.ShapeDtypeStruct((1, 6, 4, 3), jnp.float32)
KERNEL = jnp.ones((3, 2))


class Raises:
    """Nothing can be asked of it."""

    def _refuse(self, *_):
        raise RuntimeError("do not ask")

    __eq__ = __getattribute__ = __iter__ = __len__ = __bool__ = __repr__ = _refuse
    __hash__ = None


class Endless:
    """Each attribute is a new object with as many; it can be iterated for ever."""

    def __getattr__(self, name):
        return Endless()

    def __iter__(self):
        return itertools.count()

    def __len__(self):
        return 10**18


class Liar:
    """It says that it is a function whose class cannot be told."""

    @property
    def __class__(self):
        raise RuntimeError("do not ask")


@jax.tree_util.register_pytree_node_class
class BadNode:
    """A pytree that cannot be taken apart."""

    def tree_flatten(self):
        raise RuntimeError("do not ask")

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls()


class BadPartial(functools.partial):
    """A partial function that does not say what it is made of."""

    @property
    def keywords(self):
        raise RuntimeError("do not ask")


class Keys(str):
    def __str__(self):
        raise RuntimeError("do not ask")

    __repr__ = __str__


class Network:
    """A callable without a hash, and a method."""

    def __init__(self):
        self.held = Raises()

    def __eq__(self, other):
        raise RuntimeError("do not ask")

    def __call__(self, x):
        return x @ KERNEL

    method = __call__


def held(item):
    """A function that carries something."""
    return lambda x: (x @ KERNEL, item)[0]


def holds_itself():
    items = [{}]
    items[0]["again"] = items
    return items


def nested(depth):
    items = []
    for _ in range(depth):
        items = [items]
    return items


def empty_cell():
    if IMAGES is None:
        later = 1
    return lambda x: (x @ KERNEL, 0 if x is not None else later)[0]


CARRIED = {
    "keys that do not sort together": lambda: {1: 2, "a": 3, (1, 2): 4, None: 5},
    "keys that are modules": lambda: {nnx.Rngs: 1, np: 2, jnp: 3},
    "keys without a name": lambda: {Keys("a"): KERNEL, 1: KERNEL},
    "raises": lambda: Raises(),
    "raises inside": lambda: {1: [Raises()], "a": (Raises(),)},
    "endless": lambda: Endless(),
    "lies about its class": lambda: Liar(),
    "a node that cannot be taken apart": lambda: {"a": BadNode()},
    "holds itself": lambda: holds_itself(),
    "deep": lambda: nested(3_000),
    "long": lambda: [0] * 1_000_000,
    "a generator": lambda: itertools.count(),
    "type": lambda: Raises,
}


@pytest.mark.parametrize("name", CARRIED)
def test_a_function_is_certified_whatever_it_carries(name):
    item = CARRIED[name]()
    for fun in (
        held(item),
        functools.partial(lambda item, x: x @ KERNEL, item),
        jax.jit(held(item)),
    ):
        assert jaxinv.certify(fun, IMAGES).kind == "equivariant"
    assert jaxinv.orbit(held(item))(jnp.ones((1, 2, 2, 3))).shape == (2, 2, 1, 2, 2, 2)


@pytest.mark.parametrize(
    "make",
    [empty_cell, Network, lambda: Network().method, lambda: BadPartial(jnp.dot, b=KERNEL)],
    ids=["empty cell", "callable", "method", "partial"],
)
def test_functions_of_all_kinds_are_certified(make):
    fun = make()
    assert jaxinv.certify(fun, IMAGES).period == (1, 1)
    assert jaxinv.orbit(fun)(jnp.ones((1, 2, 2, 3))).shape == (2, 2, 1, 2, 2, 2)


def test_names_survive_what_cannot_be_named():
    weights = {1: Raises(), "first": {"kernel": KERNEL}, np: 3}
    kernel = weights["first"]["kernel"]
    certificate = jaxinv.certify(lambda x: x @ weights["first"]["kernel"], IMAGES)
    assert certificate.steps[0].layer == "first"
    assert closure_names(lambda x: (weights, KERNEL)) == {id(kernel): "first/kernel"}


def test_names_of_modules():
    linear = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    names = array_names({"head": [linear]})
    assert names[id(linear.weight)] == "head/0/weight"
    block = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    assert "kernel" in closure_names(lambda x: block(x)).values()
    assert "kernel" in closure_names(block.__call__).values()


def test_the_first_container_does_not_hide_the_next():
    both = [KERNEL, {"kernel": KERNEL}]
    assert array_names(both)[id(KERNEL)] == "1/kernel"
    assert array_names(()) == {}
