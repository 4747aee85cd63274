"""One optimiser step, and one evaluation, as pure functions of a state and the data."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from jaxinv import augment
from jaxinv.data import normalise
from jaxinv.data.source import VOID
from jaxinv.symmetry.processor_convolution import quick_in_loops
from jaxinv.training.config import TrainConfig
from jaxinv.training.label_maps import counted, distorted, overlap_sums, per_image
from jaxinv.training.losses import Objective, cross_entropy
from jaxinv.training.state import TrainState, keys, no_sums

DISTORTIONS = ("translate", "affine", "elastic", "crop", "flip")
OBJECTIVES = ("orbit", "worst")

# images to images on the device, and where their batch dimension lies on several devices
Place = Callable[[Array], Array]


def parse_augment(config: TrainConfig) -> tuple[Callable[[PRNGKeyArray, Array], Array], Objective]:
    """The distortion and the loss that `config.augment` names.

    Raises:
      ValueError: an unknown name, or both orbit and worst.
    """
    names = [] if config.augment == "none" else config.augment.split("+")
    unknown = [name for name in names if name not in DISTORTIONS + OBJECTIVES]
    losses = [name for name in names if name in OBJECTIVES]
    if unknown or len(losses) > 1 or len(set(names)) < len(names):
        raise ValueError(
            f"augment is {config.augment!r}; allowed are none, or names joined by '+', each once, "
            f"of {', '.join(DISTORTIONS)} and one of {' or '.join(OBJECTIVES)}"
        )
    translate = {"max_shift": config.max_shift, "mode": config.fill, "subpixel": config.subpixel}
    options: dict[str, dict[str, Any]] = {
        "translate": translate,
        "affine": {
            "rotation": config.rotation,
            "scaling": config.scaling,
            "shear": config.shear,
        },
        "elastic": {"alpha": config.alpha, "sigma": config.sigma},
        "crop": {"padding": config.max_shift, "mode": config.fill},
        "flip": {},
    }
    distort = augment.compose(
        *(
            functools.partial(getattr(augment, name), **options[name])
            for name in names
            if name in DISTORTIONS
        )
    )
    objective = Objective(
        losses[0] if losses else "identity",  # type: ignore[arg-type]
        mode=config.fill,
        max_shift=config.max_shift,  # type: ignore[arg-type]
        label_smoothing=config.label_smoothing,
        chunk=config.chunk,
    )
    return distort, objective


def _to_bfloat16(tree: Any) -> Any:
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.bfloat16) if leaf.dtype == jnp.float32 else leaf, tree
    )


def apply_network(
    model: nn.Module,
    variables: dict[str, Any],
    images: Array,
    *,
    precision: str = "float32",
    **options: Any,
) -> Any:
    """`model.apply` in the run's precision: logits, and variables, come back as float32."""
    if precision == "bfloat16":
        # Batch statistics stay as they are: linen sums them in float32.
        params = _to_bfloat16(variables["params"])
        variables, images = {**variables, "params": params}, images.astype(jnp.bfloat16)
    out = model.apply(variables, images, **options)
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf, out
    )


def make_step(
    config: TrainConfig,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    steps_per_epoch: int,
    place: Place = lambda batch: batch,
) -> Callable[[TrainState, Array, Array], TrainState]:
    """The step function `(state, images, labels) -> state` of one network and one batch.

    Args:
      config: what to do in a step.
      model: the network.
      optimizer: its optimiser.
      mean: the data set's, for `normalise`.
      std: the data set's, for `normalise`.
      steps_per_epoch: the sums of the state start anew at multiples of it.
      place: shards a batch over the devices.
    """
    distort, objective = parse_augment(config)

    def loss(params, model_state, key, images, labels):
        distort_key, dropout_key = jax.random.split(key)
        x = jnp.asarray(normalise(images, mean=mean, std=std))
        x, labels = distorted(distort, distort_key, x, labels)

        def network(x):
            return apply_network(
                model,
                {"params": params, **model_state},
                x,
                precision=config.precision,
                train=True,
                rngs={"dropout": dropout_key},
                mutable=list(model_state),
            )

        losses, correct, model_state = objective(network, place(x), labels)
        return losses.mean(), (losses.sum(), correct.sum(), counted(labels).sum(), model_state)

    gradient = jax.grad(loss, has_aux=True)
    gradient_of_part = jax.grad(quick_in_loops(loss), has_aux=True)

    def accumulated(params, model_state, key, images, labels):
        """The gradient of the mean over the whole batch, part by part."""
        if config.accumulate == 1:
            return gradient(params, model_state, key, images, labels)
        parts = [part.reshape(config.accumulate, -1, *part.shape[1:]) for part in (images, labels)]

        def add(carry, part):
            total, sums, model_state = carry
            index, images, labels = part
            grads, (*more, model_state) = gradient_of_part(
                params, model_state, jax.random.fold_in(key, index), images, labels
            )
            total = jax.tree.map(lambda a, b: a + b / config.accumulate, total, grads)
            return (total, jax.tree.map(jnp.add, sums, more), model_state), None

        start = (jax.tree.map(jnp.zeros_like, params), [0.0, 0.0, 0.0], model_state)
        (grads, sums, model_state), _ = jax.lax.scan(
            add, start, (jnp.arange(config.accumulate), *parts)
        )
        return grads, (*sums, model_state)

    def step(state: TrainState, images: Array, labels: Array) -> TrainState:
        position = state.step % steps_per_epoch
        key = jax.random.fold_in(keys(state.key)["step"], state.step)
        grads, (losses, correct, count, model_state) = accumulated(
            state.params, state.model_state, key, images, labels
        )
        if labels.ndim > 1:  # the mean over positions with a class alone
            share = jnp.maximum(count / config.batch_size, jnp.finfo(jnp.float32).tiny)
            grads = jax.tree.map(lambda leaf: leaf / share, grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            ema = optax.incremental_update(params, ema, 1 - config.ema)
        # The sums of the epoch before are dropped at its successor's first step, not at its end, so
        # that they can still be read there.
        sums = jax.tree.map(
            lambda old, zero: jnp.where(position == 0, zero, old), state.sums, no_sums()
        )
        new = {"loss": losses, "correct": correct, "count": count}
        return TrainState(
            step=state.step + 1,
            key=state.key,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            ema=ema,
            sums=jax.tree.map(jnp.add, sums, new),
        )

    return step


def make_evaluation(
    config: TrainConfig, *, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[dict[str, Any], Array, Array, Array], tuple[Array, ...]]:
    """The function `(variables, images, labels, there) -> (sum of losses, right answers, count)`.

    Of label maps all are means over positions, and the sums of `overlap_sums` follow. Images that
    are not `there` do not count, nor do positions without a class.
    """

    def evaluate(variables, images, labels, there):
        x = jnp.asarray(normalise(images, mean=mean, std=std))
        logits = apply_network(model, variables, x, precision=config.precision, train=False)
        said = logits.argmax(-1)
        void = VOID if labels.ndim > 1 else None
        losses = per_image(cross_entropy(logits, labels, void=void))
        each = losses, per_image(said == labels), counted(labels)
        sums = [(values * there).sum() for values in each]
        return (*sums, *overlap_sums(said, labels, there, classes=logits.shape[-1]))

    return evaluate
