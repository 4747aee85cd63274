"""docs/augment.png: digits, and what each distortion makes of them."""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxinv import augment, data

ROWS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "as they are": lambda key, images: images,
    "translate, 4 pixels": functools.partial(augment.translate, max_shift=4),
    "affine": augment.affine,
    "elastic, sigma 4, alpha 34": augment.elastic,
    "elastic, sigma 2, alpha 34": functools.partial(augment.elastic, sigma=2.0),
    "elastic, sigma 8, alpha 34": functools.partial(augment.elastic, sigma=8.0),
    "flip": functools.partial(augment.flip, probability=1.0),
}


def sheet(count: int = 10) -> np.ndarray:
    """All rows as one picture, 0 to 255."""
    digits = data.load("digits", split=f"test[:{count}]").images.astype(np.float32)
    rows = [fun(jax.random.key(i), jnp.asarray(digits)) for i, fun in enumerate(ROWS.values())]
    return np.concatenate([np.concatenate(list(row[..., 0]), axis=1) for row in rows], axis=0)


def main() -> None:
    """Draw the sheet."""
    argparse.ArgumentParser(description=__doc__).parse_args()  # no options: words are refused
    picture = sheet()
    height = picture.shape[0] / len(ROWS)
    figure, axes = plt.subplots(figsize=(8, 4.4), layout="constrained")
    axes.imshow(255 - picture, cmap="gray", vmin=0, vmax=255)
    axes.set_yticks([height * (i + 0.5) for i in range(len(ROWS))], list(ROWS))
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    place = Path(__file__).resolve().parent.parent / "docs" / "augment.png"
    figure.savefig(place, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
