"""What is audited, as people have it: networks of any framework, and arrays."""

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxinv.data import Dataset, Source
from jaxinv.data.source import marked_void
from jaxinv.evaluation.subject import Subject, distinct, of_network


def subjects_of(networks: Any) -> list[Subject]:
    """The networks, under the names given or that of the function.

    Raises:
      ValueError: if there are none, one is no network, or two have one name.
    """
    if not isinstance(networks, Mapping):
        name = getattr(networks, "__name__", None) or type(networks).__name__
        name = name if callable(networks) else "networks"
        networks = {name if name.isidentifier() and name != "partial" else "network": networks}
    if not networks:
        raise ValueError("networks is empty; at least one network is audited")
    return distinct(
        network if isinstance(network, Subject) else of_network(network, name=name)
        for name, network in networks.items()
    )


def source_of(images: Any, labels: Any, targets: Any, void: int | None) -> Source:
    """Arrays as a data set; labels of zero where there are none.

    Raises:
      ValueError: if they are no images, or no class of each.
    """
    if labels is not None and targets is not None:
        raise ValueError("labels are classes and targets values; allowed is one of them")
    if isinstance(images, Source):
        if labels is not None or targets is not None:
            raise ValueError("labels are given twice; a data set holds its own")
        if void is not None:
            raise ValueError(f"void is {void}; a data set holds -1 where a position has no class")
        return images
    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images have shape {images.shape}; needed is (n, H, W, C), none 0")
    real = any(map(functools.partial(jnp.issubdtype, images.dtype), (jnp.floating, jnp.integer)))
    if not real:
        raise ValueError(f"images have dtype {images.dtype}; allowed are real numbers")
    if images.dtype != np.uint8:
        images = images.astype(np.float32)
    named: Any = {"name": "the arrays given", "split": "", "mean": (0.0,), "std": (1.0,)}
    if targets is not None:
        targets = np.asarray(targets)
        if targets.ndim != 4 or len(targets) != len(images) or targets.dtype.kind != "f":
            raise ValueError(
                f"targets have shape {targets.shape} and dtype {targets.dtype}; needed are real "
                f"numbers (n, h, w, c), maps for each of the {len(images)} images"
            )
        return Dataset(images, targets.astype(np.float32), num_classes=0, **named)
    labels = np.zeros(len(images), np.int32) if labels is None else np.asarray(labels)
    shapes = ((len(images),), images.shape[:3])
    if labels.shape not in shapes or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}; needed is a whole number "
            f"for each of the {len(images)} images, or for each pixel"
        )
    if void is not None and labels.ndim == 1:
        raise ValueError(f"void is {void}; it is for label maps, a class for each pixel")
    if void is None and labels.min() < 0:
        raise ValueError(f"a label is {labels.min()}; classes are counted from 0")
    marked, classes = marked_void(labels, void)
    return Dataset(images, marked, num_classes=classes, **named)
