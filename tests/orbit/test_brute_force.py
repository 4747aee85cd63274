"""The brute force equals a Python loop over translate, in every mode and under every transform."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.orbit import memory
from jaxinv.orbit.brute_force import every_shift
from jaxinv.shifts import crop_translate, translate

WEIGHTS = jax.random.normal(jax.random.key(0), (5 * 6 * 2, 3))
IMAGES = jax.random.normal(jax.random.key(1), (2, 5, 6, 2))


def dense(x, weights=WEIGHTS):
    """Reads fixed positions, so that no two shifts give the same."""
    return jnp.tanh(x.reshape(x.shape[0], -1) @ weights)


def assert_close(got, expected, **options):
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6, **options)


@pytest.mark.parametrize("chunk", [None, 1, 4, 30, 1000])
def test_all_circular_shifts_in_chunks_of_any_size(chunk):
    out = every_shift(dense, chunk=chunk)(IMAGES)
    assert out.shape == (5, 6, 2, 3)
    for t in np.ndindex(5, 6):
        assert_close(out[t], dense(translate(IMAGES, t)))


@pytest.mark.parametrize("chunk", [1, 4, 30])
def test_gradients_in_chunks_of_any_size(chunk):
    def loss(images):
        return jnp.sum(jnp.sin(every_shift(dense, chunk=chunk)(images)))

    def by_hand(images):
        outs = [dense(translate(images, t)) for t in np.ndindex(5, 6)]
        return jnp.sum(jnp.sin(jnp.stack(outs)))

    assert_close(jax.jit(jax.grad(loss))(IMAGES), jax.grad(by_hand)(IMAGES))


@pytest.mark.parametrize("mode", ["wrap", "constant", "edge", "reflect"])
def test_index_k_means_shift_k_minus_m(mode):
    out = every_shift(dense, mode=mode, max_shift=(2, 3))(IMAGES)
    assert out.shape == (5, 7, 2, 3)
    for k in np.ndindex(5, 7):
        shift = (k[0] - 2, k[1] - 3)
        assert_close(out[k], dense(translate(IMAGES, shift, mode=mode)))


def test_crop_reads_windows_of_the_larger_image():
    larger = jax.random.normal(jax.random.key(2), (2, 9, 8, 2))
    out = every_shift(dense, mode="crop", max_shift=(2, 1))(larger)
    assert out.shape == (5, 3, 2, 3)
    for k in np.ndindex(5, 3):
        shift = (k[0] - 2, k[1] - 1)
        assert_close(out[k], dense(crop_translate(larger, shift, size=(5, 6))))


@pytest.mark.parametrize("mode", ["wrap", "constant", "edge"])
def test_a_list_of_shifts_has_one_leading_axis(mode):
    shifts = [(7, -8), (0, 0), (-1, 2)]
    out = every_shift(dense, mode=mode, shifts=shifts)(IMAGES)
    assert out.shape == (3, 2, 3)
    for got, shift in zip(out, shifts, strict=True):
        assert_close(got, dense(translate(IMAGES, shift, mode=mode)))


@pytest.mark.parametrize("axes", [(0,), (-1,), (1, 0), (0, 1, 2)])
def test_signals_of_one_to_three_dimensions(axes):
    x = jax.random.normal(jax.random.key(3), (3, 4, 5))
    weights = jax.random.normal(jax.random.key(4), x.shape)
    out = every_shift(lambda x: jnp.vdot(x, weights), axes=axes)(x)
    assert out.shape == tuple(x.shape[a] for a in axes)
    for t in np.ndindex(*out.shape):
        assert_close(out[t], jnp.vdot(translate(x, t, axes=axes), weights))


def test_pytrees_go_in_and_out():
    def fun(batch, scale, named):
        logits = dense(batch["image"] * batch["mask"][0])
        return {"scores": logits * scale, "aux": (batch["image"][:, 0, 0], named), "none": None}

    batch = {"image": IMAGES, "mask": (jnp.abs(IMAGES) > 0.5,)}
    out = every_shift(fun)(batch, 2.0, named=jnp.arange(4))
    assert out["none"] is None
    assert out["aux"][1].shape == (5, 6, 4)
    for t in ((0, 0), (3, 5)):
        expected = fun(translate(batch, t), 2.0, jnp.arange(4))
        assert_close(out["scores"][t], expected["scores"])
        assert_close(out["aux"][0][t], expected["aux"][0])


@pytest.mark.parametrize("argnums", [(0, 2), (-1, 0), 1])
def test_chosen_arguments_move_together(argnums):
    def fun(a, b, c):
        return dense(a + 2 * b**2 - c)

    args = [IMAGES, IMAGES * 0.5, IMAGES[::-1]]
    out = every_shift(fun, argnums=argnums, axes=(2, 1))(*args)
    moving = {a % 3 for a in np.atleast_1d(argnums)}
    for t in ((0, 0), (4, 2)):
        moved = [translate(x, t, axes=(2, 1)) if i in moving else x for i, x in enumerate(args)]
        assert_close(out[t], fun(*moved))


def test_what_is_no_array_reaches_the_function_as_it_is():
    seen = []

    def fun(x, reduce, train, options=None, *, scale=1):
        seen.append((reduce, train, options, scale))
        assert train is True or train is False
        return getattr(jnp, reduce)(x) * scale

    at_shifts = every_shift(fun, axes=(0,))
    x = jnp.arange(3.0)
    np.testing.assert_array_equal(at_shifts(x, "sum", True, [1, "a"], scale=2), [6, 6, 6])
    np.testing.assert_array_equal(at_shifts(x, "max", False), [2, 2, 2])
    # Equal numbers of other types are other arguments: 1 is not True.
    at_shifts(x, "sum", True, 1)
    at_shifts(x, "sum", True, True)
    assert {type(options) for _, _, options, _ in seen} == {list, type(None), int, bool}
    before = len(seen)
    at_shifts(x + 1, "sum", True, 1)
    assert len(seen) == before  # compiled once


def test_unhashable_objects_are_passed_on():
    class Settings:
        __hash__ = None

        def __eq__(self, other):
            return True

    got = every_shift(lambda x, s: x * (3 if isinstance(s, Settings) else 0), axes=(0,))(
        np.arange(2), Settings()
    )
    np.testing.assert_array_equal(got, [[0, 3], [3, 0]])


def test_under_jit_grad_and_vmap():
    def loss(weights, x):
        return jnp.mean(every_shift(functools.partial(dense, weights=weights), chunk=7)(x) ** 2)

    def by_hand(weights, x):
        shifts = list(np.ndindex(5, 6))
        return sum(jnp.mean(dense(translate(x, t), weights) ** 2) for t in shifts) / len(shifts)

    got = jax.jit(jax.grad(loss, argnums=(0, 1)))(WEIGHTS, IMAGES)
    for a, b in zip(got, jax.grad(by_hand, argnums=(0, 1))(WEIGHTS, IMAGES), strict=True):
        assert_close(a, b)
    batched = jax.vmap(every_shift(dense, chunk=4))(jnp.stack([IMAGES, -IMAGES]))
    assert_close(batched[1], every_shift(dense)(-IMAGES))


@pytest.mark.parametrize("dtype", ["uint8", "bool", "bfloat16"])
def test_dtypes_of_inputs_are_kept(dtype):
    x = jnp.asarray(np.arange(6) % 3).astype(dtype)
    out = every_shift(lambda x: x, axes=(0,), mode="constant", max_shift=1)(x)
    assert out.dtype == x.dtype
    np.testing.assert_array_equal(out[0], translate(x, -1, axes=(0,), mode="constant"))


def test_integers_and_constants_as_outputs():
    out = every_shift(lambda x: (jnp.argmax(x), 7), axes=(0,))(jnp.array([0.0, 5.0, 1.0]))
    np.testing.assert_array_equal(out[0], [1, 2, 0])
    np.testing.assert_array_equal(out[1], [7, 7, 7])


@pytest.mark.parametrize(
    ("options", "args", "message"),
    [
        ({"axes": (1, 4)}, (IMAGES,), "axis 4 of axes .* out of range"),
        ({"axes": ()}, (IMAGES,), "axes is empty"),
        ({"axes": (1, 1)}, (IMAGES,), "names a dimension twice"),
        ({}, (jnp.zeros(()),), "no spatial axes"),
        ({}, (2.0,), "no spatial axes"),
        ({}, (None,), "holds no arrays"),
        ({}, ((IMAGES, IMAGES[:, 1:]),), r"differ in size along axes \(1, 2\)"),
        ({"argnums": 1}, (IMAGES,), r"argnums \(1,\) names argument 1 of a call with 1"),
        ({"argnums": ()}, (IMAGES,), "argnums is empty"),
        ({"argnums": (0, -1)}, (IMAGES,), "names an argument twice"),
        ({"argnums": 0.5}, (IMAGES,), "argnums is 0.5"),
        ({"mode": "zeros"}, (IMAGES,), "allowed are 'wrap', 'constant', 'edge', 'reflect', 'crop'"),
        ({"mode": "edge"}, (IMAGES,), "needs max_shift"),
        ({"mode": "reflect", "max_shift": 5}, (IMAGES,), "too large to reflect"),
        ({"mode": "crop", "max_shift": 3}, (IMAGES,), "leaves no window"),
        ({"shifts": [(1, 2, 3)]}, (IMAGES,), "3 entries for 2 axes"),
    ],
)
def test_wrong_use_is_a_value_error(options, args, message):
    with pytest.raises(ValueError, match=message) as raised:
        every_shift(lambda x: x, **options)(*args)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fun", "options", "message"),
    [("net", {}, "which cannot be called"), (dense, {"chunk": 0}, "chunk is 0")],
)
def test_wrong_transforms_are_value_errors(fun, options, message):
    with pytest.raises(ValueError, match=message):
        every_shift(fun, **options)


def test_chunk_follows_the_memory(monkeypatch):
    def large(t):
        return jnp.tanh(jnp.zeros((512, 512)) + t).sum()  # two arrays of 1 MiB in the largest step

    def small(t):
        return jnp.tanh(jnp.zeros((256, 256)) + t).sum()  # two of 0.25 MiB

    need, _ = memory.bytes_of_one_pass(large, 1.0)
    assert 2 * 2**20 <= need <= 2 * 2**20 + 16
    monkeypatch.setattr(memory.jax, "default_backend", lambda: "gpu")
    for free, count, expected in [(80, 784, 9), (80, 7, 7), (1, 784, 1), (80, 401, 8)]:
        monkeypatch.setattr(memory, "free_bytes", lambda free=free: free * 2**20 + 10000)
        assert memory.choose_chunk(large, 1.0, count) == pytest.approx(expected, abs=1)
        assert memory.choose_chunk(large, 1.0, count) * need <= max(need, 0.25 * free * 2**20 + 1e4)
    monkeypatch.setattr(memory.jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(memory, "free_bytes", lambda: 2**40)
    assert memory.choose_chunk(large, 1.0, 784) == 1
    assert memory.choose_chunk(small, 1.0, 784) in (2, 4)


def test_the_size_of_a_program_counts_inner_calls():
    inner = jax.jit(lambda x: jnp.exp(jnp.concatenate([x, x])).sum())
    assert memory.bytes_of_one_pass(inner, jnp.zeros(100, jnp.float32)) == (1600 + 4, 0)


def test_the_size_of_a_program_counts_what_changes():
    held = jnp.zeros(10_000, jnp.float32)

    def read(i):
        return jax.jit(jax.lax.dynamic_slice_in_dim, static_argnums=2)(held, i, 10) * 2

    assert memory.bytes_of_one_pass(read, 3) == ((10 + 10 + 10) * 4, 0)

    def grown(x):
        return jax.lax.fori_loop(0, 3, lambda _, c: (c[0] + held[:5], c[0] * 2), (x, held[:5]))[1]

    # The second part of what the loop carries comes from the first.
    assert memory.bytes_of_one_pass(grown, held[:5])[0] >= (5 + 5 + 5) * 4


def test_weights_are_read_once_for_several_shifts(monkeypatch):
    """Where they are larger than what the caches hold, so may the activations of a chunk be."""
    small, large = jnp.zeros((1024, 128)), jnp.zeros((1024, 4096))
    image, kernel = jnp.zeros((1, 1024, 256)), jnp.zeros((3, 256, 1))

    def layers(weights):
        def of_shift(t):
            one = jax.jit(jnp.dot)(image[0].T + t, weights).sum()  # 1 MiB and what comes out
            return one + jax.lax.conv_general_dilated(
                image + t, kernel, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC")
            )

        return of_shift

    sizes = [memory.bytes_of_one_pass(layers(weights), 1.0) for weights in (small, large)]
    assert [read for _, read in sizes] == [w.size * 4 + 3 * 256 * 4 for w in (small, large)]
    monkeypatch.setattr(memory.jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(memory, "free_bytes", lambda: 2**40)
    assert memory.choose_chunk(layers(small), 1.0, 64) == 1
    assert memory.choose_chunk(layers(large), 1.0, 64) == 2
    assert memory.choose_chunk(layers(large), 1.0, 1) == 1
