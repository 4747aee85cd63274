"""Positions that are moved, cut, joined, regrouped and indexed, read at every shift."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.symmetry.shifted import (
    assert_same_gradient,
    assert_states,
    drawn,
    states_when_right,
    walked,
)

pytestmark = pytest.mark.usefixtures("x64")

EVERY = "1,1 | P2 W6 W4 P3"
LIST = np.array([2, 0, 1])


def test_slices_and_rolls(x):
    cases = {
        "roll": (lambda x: jnp.roll(x, (1, -2), (1, 2)), EVERY),
        "part": (lambda x: x[:, 1:5, 2:], "1,1 | P2 W4 W2 P3"),
        "stride": (lambda x: x[:, 1::2, ::4], "2,4 | P2 W3 1 P3"),
        "strides in a row": (lambda x: x[:, ::2][:, 1::3], "6,1 | P2 1 W4 P3"),
        "a stride that does not divide": (lambda x: x[:, ::4], "6,1 | P2 P2 W4 P3"),
        "a stride after zeros in between": (
            lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 1, 1), (0, 0, 0), (0, 0, 0)))[:, ::4],
            "2,1 | P2 W3 W4 P3",
        ),
        "one position": (lambda x: x[:, 3], "6,1 | P2 W4 P3"),
        "split": (lambda x: jnp.split(x, 2, axis=1)[1], "1,1 | P2 W3 W4 P3"),
        "still dimensions": (lambda x: x[:1, ..., 1:], "1,1 | 1 W6 W4 P2"),
        "of what is the same everywhere": (
            lambda x: jnp.broadcast_to(x[:, :1, :1].mean(), (6, 4))[1:3].sum() + x,
            "6,4 | P2 P6 P4 P3",
        ),
    }
    assert_states(cases, x)


def test_rolls_of_merged_dimensions(x):
    cases = {
        "by whole channels": (
            lambda x: jnp.roll(x.reshape(2, 6, 12), 3, 2),
            "1,1 | P2 W6 W4*P3",
        ),
        "by whole rows": (lambda x: jnp.roll(x.reshape(2, 24, 3), 8, 1), "1,1 | P2 W6*W4 P3"),
        "of a coarse map": (
            lambda x: jnp.roll(x[:, ::2].reshape(2, 12, 3), -4, 1),
            "2,1 | P2 W3*W4 P3",
        ),
        "padded by whole rows": (
            lambda x: jnp.pad(x.reshape(2, 24, 3), ((0, 0), (4, 8), (0, 0)), mode="wrap"),
            "1,1 | P2 W9*W4 P3",
        ),
        "by a channel": (lambda x: jnp.roll(x.reshape(2, 6, 12), 1, 2), "1,1 | P2 W6 W12/3"),
        "by a position": (lambda x: jnp.roll(x.reshape(2, 24, 3), 1, 1), "6,4 | P2 P24 P3"),
    }
    assert_states(cases, x)


def test_a_single_position_that_moves_is_not_repeated(x):
    cases = {
        "tiled": (lambda x: jnp.tile(x[:, :1], (1, 3, 1, 1)), "6,1 | P2 U3 W4 P3"),
        "empty": (lambda x: jnp.zeros((0,)) + x.sum() * jnp.zeros((0,)), "1,1 | P0"),
    }
    assert_states(cases, x)


def test_zeros_in_between(x):
    def pad(fill, *config):
        return lambda x: lax.pad(x, fill(x), ((0, 0, 0), *config, (0, 0, 0)))

    cases = {
        "constant": (pad(lambda x: 0.5, (0, 1, 1), (2, 1, 2)), "1,1 | P2 W12/2 W13/3 P3"),
        "the ends cut": (pad(lambda x: 0.0, (-1, -2, 1), (0, 0, 0)), "1,1 | P2 W8/2 W4 P3"),
        "a fill made of the input": (
            pad(lambda x: x[:, ::2].mean(), (0, 1, 1), (0, 0, 0)),
            "2,1 | P2 W12/4 W4 P3",
        ),
        "a fill that breaks the other axis": (
            pad(lambda x: x[:, :, 0].mean(), (0, 1, 1), (0, 0, 0)),
            "1,4 | P2 W12/2 P4 P3",
        ),
        "beyond the ends": (pad(lambda x: 0.0, (2, 0, 1), (0, 0, 0)), "6,1 | P2 P13 W4 P3"),
    }
    assert_states(cases, x)


def test_regrouped_dimensions(x):
    def to_depth(x):
        return x.reshape(2, 3, 2, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 3, 2, 12)

    cases = {
        "transpose": (lambda x: x.transpose(3, 2, 0, 1), "1,1 | P3 W4 P2 W6"),
        "tokens": (lambda x: x.reshape(2, 24, 3), "1,1 | P2 W6*W4 P3"),
        "tokens and back": (lambda x: x.reshape(2, 24, 3).reshape(2, 6, 4, 3), EVERY),
        "flat": (lambda x: x.reshape(2, 72), "1,1 | P2 W6*W4*P3"),
        "flat in another order": (
            lambda x: lax.reshape(x, (2, 72), dimensions=(0, 2, 3, 1)),
            "1,1 | P2 W4*P3*W6",
        ),
        "space to depth": (to_depth, "2,2 | P2 W3 W2 P2*P2*P3"),
        "split at odd places": (
            lambda x: jnp.roll(x, 1, 1)[:, :4].reshape(2, 2, 2, 4, 3),
            "2,1 | P2 W2 P2 W4 P3",
        ),
        "a split that does not divide": (
            lambda x: jnp.concatenate([x[:, 4:], x], 1).reshape(2, 2, 4, 4, 3),
            "6,1 | P2 P2 P4 W4 P3",
        ),
        "cut across positions": (lambda x: x.reshape(2, 9, 8), "6,4 | P2 P9 P8"),
        "channels split": (lambda x: x[..., :2].reshape(2, 6, 4, 1, 2), "1,1 | P2 W6 W4 1 P2"),
        "new dimensions": (lambda x: x[:, None, ..., None], "1,1 | P2 1 W6 W4 P3 1"),
        "stretched": (
            lambda x: jnp.broadcast_to(x[:, :, None], (2, 6, 5, 4, 3)),
            "1,1 | P2 W6 U5 W4 P3",
        ),
        "stretched and merged": (lambda x: jnp.repeat(x, 2, axis=1), "1,1 | P2 W6*U2 W4 P3"),
        "the stretched part sliced": (
            lambda x: jnp.repeat(x, 2, axis=1)[:, 1:4],
            "1,1 | P2 W3/2 W4 P3",
        ),
        "tokens sliced in rows": (lambda x: x.reshape(2, 24, 3)[:, 4:12], "1,1 | P2 W2*W4 P3"),
        "tokens sliced across": (lambda x: x.reshape(2, 24, 3)[:, 1:12], "6,4 | P2 P11 P3"),
    }
    assert_states(cases, x)


def test_reversed_positions(x):
    cases = {
        "reversed": (lambda x: jnp.flip(x, 1), "1,1 | P2 W6/-1 W4 P3"),
        "twice": (lambda x: jnp.flip(jnp.sin(jnp.flip(x, (1, 2))), (1, 2)), EVERY),
        "part, then a stride": (lambda x: jnp.flip(x[:, :5], 1)[:, ::3], "3,1 | P2 W2/-1 W4 P3"),
        "tokens": (lambda x: jnp.flip(x.reshape(2, 24, 3), 1), "1,1 | P2 W6/-1*W4/-1 P3"),
        "reduced": (lambda x: jnp.flip(x, 1)[:, ::2].mean((1, 2)), "2,1 | P2 P3"),
        "flattened": (
            lambda x: jnp.flip(x, 1).reshape(2, 72) @ drawn(72, 2),
            "6,4 | P2 P2",
        ),
        "meets what is not reversed": (lambda x: x + jnp.flip(x, 2), "1,2 | P2 W6 W4/2 P3"),
        "of a size that is odd": (
            lambda x: x[:, ::2] + jnp.flip(x[:, ::2], 1),
            "6,1 | P2 P3 W4 P3",
        ),
        "in every order": (
            lambda x: jnp.maximum(x, jnp.flip(x, (1, 2))).max((1, 2)),
            "3,2 | P2 P3",
        ),
        "contracted": (
            lambda x: jnp.einsum("bhwc,bhwd->bwcd", x, jnp.flip(x, 1)),
            "3,1 | P2 W4 P3 P3",
        ),
        "channels": (lambda x: jnp.flip(x, (0, 3)), EVERY),
    }
    assert_states(cases, x)


def test_known_indices(x):
    cases = {
        "take": (lambda x: x[..., LIST], EVERY),
        "take along positions": (lambda x: x[:, (np.arange(6) + 2) % 6], EVERY),
        "take every second": (lambda x: x[:, np.arange(1, 6, 2)], "2,1 | P2 W3 W4 P3"),
        "repeat": (lambda x: x[:, np.repeat(np.arange(6), 2)], "1,1 | P2 W6*U2 W4 P3"),
        "another order": (lambda x: x[:, np.array([0, 2, 1, 3, 4, 5])], "6,1 | P2 P6 W4 P3"),
        "one": (lambda x: x[..., jnp.array(-1)], "1,1 | P2 W6 W4"),
        "a block": (
            lambda x: lax.dynamic_slice(x, (0, 1, 9, 1), (2, 5, 2, 2)),
            "1,1 | P2 W5 W2 P2",
        ),
        "median": (lambda x: jnp.median(x, axis=3), "1,1 | P2 W6 W4"),
        "resized": (
            lambda x: jax.image.resize(x, (2, 12, 8, 3), "nearest"),
            "1,1 | P2 W6*U2 W4*U2 P3",
        ),
    }
    assert_states(cases, x)


def test_updates_at_known_places(x):
    cases = {
        "set": (lambda x: x.at[..., 0].set(1.0), EVERY),
        "set a block": (lambda x: x.at[1, :, :, 1].set(x[0, :, :, 0]), EVERY),
        "add": (lambda x: x.at[..., 1:].add(x[..., :2] ** 2), EVERY),
        "multiply": (lambda x: x.at[..., 2].multiply(x[..., 0]), EVERY),
        "dynamic": (
            lambda x: lax.dynamic_update_slice(x, x[:1, :, :, :1], (1, 0, 0, 7)),
            EVERY,
        ),
        "at a position": (lambda x: x.at[:, 2].set(0.0), "6,1 | P2 P6 W4 P3"),
        "everywhere": (lambda x: lax.dynamic_update_slice(x, x * 2, (0, 0, 0, 0)), EVERY),
    }
    assert_states(cases, x)


def test_indices_that_the_data_gives(x):
    def brightest(x):
        return jnp.argmax(x.mean((0, 3)).reshape(24)) % 6

    cases = {
        "gather": (lambda x: x[:, brightest(x)], "6,4 | P2 P4 P3"),
        "slice": (lambda x: lax.dynamic_slice_in_dim(x, brightest(x), 2, 1), "6,4 | P2 P2 P4 P3"),
        "update": (
            lambda x: lax.dynamic_update_slice_in_dim(x, x[:, :2], brightest(x), 1),
            "6,4 | P2 P6 P4 P3",
        ),
        "scatter": (lambda x: x.at[:, brightest(x)].set(0.0), "6,4 | P2 P6 P4 P3"),
    }
    assert_states(cases, x)


def steps(x):
    return 1 + jnp.argmax(x.mean((0, 1, 2)))


def steps_of_a_component(x):
    return 1 + jnp.argmax(x[:, ::2].mean((0, 1, 2)))


def test_rolls_by_a_number_that_moves_with_nothing(x):
    cases = {
        "ahead": (lambda x: jnp.roll(x, steps(x), 1), EVERY),
        "back, along both axes": (lambda x: jnp.roll(x, (-steps(x), steps(x)), (1, 2)), EVERY),
        "by another number for each coset": (
            lambda x: jnp.roll(x, steps_of_a_component(x), 2),
            "2,1 | P2 W6/2 W4 P3",
        ),
        "a slice": (
            lambda x: lax.dynamic_slice_in_dim(x, steps(x), 3, 1),
            "1,1 | P2 W3 W4 P3",
        ),
        "a slice that is moved into bounds": (
            lambda x: lax.dynamic_slice_in_dim(x, 4 + steps(x).astype(jnp.int8), 3, 1),
            "1,1 | P2 W3 W4 P3",
        ),
        "of a component": (
            lambda x: jnp.roll(x[:, ::2], steps_of_a_component(x), 1),
            "2,1 | P2 W3 W4 P3",
        ),
        "channels cut too": (
            lambda x: lax.dynamic_slice(x, (0, steps(x), 0, steps(x) - 1), (2, 5, 4, 2)),
            "1,1 | P2 W5 W4 P2",
        ),
        "reversed": (
            lambda x: jnp.roll(x[:, ::-1], steps_of_a_component(x), 1),
            "2,1 | P2 W6/-2 W4 P3",
        ),
        "by a number of a place": (
            lambda x: jnp.roll(x, (x[0, 0, 0, 0] > 0).astype(int), 1),
            "6,4 | P2 P6 P4 P3",
        ),
        "of merged dimensions": (
            lambda x: jnp.roll(x.reshape(2, 24, 3), steps(x), 1),
            "6,4 | P2 P24 P3",
        ),
    }
    assert_states(cases, x)


def test_gradients_of_rolls_by_a_number_that_the_data_gives(x):
    def fun(x):
        return [
            jnp.roll(x, -steps_of_a_component(x), (1, 2)) ** 2,
            lax.dynamic_slice_in_dim(jnp.sin(x), 4 + steps(x), 2, 1),
        ]

    assert_same_gradient(fun, x)


def test_numbers_along_a_dimension(x):
    cases = {
        "channels": (lambda x: x * lax.broadcasted_iota(x.dtype, x.shape, 3), EVERY),
        "rows": (lambda x: x * lax.broadcasted_iota(x.dtype, x.shape, 1), "6,1 | P2 P6 W4 P3"),
        "alone": (lambda x: lax.broadcasted_iota(jnp.int32, (5, 3), 0), "1,1 | P5 U3"),
    }
    assert_states(cases, x)


def test_outputs_that_are_literals_inputs_or_repeats(x):
    def fun(x):
        y = jnp.sin(x)
        return y, 2.5, x, y, jnp.zeros((0, 3)), jnp.arange(3)

    assert states_when_right(fun, x) == [EVERY, "1,1 | ", EVERY, EVERY, "1,1 | P0 P3", "1,1 | P3"]


def test_constants_captured_by_an_inner_jit(x):
    weights, index = drawn(3), jnp.asarray(LIST)

    def fun(x):
        return jax.jit(lambda y: jax.jit(lambda z: z[..., index] * weights)(y) + x)(x)

    assert states_when_right(fun, x) == [EVERY]


def test_only_the_cosets_asked_for():
    result = walked(
        lambda x: jnp.roll(x, 1, 1)[:, ::2, ::2].reshape(3, 2),
        drawn(1, 6, 4, 1),
        shifts=((1, 4), (2,)),
    )
    np.testing.assert_array_equal(result.outputs[0].got, result.outputs[0].want)
    assert result.states == ["2,2 | W3 W2"]
