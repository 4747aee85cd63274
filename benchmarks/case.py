"""A network that is timed, and what its figures have to reach."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv import models
from jaxinv.shifts import translate

# Aims are what a figure of a row has to be: at least, for ratios, or at most.
AIMS = {
    "ratio": "at least {} times as fast as brute force",
    "ratio_to_unshared": "at least {} of the speed of share=False",
    "ratio_to_torch": "at least {} times as fast as PyTorch's best loop or batch",
    "unshared_to_torch": "brute force at least {} times as fast as PyTorch's best batch",
    "passes": "at most the time of {} forward passes",
    "compile_seconds": "compiled in at most {} s",
    "seconds_per_image": "at most {} s an image",
    "gradients": "at most the time of {} single-shift gradients",
    "difference": "differs by at most {} of the output's scale",
    "difference_float64": "differs in float64 by at most {} of each parameter's scale",
}
AT_LEAST = ("ratio", "ratio_to_unshared", "ratio_to_torch", "unshared_to_torch")


@dataclasses.dataclass(frozen=True)
class Case:
    """A network with random weights, applied to random images.

    Attributes:
      name: for `--only`.
      title: for the tables.
      model: name in `jaxinv.models`.
      options: the model's options.
      shape: of the input.
      num_classes: outputs.
      aims: figures to reach, by the keys of `AIMS`.
      sample: how many shifts are timed where all would take too long; None: all.
      device: where the aims hold; cases of the GPU run only there.
      kind: what is timed: the network at every shift, or the gradient of its mean loss.
      mode: what enters at the border.
      max_shift: shifts from `-max_shift` to `max_shift` along each axis; None: all circular ones.
      averaged: whether the mean over the positions of its maps is what the network returns.
    """

    name: str
    title: str
    model: str
    options: dict[str, Any]
    shape: tuple[int, ...]
    num_classes: int = 10
    aims: dict[str, float] = dataclasses.field(default_factory=dict)
    sample: int | None = None
    device: Literal["cpu", "gpu"] = "cpu"
    kind: Literal["forward", "gradient"] = "forward"
    mode: Literal["wrap", "constant"] = "wrap"
    max_shift: int | None = None
    averaged: bool = False

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial axes."""
        return tuple(range(1, len(self.shape) - 1))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Positions along each spatial axis."""
        return self.shape[1:-1]

    @property
    def steps(self) -> tuple[int, ...]:
        """The number of shifts along each axis."""
        return self.sizes if self.max_shift is None else (2 * self.max_shift + 1,) * len(self.sizes)

    @property
    def count(self) -> int:
        """The number of shifts."""
        return int(np.prod(self.steps))

    @property
    def orbit_options(self) -> dict[str, Any]:
        """What `jaxinv.orbit` is told of the shifts."""
        return {"axes": self.axes, "mode": self.mode, "max_shift": self.max_shift}

    @property
    def pads_with_zeros(self) -> bool:
        """Whether its convolutions do."""
        return self.create().padding == "SAME"

    def create(self) -> Any:
        """The module."""
        return models.create(self.model, num_classes=self.num_classes, **self.options)

    def timed_shifts(self, sample: int | None) -> np.ndarray:
        """All shifts in order, or a random sample of so many, in which all cosets occur."""
        table = np.stack(np.unravel_index(np.arange(self.count), self.steps), axis=-1)
        table = table - (self.max_shift or 0)
        if sample is None or sample >= self.count:
            return table
        return table[np.random.default_rng(0).permutation(self.count)[:sample]]

    def places(self, shifts: np.ndarray) -> np.ndarray:
        """The places of some shifts among all of them."""
        return np.ravel_multi_index(tuple((shifts + (self.max_shift or 0)).T), self.steps)

    def build(self, dtype: str) -> tuple[Callable, Any, jax.Array]:
        """The network as a function of (variables, images), the variables, and images."""
        module = self.create()

        @jax.jit
        def made():
            x = jax.random.normal(jax.random.key(0), self.shape, jnp.float32)
            # Biases and batch statistics are 0 and 1 at first; moved, an omission would show.
            leaves, tree = jax.tree.flatten(module.init(jax.random.key(1), x))
            keys = jax.random.split(jax.random.key(2), len(leaves))
            leaves = [
                leaf + jax.random.uniform(key, leaf.shape, minval=-0.1, maxval=0.1)
                if leaf.ndim == 1
                else leaf
                for key, leaf in zip(keys, leaves, strict=True)
            ]
            leaves = [leaf.astype(dtype) for leaf in leaves]
            return jax.tree.unflatten(tree, leaves), x.astype(dtype)

        def averaged(variables, x):
            return module.apply(variables, x).mean(axis=self.axes)

        return averaged if self.averaged else module.apply, *made()

    def at_shift(self, apply: Callable) -> Callable:
        """The network at one translation, a function of (variables, images, shift)."""
        return lambda variables, x, shift: apply(
            variables, translate(x, shift, axes=self.axes, mode=self.mode)
        )


# What makes a network tiny: one stride of each kind is left.
_TINY: dict[str, dict[str, Any]] = {
    "lenet": {"widths": ((2,), (2,)), "kernels": 3},
    "vgg11": {"widths": ((2,), (2,)), "dense": ()},
    "resnet20": {"blocks": (1, 1), "width": 2},
    "resnet18": {"blocks": (1, 1), "width": 2},
    "resnet50": {"blocks": (1,), "width": 2},
    "mobilenet_v2": {"stages": ((2, 8, 1, 2),), "stem_features": 8, "last_features": 8},
    "convnext_tiny_alias_free": {"blocks": (1, 1), "widths": (4, 4), "patch": 2},
    "vit_small": {"patch": 4, "features": 8, "depth": 1, "heads": 2},
    "audio1d": {"widths": ((4,), (4,)), "kernels": ((8,), (3,))},
    "unet": {"widths": (2, 4)},
}


def tiny(case: Case) -> Case:
    """The case with few layers, channels, pixels and images."""
    if len(case.sizes) == 1:
        size = 128
    elif case.model in ("resnet18", "resnet50") and case.options.get("stem") != "cifar":
        size = 16
    else:
        size = 12 if case.options.get("padding") == "VALID" else 8
    # Unless a case names its normalisation: half of the time would go into that.
    plain = {"norm": "none"} if case.model.startswith("resnet") else {}
    return dataclasses.replace(
        case,
        shape=(min(case.shape[0], 2), *(size,) * len(case.sizes), case.shape[-1]),
        num_classes=min(case.num_classes, 10),
        options={**plain, **case.options, **_TINY[case.model]},
        sample=4,
        max_shift=None if case.max_shift is None else 1,
    )
