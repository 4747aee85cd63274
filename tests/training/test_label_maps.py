"""Training where each pixel has a class: labels move along, scores are those of positions."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import augment, data
from jaxinv.data.source import VOID
from jaxinv.models.unet import UNet
from jaxinv.training import TrainConfig, train_and_evaluate
from jaxinv.training.label_maps import check_augment, distorted, mean_iou, overlap_sums
from jaxinv.training.losses import cross_entropy
from jaxinv.training.optimizers import make_optimizer
from jaxinv.training.state import initial_state
from jaxinv.training.step import make_evaluation, make_step

R = np.random.default_rng(0)
IMAGES = R.integers(0, 256, (12, 4, 4, 1)).astype(np.uint8)
LABELS = R.integers(0, 3, (12, 4, 4)).astype(np.int32)
SCALE = {"mean": (0.0,), "std": (0.5,)}
NET = UNet((2, 3), num_classes=3)


@pytest.mark.parametrize(
    "distort",
    [
        functools.partial(augment.translate, max_shift=2, mode="wrap"),
        functools.partial(augment.crop, padding=1, mode="edge"),
        augment.flip,
    ],
)
def test_labels_move_with_their_images(distort):
    images = jnp.asarray(LABELS[..., None], jnp.float32)
    moved, labels = distorted(distort, jax.random.key(1), images, jnp.asarray(LABELS))
    np.testing.assert_array_equal(moved[..., 0], labels)
    assert labels.dtype == LABELS.dtype
    assert not np.array_equal(labels, LABELS)
    np.testing.assert_array_equal(moved, distort(jax.random.key(1), images))


@pytest.mark.parametrize(
    "distort",
    [
        functools.partial(augment.translate, max_shift=3, mode="constant"),
        functools.partial(augment.crop, padding=2, mode="constant"),
    ],
)
def test_zeros_that_enter_have_no_class(distort):
    images, labels = jnp.ones((12, 4, 4, 1)), jnp.asarray(LABELS).at[0, 1].set(VOID)
    moved, got = distorted(distort, jax.random.key(1), images, labels)
    entered = np.asarray(moved[..., 0]) == 0
    assert entered.any()
    assert (np.asarray(got)[entered] == VOID).all()
    assert not (np.asarray(got)[1:][~entered[1:]] == VOID).any()
    # The others are those of the image, moved by the shift that its zeros tell.
    for before, after in zip(np.asarray(labels), np.asarray(got), strict=True):
        wide = np.pad(before, 3, constant_values=VOID)
        windows = [wide[a : a + 4, b : b + 4] for a, b in np.ndindex(7, 7)]
        assert any((after == window).all() for window in windows)


class Pixelwise(nn.Module):
    """Logits of each pixel from its value alone."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(3)(x)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_void_positions_do_not_count(accumulate):
    """The gradient is that of the mean over all positions with a class, in whatever parts."""
    config = TrainConfig(optimizer="sgd", momentum=0.0, learning_rate=0.1, schedule="constant",
                         batch_size=6, accumulate=accumulate)  # fmt: skip
    net = Pixelwise()
    labels = np.where(R.random(LABELS.shape) < 0.5, VOID, LABELS)
    labels[0], labels[1, 1:] = VOID, VOID
    optimizer = make_optimizer(config, steps_per_epoch=2)
    state = initial_state(
        jax.random.key(0), model=net, optimizer=optimizer, shape=(4, 4, 1), ema=False, maps=True
    )
    step = make_step(config, model=net, optimizer=optimizer, steps_per_epoch=2, **SCALE)
    stepped = jax.jit(step)(state, jnp.asarray(IMAGES[:6]), jnp.asarray(labels[:6]))

    def loss(params):
        logits = net.apply({"params": params}, data.normalise(jnp.asarray(IMAGES[:6]), **SCALE))
        counted = labels[:6] != VOID
        return cross_entropy(logits[counted], labels[:6][counted]).mean()

    value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), stepped.params, expected)
    sums = stepped.sums
    np.testing.assert_allclose(sums["loss"] / sums["count"], value, rtol=1e-5)

    evaluate = make_evaluation(config, model=net, **SCALE)
    there = jnp.ones(12, bool)
    found = jax.jit(evaluate)(state.variables, jnp.asarray(IMAGES), jnp.asarray(labels), there)
    losses, correct, count, both, either = map(np.asarray, found)
    logits = net.apply(state.variables, data.normalise(jnp.asarray(IMAGES), **SCALE))
    said, counted = np.asarray(logits.argmax(-1)), labels != VOID
    np.testing.assert_allclose(
        losses / count, cross_entropy(logits[counted], labels[counted]).mean(), rtol=1e-5
    )
    np.testing.assert_allclose(correct / count, (said == labels)[counted].mean(), rtol=1e-5)
    for k in range(3):
        assert both[k] == ((said == k) & (labels == k)).sum()
        assert either[k] == (((said == k) | (labels == k)) & counted).sum()


def test_arrays_with_void_labels_are_trained_on():
    labels = LABELS.astype(np.uint8)
    labels[:, :2] = 255
    given = {"model": "unet", "model_options": {"widths": (2,)}, "epochs": 1, "batch_size": 4}
    config = TrainConfig(**given, void=255, test_split="train[:8]")
    result = train_and_evaluate(config, data=(IMAGES, labels), show=False)
    assert result.data.num_classes == 3
    assert 0 < result.metrics["test_iou"] <= 1
    with pytest.raises(ValueError, match="void is 255; a Source holds -1"):
        train_and_evaluate(config, data=data.Dataset.of(IMAGES, LABELS), show=False)
    with pytest.raises(ValueError, match="void is 255; it is for label maps"):
        train_and_evaluate(config, data=(IMAGES, LABELS[:, 0, 0]), show=False)
    with pytest.raises(ValueError, match="void means nothing for digits"):
        train_and_evaluate(TrainConfig(void=255), show=False)


def test_a_step_takes_the_mean_over_positions():
    config = TrainConfig(optimizer="sgd", momentum=0.0, learning_rate=0.1, schedule="constant",
                         batch_size=6)  # fmt: skip
    optimizer = make_optimizer(config, steps_per_epoch=2)
    state = initial_state(
        jax.random.key(0), model=NET, optimizer=optimizer, shape=(4, 4, 1), ema=False, maps=True
    )
    step = make_step(config, model=NET, optimizer=optimizer, steps_per_epoch=2, **SCALE)
    stepped = step(state, jnp.asarray(IMAGES[:6]), jnp.asarray(LABELS[:6]))

    def loss(params):
        logits = NET.apply({"params": params}, data.normalise(jnp.asarray(IMAGES[:6]), **SCALE))
        return cross_entropy(logits, LABELS[:6]).mean()

    value, grads = jax.value_and_grad(loss)(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), stepped.params, expected)
    np.testing.assert_allclose(stepped.sums["loss"], 6 * value, rtol=1e-5)

    evaluate = make_evaluation(config, model=NET, **SCALE)
    rows = np.arange(16).reshape(2, 8)
    sums = [
        evaluate(state.variables, jnp.asarray(IMAGES[r % 12]), jnp.asarray(LABELS[r % 12]), r < 12)
        for r in rows
    ]
    losses, correct, count, both, either = (sum(row) for row in zip(*sums, strict=True))
    assert count == 12
    logits = NET.apply(state.variables, data.normalise(jnp.asarray(IMAGES), **SCALE))
    said = np.asarray(logits.argmax(-1))
    np.testing.assert_allclose(losses, 12 * cross_entropy(logits, LABELS).mean(), rtol=1e-5)
    np.testing.assert_allclose(correct, 12 * (said == LABELS).mean(), rtol=1e-5)
    for k in range(3):
        assert both[k] == ((said == k) & (LABELS == k)).sum()  # noqa: SIM300
        assert either[k] == ((said == k) | (LABELS == k)).sum()  # noqa: SIM300


def test_mean_iou_leaves_out_what_is_nowhere():
    assert overlap_sums(jnp.zeros(3, int), jnp.zeros(3, int), jnp.ones(3, bool), classes=2) == []
    seeds = mean_iou(np.array([[1, 0], [2, 2]]), np.array([[2, 0], [2, 4]]))
    np.testing.assert_allclose(seeds, [0.5, 0.75])


@pytest.mark.parametrize("memory", ["2GiB", "1kB"])
def test_scenes_are_trained_on_and_streamed_alike(memory, tmp_path):
    config = TrainConfig(
        dataset="digits_scenes",
        train_split="train[:16]",
        test_split="test[:8]",
        model="unet",
        model_options={"widths": (2, 3)},
        epochs=1,
        batch_size=8,
        memory=memory,
        augment="translate",
        max_shift=2,
    )
    result = train_and_evaluate(config, tmp_path, show=False)
    assert result.data.label_maps
    assert {"test_loss", "test_accuracy", "test_iou"} <= result.metrics.keys()
    held = train_and_evaluate(TrainConfig(**{**config.to_dict(), "memory": "2GiB"}), show=False)
    assert result.metrics["test_iou"] == pytest.approx(held.metrics["test_iou"], rel=1e-4)


@pytest.mark.parametrize("changes", [{"augment": "elastic"}, {"augment": "orbit"},
                                     {"augment": "translate", "subpixel": True}])  # fmt: skip
def test_what_would_need_classes_between_classes_is_refused(changes):
    with pytest.raises(ValueError, match="allowed are translate, crop, flip, by whole pixels"):
        check_augment(TrainConfig(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "mlp"}, r"one vector of logits for each pixel"),
        (
            {"model": "unet", "model_options": {"padding": "VALID", "widths": (2,)}},
            "for each pixel",
        ),
        ({"canvas": 40}, "canvas means nothing for digits_scenes, where each pixel has a class"),
        ({"test_split": "valid"}, "data set 'digits_scenes' has no split 'valid'"),
        ({"dataset": "digits", "model": "unet"}, "one vector of logits for each image"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    config = TrainConfig(**{"dataset": "digits_scenes", "epochs": 1} | changes)
    with pytest.raises(ValueError, match=message):
        train_and_evaluate(config, show=False)
