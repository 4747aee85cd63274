"""Batches distorted at random: right distribution, one distortion an image, pure and keyed."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import augment, shifts

KEY = jax.random.key(3)
ALL = {
    "translate": augment.translate,
    "subpixel": functools.partial(augment.translate, subpixel=True),
    "affine": augment.affine,
    "elastic": augment.elastic,
    "crop": augment.crop,
    "flip": augment.flip,
}


@pytest.fixture(scope="module")
def images():
    batch = np.random.default_rng(0).uniform(size=(6, 12, 12, 2))
    return jnp.asarray(np.repeat(batch[:1], 6, 0), jnp.float32)


@pytest.mark.parametrize("name", ALL)
def test_pure_keyed_and_different_for_each_image(name, images):
    distort = ALL[name]
    out = distort(KEY, images)
    chex.assert_equal_shape([out, images])
    chex.assert_tree_all_finite(out)
    chex.assert_trees_all_close(jax.jit(distort)(KEY, images), out, atol=1e-5)
    assert not np.allclose(out, distort(jax.random.key(4), images))
    # the same picture six times: not the same distortion six times
    assert any(not np.allclose(out[0], other) for other in out[1:])


@pytest.mark.parametrize("name", ALL)
def test_an_images_distortion_does_not_depend_on_the_others(name, images):
    others = images.at[1:].multiply(2.0)
    np.testing.assert_allclose(ALL[name](KEY, images)[0], ALL[name](KEY, others)[0], atol=1e-6)


def dots(count, size=9):
    return jnp.zeros((count, size, size, 1)).at[:, size // 2, size // 2].set(1.0)


def positions(out):
    flat = np.asarray(out).reshape(len(out), -1).argmax(1)
    return np.stack(np.unravel_index(flat, out.shape[1:3]), 1)


def test_shifts_are_uniform_over_the_square():
    at = positions(augment.translate(KEY, dots(4000), max_shift=1)) - 4
    kinds, counts = np.unique(at, axis=0, return_counts=True)
    assert len(kinds) == 9
    assert np.abs(kinds).max() == 1
    # standard deviation of each count is about 20
    assert np.abs(counts - 4000 / 9).max() < 90


def test_circular_shifts_reach_every_position():
    at = positions(augment.translate(KEY, dots(3000, 5), max_shift=None, mode="wrap"))
    _, counts = np.unique(at, axis=0, return_counts=True)
    assert len(counts) == 25
    assert np.abs(counts - 120).max() < 50


def test_translate_moves_as_shifts_do_and_fills_as_asked(images):
    for mode in ("constant", "edge"):
        out = augment.translate(KEY, images, max_shift=2, mode=mode)
        for image in out:
            candidates = [
                shifts.translate(images[0], (a, b), axes=(0, 1), mode=mode)
                for a in range(-2, 3)
                for b in range(-2, 3)
            ]
            assert any(bool((image == c).all()) for c in candidates)


def test_subpixel_shifts_keep_the_centre_of_mass_moving_uniformly():
    out = np.asarray(augment.translate(KEY, dots(2000), max_shift=2, subpixel=True))[..., 0]
    np.testing.assert_allclose(out.sum((1, 2)), 1.0, atol=1e-5)
    rows = (out.sum(2) * (np.arange(9) - 4)).sum(1)
    assert np.abs(rows).max() <= 2
    np.testing.assert_allclose(rows.std(), 2 / np.sqrt(3), rtol=0.06)


def test_rotation_keeps_the_distance_to_the_centre():
    ring = jnp.zeros((200, 21, 21, 1)).at[:, 2, 10].set(1.0)
    out = np.asarray(augment.affine(KEY, ring, rotation=90.0, scaling=0.0, shear=0.0))[..., 0]
    grid = np.indices((21, 21)) - 10
    centre = (out[:, None] * grid).sum((2, 3)) / out.sum((1, 2))[:, None]
    np.testing.assert_allclose(np.linalg.norm(centre, axis=1), 8.0, atol=0.35)
    angles = np.degrees(np.arctan2(centre[:, 1], -centre[:, 0]))
    assert -91 < angles.min() < -70
    assert 70 < angles.max() < 91


def test_scaling_changes_the_area_within_bounds():
    square = jnp.zeros((200, 40, 40, 1)).at[:, 12:28, 12:28].set(1.0)
    out = np.asarray(augment.affine(KEY, square, rotation=0.0, scaling=0.2, shear=0.0))
    ratio = out.sum((1, 2, 3)) / 256
    assert 0.8**2 - 0.05 < ratio.min() < 0.75
    assert 1.3 < ratio.max() < 1.2**2 + 0.05


def test_shear_moves_rows_in_proportion_to_their_height():
    bar = jnp.zeros((100, 21, 21, 1)).at[:, :, 10].set(1.0)
    out = np.asarray(augment.affine(KEY, bar, rotation=0.0, scaling=0.0, shear=0.3))[..., 0]
    columns = (out * np.arange(21)).sum(2) / np.maximum(out.sum(2), 1e-9)
    slope = (columns[:, 15] - columns[:, 5]) / 10
    assert np.abs(slope).max() <= 0.3 + 0.02
    assert np.abs(slope).max() > 0.2
    np.testing.assert_allclose(columns[:, 10], 10.0, atol=1e-4)  # about the centre


def test_elastic_distorts_as_its_field_says(images):
    key = jax.random.split(KEY, 6)[0]
    field = augment.elastic_field(key, (12, 12), alpha=20.0, sigma=2.0)
    expected = augment.warp(images[0], field)
    out = augment.elastic(KEY, images, alpha=20.0, sigma=2.0)[0]
    chex.assert_trees_all_close(out, expected, atol=1e-5)


def test_flip_mirrors_with_its_probability():
    images = jnp.broadcast_to(jnp.arange(4.0).reshape(1, 1, 4, 1), (2000, 1, 4, 1))
    flipped = np.asarray(augment.flip(KEY, images, probability=0.25))[:, 0, 0, 0] == 3
    assert abs(flipped.mean() - 0.25) < 0.04
    chex.assert_trees_all_equal(augment.flip(KEY, images, probability=0.0), images)


def test_crop_is_translation_by_up_to_the_padding(images):
    expected = augment.translate(KEY, images, max_shift=3, mode="reflect")
    chex.assert_trees_all_equal(augment.crop(KEY, images, padding=3, mode="reflect"), expected)


def test_compose_applies_in_order_on_keys_of_their_own(images):
    both = augment.compose(augment.translate, augment.flip)(KEY, images)
    moved = augment.translate(jax.random.fold_in(KEY, 0), images)
    chex.assert_trees_all_equal(both, augment.flip(jax.random.fold_in(KEY, 1), moved))
    chex.assert_trees_all_equal(augment.compose()(KEY, images), images)


def test_each_axis_has_its_own_reach():
    at = positions(augment.translate(KEY, dots(400), max_shift=(0, 3))) - 4
    assert set(at[:, 0]) == {0}
    assert set(at[:, 1]) == set(range(-3, 4))
    at = positions(augment.crop(KEY, dots(400), padding=(2, 0), mode="edge")) - 4
    assert set(at[:, 0]) == set(range(-2, 3))
    assert set(at[:, 1]) == {0}
    out = np.asarray(augment.translate(KEY, dots(50), max_shift=(0.5, 0), subpixel=True))[..., 0]
    np.testing.assert_allclose(out.sum((1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(out[:, 3:6, 4].sum(1), 1, atol=1e-5)
    moved = augment.affine(KEY, dots(50), rotation=0, scaling=0, shear=0, max_shift=(0, 1.5))
    np.testing.assert_allclose(np.asarray(moved)[:, 4, 2:7, 0].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(("shape", "axes"), [((6, 16, 2), (1,)), ((6, 5, 6, 7, 2), (1, 2, 3))])
def test_signals_and_volumes_move_along_their_spatial_axes(shape, axes):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    out = np.asarray(augment.translate(KEY, x, max_shift=1, mode="wrap", axes=axes))
    for before, after in zip(np.asarray(x), out, strict=True):
        reaches = np.ndindex((3,) * len(axes))
        moves = [tuple(r - 1 for r in reach) for reach in reaches]
        spatial = tuple(range(len(axes)))
        assert any(np.array_equal(after, np.roll(before, move, spatial)) for move in moves)
    assert not np.array_equal(out, x)
    kept = augment.crop(KEY, x, padding=1, mode="wrap", axes=axes)
    np.testing.assert_array_equal(kept, out)


@pytest.mark.parametrize("shape", [(12, 12, 2), (12, 12), (2, 5, 6, 7, 1), ()])
@pytest.mark.parametrize("name", ALL)
def test_other_layouts_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"images have shape .* allowed is \(n, h, w, c\)"):
        ALL[name](KEY, jnp.zeros(shape))


@pytest.mark.parametrize("name", ["translate", "crop", "flip"])
def test_what_only_moves_keeps_the_type(name, images):
    whole = (images * 255).astype(jnp.uint8)
    moved = ALL[name](KEY, whole)
    assert moved.dtype == jnp.uint8
    np.testing.assert_array_equal(moved, ALL[name](KEY, whole.astype(jnp.float32)))


@pytest.mark.parametrize("key", [0, None, jax.random.split(jax.random.key(0))])
def test_a_key_is_one_key(key, images):
    with pytest.raises(ValueError, match=r"key is a .*; allowed is one key"):
        augment.flip(key, images)
    legacy = augment.flip(jax.random.PRNGKey(3), images)
    np.testing.assert_array_equal(legacy, augment.flip(KEY, images))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (functools.partial(augment.translate, max_shift=0.1), "max_shift is 0.1; allowed are a wh"),
        (functools.partial(augment.translate, max_shift=2.9), "max_shift is 2.9; allowed are a wh"),
        (functools.partial(augment.translate, max_shift=(1, 2, 3)), "3 entries for 2 axes"),
        (
            functools.partial(augment.translate, max_shift=13),
            "max_shift is 13, beyond images of",
        ),
        (functools.partial(augment.crop, padding=(0, 13)), r"padding is \(0, 13\), beyond"),
        (functools.partial(augment.crop, padding=0.125), "padding is 0.125; allowed are a whole"),
        (functools.partial(augment.crop, padding=None, mode="wrap"), "padding is None; allowed"),
        (
            functools.partial(augment.affine, rotation=np.nan),
            "rotation is nan; allowed are finite numbers",
        ),
        (
            functools.partial(augment.affine, shear=np.inf),
            "shear is inf; allowed are finite numbers",
        ),
        (functools.partial(augment.affine, max_shift=(1, 2, 3)), "3 entries for 2 axes"),
        (
            functools.partial(augment.elastic, sigma=np.inf),
            "sigma is inf; allowed are finite numbers",
        ),
        (
            functools.partial(augment.flip, probability=np.nan),
            "probability is nan; allowed are finite numbers",
        ),
        (functools.partial(augment.translate, max_shift=-1), "max_shift is -1"),
        (functools.partial(augment.translate, max_shift=None), "needs mode 'wrap'"),
        (functools.partial(augment.translate, subpixel=True, mode="edge"), "subpixel shifts need"),
        (functools.partial(augment.affine, scaling=1.0), "scaling is 1"),
        (functools.partial(augment.elastic, sigma=-1.0), "sigma must be positive"),
        (functools.partial(augment.crop, padding=-1), "padding is -1; allowed"),
        (functools.partial(augment.flip, probability=2.0), "probability is 2"),
    ],
)
def test_wrong_options_are_refused(call, message, images):
    with pytest.raises(ValueError, match=message):
        call(KEY, images)
