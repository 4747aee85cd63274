"""Is my network invariant? Certify it, read what breaks it, fix that line, certify again."""

import flax.linen as nn
import jax

import jaxinv


class Network(nn.Module):
    """Two convolutions, a pooling of stride 2, the mean over positions, a dense layer."""

    padding: str = "SAME"
    downsample: str = "max"

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(16, (3, 3), padding=self.padding)(x))
        x = jaxinv.layers.Downsample(self.downsample, 2)(x)
        x = nn.relu(nn.Conv(32, (3, 3), padding=self.padding)(x))
        return nn.Dense(10)(x.mean((1, 2)))


def certificate(network):
    """What is proved about a network on images of 32 x 32, from shapes alone."""
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    return jaxinv.certify(network.apply, variables, images, argnums=1)


def main():
    """Three networks that differ in one argument each."""
    found = {
        "as most people write it": Network(),
        "circular padding": Network(padding="CIRCULAR"),
        "and adaptive sampling": Network(padding="CIRCULAR", downsample="aps"),
    }
    certificates = {name: certificate(network) for name, network in found.items()}
    print(certificates["as most people write it"])
    print()
    for name, one in certificates.items():
        print(f"{name}: {one.only.state}")
    return certificates


if __name__ == "__main__":
    main()
