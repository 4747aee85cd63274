"""A network whose output is a map: equivariant without training it again, and what that costs."""

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxinv


class Segmenter(nn.Module):
    """Two convolutions with zeros at the border; a score for each pixel and class."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (3, 3))(x))
        return nn.Conv(3, (3, 3))(x)


def departure(fun, images, shift):
    """How far `fun(translate(x))` is from `translate(fun(x))`, relative to its size."""
    expected = jaxinv.translate(fun(images), shift)
    return jnp.linalg.norm(fun(jaxinv.translate(images, shift)) - expected) / jnp.linalg.norm(
        expected
    )


def main():
    """Prints the departure before and after, the proof, and the cost; returns the departures."""
    images = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    network = Segmenter()
    variables = network.init(jax.random.key(1), images)

    def segment(x):
        return network.apply(variables, x)

    averaged = jaxinv.symmetrize(segment, kind="equivariant")
    before, after = (float(departure(fun, images, (3, 5))) for fun in (segment, averaged))
    print(f"departs from equivariance by {before:.2g} before, {after:.1g} after")
    print("proved:", jaxinv.certify(averaged, images).only.state)
    print("costs", averaged.cost(images))
    return before, after


if __name__ == "__main__":
    main()
