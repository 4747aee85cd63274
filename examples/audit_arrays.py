"""Two networks on arrays of your own, side by side: figures, maps and a report as files."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv


def templates(images, labels):
    """The mean image of each class."""
    return np.stack([images[labels == label].mean(axis=0) for label in np.unique(labels)])


def matched_in_place(x, shapes):
    """How well each template fits where it stands."""
    return jnp.einsum("nhwc,khwc->nk", x, shapes)


def matched_anywhere(x, shapes):
    """How well each template fits at its best place: a circular correlation, then its maximum."""
    height, width = x.shape[1:3]
    around = jnp.pad(x, ((0, 0), (0, height - 1), (0, width - 1), (0, 0)), mode="wrap")
    kernel = jnp.moveaxis(shapes, 0, -1)  # (k, h, w, c) -> (h, w, c, k)
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        around, kernel, (1, 1), "VALID", dimension_numbers=layout
    ).max((1, 2))


def main(folder):
    """Writes the report and returns the audit."""
    digits = jaxinv.data.load("digits", split="train[:300]")
    images, labels = digits.images[:, 4:-4, 4:-4] / 255.0, digits.labels
    shapes = templates(images[:250], labels[:250])
    shapes = shapes / np.sqrt((shapes**2).sum(axis=(1, 2, 3), keepdims=True))
    networks = {
        "in place": lambda x: matched_in_place(x, shapes),
        "anywhere": lambda x: matched_anywhere(x, shapes),
    }
    found = jaxinv.audit(networks, images[250:], labels[250:], max_shift=4)
    print(found)
    print(f"\n{found.save(folder)[-1]} shows all of it")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/audit-arrays"))
