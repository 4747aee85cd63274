"""The splits of a run: those that its configuration names, or data of one's own."""

import functools
from collections.abc import Mapping
from typing import TypeAlias

from jaxtyping import Int, UInt8
from numpy import ndarray

from jaxinv import data
from jaxinv.data.dataset import slice_bounds, split_slice
from jaxinv.data.loading import on_canvas
from jaxinv.training.config import TrainConfig

Images: TypeAlias = data.Source | tuple[UInt8[ndarray, "n h w *c"], Int[ndarray, "n *positions"]]
Given: TypeAlias = Images | Mapping[str, Images]


def splits_of(
    config: TrainConfig, named: dict[str, data.Source] | None
) -> tuple[data.Source, data.Source | None]:
    """The images to train on, and those to report on, which data of one's own may lack.

    Args:
      config: names the splits.
      named: the data by split, instead of those that the configuration names.

    Raises:
      ValueError: there are no such splits, or they are no images with a class each.
    """
    if named is None:
        open_split = functools.partial(
            data.open,
            config.dataset,
            data_dir=config.data_dir,
            manual_dir=config.manual_dir,
            canvas=config.canvas,
            memory=config.memory,
            void=config.void,
        )
        train = open_split(split=config.train_split)
        test: data.Source | None = open_split(split=config.test_split)
    else:
        train = _chosen(named, config.train_split, config)
        lacks_test = config.test_split == "test" and "test" not in named
        test = None if lacks_test else _chosen(named, config.test_split, config)
    if not train.num_classes:
        raise ValueError(f"{train.name} holds images without classes; training needs one for each")
    if train.num_classes == 1:
        raise ValueError(f"images of {train.name} have one class; there is nothing to tell apart")
    if test is not None and test.image_shape != train.image_shape:
        raise ValueError(
            f"the images of {config.test_split} have shape {test.image_shape}, and those of "
            f"{config.train_split} {train.image_shape}; allowed is one shape"
        )
    if test is not None and bool(test.label_shape) != bool(train.label_shape):
        raise ValueError(
            f"labels of {config.test_split} and of {config.train_split} differ: in one each image "
            "has a class, in the other each pixel"
        )
    return train, test


def named_splits(given: Given, *, void: int | None = None) -> dict[str, data.Source]:
    """Data of one's own, by split; what has no name is the split `"train"`.

    Args:
      given: the data.
      void: the label of positions without a class in arrays.

    Raises:
      ValueError: it is not as `train_and_evaluate` wants it.
    """
    splits = given if isinstance(given, Mapping) else {"train": given}
    sources = {name: s for name, s in splits.items() if isinstance(s, data.Source)}
    arrays = {name: s for name, s in splits.items() if not isinstance(s, data.Source)}
    for name, pair in arrays.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"data is a {type(pair).__name__} for the split {name!r}; allowed are a pair "
                "(images, labels), a Source, or a dictionary of them by split"
            )
    if not splits:
        raise ValueError("data has no splits; allowed are names such as 'train' and 'test'")
    if void is not None and sources:
        raise ValueError(f"void is {void}; a Source holds -1 where a position has no class")
    # Arrays do not say how many classes there are: as many as any split shows.
    shown = [data.Dataset.of(*pair, void=void).num_classes for pair in arrays.values()]
    made = {
        name: data.Dataset.of(*pair, split=name, num_classes=max(shown), void=void)
        for name, pair in arrays.items()
    }
    return {name: sources[name] if name in sources else made[name] for name in splits}


def _chosen(named: dict[str, data.Source], split: str, config: TrainConfig) -> data.Source:
    base, start, stop = split_slice(split)
    if base not in named:
        raise ValueError(f"data has no split {base!r}; it has {', '.join(named)}")
    whole = named[base]
    chosen = slice_bounds(start, stop, size=len(whole))
    part = whole.part(range(chosen.start, chosen.stop))
    if not len(part):
        raise ValueError(f"split {split!r} of data is empty")
    if config.canvas is None:
        return part
    return on_canvas(part, config.canvas)
