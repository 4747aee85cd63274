"""Signals and weights with generic values, so that no symmetry holds by accident.

They are drawn by NumPy: JAX would compile its generator anew for each shape.
"""

import jax
import jax.numpy as jnp
import numpy as np


def signal(*shape, seed=0, dtype=jnp.float32):
    """Normal values of any shape."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def generic_variables(module, x, *, seed=1, dtype=jnp.float32):
    """Variables of a module for the input `x`: scales about one, all else small and random."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    random = np.random.default_rng(seed)

    def fill(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            values = random.uniform(0.5, 1.5, leaf.shape)
        else:
            fan_in = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 4
            values = random.normal(size=leaf.shape) / np.sqrt(fan_in)
        return jnp.asarray(values, dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def trained(module, variables, x, loss_of):
    """Variables after three steps of gradient descent on one batch, and the losses before each.

    Args:
      module: takes `train=`; its batch statistics move along.
      variables: to begin with.
      x: the batch.
      loss_of: maps the module's output to a number.
    """
    state = {k: v for k, v in variables.items() if k != "params"}

    def loss(params, state):
        y, state = module.apply(
            {"params": params, **state},
            x,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
        return loss_of(y), state

    @jax.jit
    def step(params, state):
        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params, state)
        return jax.tree.map(lambda p, g: p - 0.02 * g, params, grads), state, value

    params, losses = variables["params"], []
    for _ in range(3):
        params, state, value = step(params, state)
        losses.append(float(value))
    return {"params": params, **state}, losses
