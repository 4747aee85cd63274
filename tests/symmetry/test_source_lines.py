"""The line of a layer is one that the user wrote, whatever library computes it."""

import importlib.util
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import jaxinv
from jaxinv.symmetry.source_lines import calling_line

IMAGE = jnp.zeros((2, 8, 8, 3))

PACKAGE = """
import flax.linen as nn
import jax
import jax.numpy as jnp

def halved(x):
    return jnp.tanh(x)[:, ::2]

halved_jitted = jax.jit(halved)

class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        return halved(nn.Conv(2, (3, 3), padding="CIRCULAR")(x))  # in the package
"""


def line_of(text, file=__file__):
    with open(file) as lines:
        (number,) = [i for i, line in enumerate(lines, 1) if f"  {text}\n" in line]
    return f"{file.rpartition('/')[2]}:{number}"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A module of somebody else's, installed."""
    path = tmp_path / "site-packages" / "somebody" / "theirs.py"
    path.parent.mkdir(parents=True)
    path.write_text(PACKAGE)
    spec = importlib.util.spec_from_file_location("theirs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines_of(network):
    certificate = jaxinv.certify(network, IMAGE)
    return {step.where for step in certificate.steps}


@pytest.mark.parametrize("name", ["halved", "halved_jitted"])
def test_a_function_of_somebody_elses_is_the_line_that_calls_it(package, name):
    def network(x):
        return getattr(package, name)(x)  # somebody else's

    assert lines_of(network) == {line_of("# somebody else's")}
    assert lines_of(jax.jit(network)) == {line_of("# somebody else's")}


def test_a_network_of_somebody_elses_has_the_lines_of_its_layers(package):
    network = package.Network()
    variables = network.init(jax.random.key(0), IMAGE)
    assert lines_of(lambda x: network.apply(variables, x)) == {
        line_of("# in the package", package.__file__)
    }


class OwnEquinox(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.GroupNorm

    def __call__(self, x):
        x = self.conv(x)  # the convolution
        return self.norm(x)  # the norm


def test_layers_of_equinox_are_the_lines_that_call_them():
    conv = eqx.nn.Conv2d(3, 4, 3, padding=1, padding_mode="CIRCULAR", key=jax.random.key(0))
    network = OwnEquinox(conv, eqx.nn.GroupNorm(2, 4))
    certificate = jaxinv.certify(network, jnp.zeros((3, 8, 8)))
    found = {(step.layer, step.where) for step in certificate.steps}
    assert found == {("conv", line_of("# the convolution")), ("norm", line_of("# the norm"))}
    # Where no line of the user's calls a layer, the one that asks is.
    sequence = eqx.nn.Sequential([conv, eqx.nn.AvgPool2d(2, 2)])
    certificate = jaxinv.certify(sequence, jnp.zeros((3, 8, 8)))  # asks
    assert {step.where for step in certificate.steps} == {line_of("# asks")}
    assert "site-packages" not in str(certificate)


def test_the_packages_own_networks_are_shown_by_their_lines():
    network = jaxinv.models.create("lenet", num_classes=3)
    image = jnp.zeros((1, 28, 28, 1))
    variables = jax.eval_shape(network.init, jax.random.key(0), image)
    certificate = jaxinv.certify(network.apply, variables, image, argnums=1)
    assert all(re.fullmatch(r"\w+\.py:\d+", step.where) for step in certificate.steps)
    assert len({step.where for step in certificate.steps}) > 2


def test_the_line_that_asks():
    asked = calling_line()  # the asking
    assert asked == line_of("# the asking")
