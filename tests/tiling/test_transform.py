"""`jaxinv.tiled`: under jit, grad and vmap, and from and to what is stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from tests.tiling.networks import conv, max_pool, normal, pyramid

pytestmark = pytest.mark.usefixtures("x64")


def net(params, x, *, gain=1.0):
    y = jnp.tanh(conv(x, 0, 2) * params["scale"] + params["shift"])
    return gain * conv(max_pool(y), 1, 2)


@pytest.fixture
def params():
    return {"scale": jnp.asarray(normal(1, 2)), "shift": jnp.asarray(normal(2, 2))}


@pytest.fixture
def x():
    return jnp.asarray(normal(3, 2, 27, 24, 2))


OPTIONS = {"argnums": 1, "tile": (12, 10)}


def same(mine, truth, atol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol), mine, truth)


def test_arguments_by_name_and_options_of_the_function(params, x):
    made = jaxinv.tiled(net, **OPTIONS)(params, x, gain=2.0)
    same(made, net(params, x, gain=2.0))


def test_under_jit_and_vmap(params, x):
    by_tile = jaxinv.tiled(net, **OPTIONS)
    same(jax.jit(by_tile)(params, x), net(params, x))
    several = jnp.stack([x, -x])
    same(jax.vmap(by_tile, (None, 0))(params, several), jax.vmap(net, (None, 0))(params, several))


def test_gradients_of_parameters_and_image(params, x):
    def loss(fun):
        return lambda params, x: jnp.sum(jnp.sin(fun(params, x)))

    mine = jax.jit(jax.grad(loss(jaxinv.tiled(net, **OPTIONS)), (0, 1)))(params, x)
    same(mine, jax.grad(loss(net), (0, 1))(params, x))


def test_gradients_of_what_is_closed_over(params, x):
    def loss(transform):
        return lambda params: jnp.sum(transform(lambda x: net(params, x))(x) ** 2)

    mine = jax.grad(loss(lambda fun: jaxinv.tiled(fun, tile=(12, 10))))(params)
    same(mine, jax.grad(loss(lambda fun: fun))(params))


def test_parameters_are_differentiated_where_images_are_of_numpy(params, x):
    def loss(fun):
        return lambda params: jnp.sum(fun(params) ** 2)

    truth = jax.grad(loss(lambda params: net(params, x)))(params)
    by_tile, x = jaxinv.tiled(net, **OPTIONS), np.asarray(x)
    same(jax.grad(loss(lambda params: by_tile(params, x)))(params), truth)

    def captured(params):
        return jaxinv.tiled(lambda x: net(params, x), tile=(12, 10))(x)

    for gradient in (jax.grad(loss(captured)), jax.jit(jax.grad(loss(captured)))):
        same(gradient(params), truth)
    with pytest.raises(ValueError, match="what is tiled is an array of JAX or numpy"):
        jax.grad(loss(lambda params: by_tile(params, Sliced(x))))(params)


def test_arguments_in_any_order(x):
    x, y = np.asarray(x), np.ones(x.shape, ">f8")
    made = jaxinv.tiled(lambda x, name, y: {"apart": x - 2 * y}[name], argnums=(2, 0), tile=8)
    np.testing.assert_array_equal(made(x, "apart", y), x - 2)


def test_several_arguments_are_cut_together(x):
    def fun(images, mask):
        return conv(images * mask["mask"], 0, 2)

    mask = {"mask": x[:1, ..., :1] > 0}
    made = jaxinv.tiled(fun, argnums=(0, 1), tile=8)(x, mask)
    same(made, fun(x, mask))


def test_memory_maps_in_and_out(x, params, tmp_path):
    source = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, x.shape)
    source[:] = x
    target = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float64, (2, 13, 12, 2))
    by_tile = jaxinv.tiled(net, out=target, progress=True, **OPTIONS)
    assert by_tile(params, np.load(tmp_path / "x.npy", mmap_mode="r")) is target
    target.flush()
    same(np.load(tmp_path / "y.npy"), net(params, x))


def test_tensorstore_in_and_out(x, params):
    tensorstore = pytest.importorskip("tensorstore")

    def stored(shape):
        # Its stores have a dtype of their own, and slices that are read when they are looked at.
        metadata = {"dtype": "<f8", "shape": list(shape), "chunks": [1, 8, 8, 1]}
        spec = {"driver": "zarr", "kvstore": {"driver": "memory"}, "metadata": metadata}
        return tensorstore.open(spec, create=True).result()

    source, target = stored(x.shape), stored((2, 13, 12, 2))
    source[...] = np.asarray(x)
    assert jaxinv.tiled(net, out=target, **OPTIONS)(params, source) is target
    same(np.asarray(target), net(params, x))


class Sliced:
    """An array that can be sliced and nothing else, and that remembers the largest slice."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, box):
        found = self._array[box]
        self.largest = max(self.largest, found.size)
        return found


def test_no_more_than_a_tile_is_read_of_what_can_be_sliced(x):
    x = np.asarray(x)
    stored = Sliced(x)
    made = jaxinv.tiled(pyramid, tile=20)(stored)
    same(made, pyramid(x))
    assert stored.largest == 2 * (20 + 27 % 4) * 20 * 2


def test_outputs_are_written_to_their_own_places(x):
    out = {"coarse": np.zeros((2, 7, 6, 1)), "fine": np.zeros((2, 14, 12, 1), np.float32)}
    jaxinv.tiled(pyramid, tile=20, out=out)(x)
    same(out, pyramid(x), atol=1e-6)


def test_what_is_read_is_not_written(x, tmp_path):
    image = np.asarray(x).copy()
    one = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", image.dtype, image.shape)
    other = np.lib.format.open_memmap(tmp_path / "x.npy", "r+")
    for given, out in ((image, image), (image, image[:, ::-1]), (one, other)):
        with pytest.raises(ValueError, match="out shares memory or a file with the image"):
            jaxinv.tiled(lambda x: conv(x, 0, 2), tile=8, out=out)(given)


def test_out_holds_each_output_as_it_is(x):
    x = np.asarray(x)
    scaled = lambda x: (100 * x, (100 * x).astype(np.int32))  # noqa: E731
    by_tile = lambda out: jaxinv.tiled(scaled, tile=8, out=out)(x)  # noqa: E731
    one, wide, short = (np.zeros(x.shape, kind) for kind in ("f4", "i4", "i2"))
    both = np.zeros((*x.shape, 2), np.float32)  # without what they have in common
    np.testing.assert_array_equal(by_tile((one, wide))[1], by_tile((one, short))[1])
    same(by_tile((both[..., 0], both[..., 1])), scaled(x), atol=1e-4)
    for out in ((one, one), (one, one[:, ::-1])):
        with pytest.raises(ValueError, match="out has one array for two outputs"):
            by_tile(out)
    for kind in (np.uint8, bool):
        with pytest.raises(ValueError, match=f"out holds {np.dtype(kind)}, and an output is "):
            by_tile((one, np.zeros(x.shape, kind)))
    with pytest.raises(ValueError, match="out holds float16, and an output is "):
        jaxinv.tiled(lambda x: 1e8 * x, tile=8, out=one.astype(np.float16))(x)


def test_the_imaginary_part_is_not_left_out(x):
    with pytest.raises(ValueError, match="out holds float64, and the output is complex128"):
        jaxinv.tiled(lambda x: 1j * x, tile=8, out=np.zeros(x.shape))(np.asarray(x))


def test_one_program_is_compiled(x):
    traces = []

    def counted(x):
        traces.append(x.shape)
        return conv(x, 0, 2)

    for image in (x, np.asarray(x)):
        traces.clear()
        jaxinv.tiled(counted, tile=8)(image)
        assert len(set(traces)) == 2  # The tile, and the whole image for the proof.


def test_without_a_tile_a_small_image_is_one(x, params):
    same(jaxinv.tiled(net, argnums=1)(params, x), net(params, x))


def test_a_smaller_halo_only_if_it_need_not_be_exact(x):
    def fun(x):
        return conv(conv(x, 0, 2), 1, 2)

    with pytest.raises(ValueError, match=r"halo \(1, 1\) along axis 1 is smaller .* \(2, 2\)"):
        jaxinv.tiled(fun, tile=8, halo=1)(x)
    rough = jaxinv.tiled(fun, tile=8, halo=1, exact=False)(x)
    apart = np.abs(np.asarray(rough - fun(x)))
    assert apart.max() > 1e-3
    assert apart[:, :6, :6].max() < 1e-12  # The corner tile has the border of the image.
    same(jaxinv.tiled(fun, tile=12, halo=((2, 3), (4, 2)))(x), fun(x))


@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
def test_a_halo_within_what_is_cropped_is_refused(of, x):
    def fun(x):
        return conv(conv(x, 0, 2, padding="VALID"), 1, 2, padding="VALID")

    with pytest.raises(ValueError, match=r"halo \(0, 2\) along axis 1 .* proven \(0, 4\) suffices"):
        jaxinv.tiled(fun, tile=8, halo=[(0, 2), (0, 4)], exact=False)(of(x))
    same(jaxinv.tiled(fun, tile=8, halo=np.array([(0, 4), (0, 4)]))(of(x)), fun(x))


def test_errors_of_whole_numbers_are_differences():
    x = jnp.asarray(normal(3, 1, 20, 18, 2))
    least = jaxinv.seam_error(lambda x: conv(x, 0, 2), x, overlaps=[0], tile=8)[0]

    def rounded(x):
        return jnp.round(conv(x, 0, 2) * 8 + 128).astype(jnp.uint8)

    (most,) = jaxinv.seam_error(rounded, x, overlaps=[0], tile=8)
    assert 0 < abs(most - 8 * least) <= 1
    signs = jaxinv.seam_error(lambda x: conv(x, 0, 2) > 0, x, overlaps=[0, 1], tile=8)
    unknown = jaxinv.seam_error(lambda x: 0 * conv(x, 0, 2) / 0, x, overlaps=[1], tile=8)
    np.testing.assert_array_equal([*signs, *unknown], [1, 0, 0])


@pytest.mark.parametrize("axes", [1, "12", (1.0, 2.0)])
def test_axes_are_whole_numbers(axes, x):
    with pytest.raises(ValueError, match="allowed is a sequence of whole numbers"):
        jaxinv.tiled(jnp.sin, axes=axes)
    with pytest.raises(ValueError, match="allowed is a sequence of whole numbers"):
        jaxinv.tiling(jnp.sin, x, axes=axes)
    with pytest.raises(ValueError, match="overlaps is 3; allowed is a sequence"):
        jaxinv.seam_error(jnp.sin, x, overlaps=3)


def test_the_error_of_smaller_overlaps(x):
    def fun(x):
        return conv(conv(x, 0, 2), 1, 2)

    errors = jaxinv.seam_error(fun, x, overlaps=[0, 1, 2, (2, 3)], tile=10)
    assert errors[0] > errors[1] > 1e-3
    assert (errors[2:] < 1e-12).all()
    assert [e > 1e-3 for e in jaxinv.seam_error(fun, x, overlaps=[0, 1, 2, 4])] == [1, 1, 0, 0]
    tiling = jaxinv.tiling(fun, x)
    assert tiling.error(2) < 1e-12 < 1e-3 < tiling.error((1, 2))


def test_a_small_sample_of_the_survey():
    from tests.tiling.survey import judged

    found = [judged(seed) for seed in (3, 8, 14)]
    assert all(kind.startswith("tiled") for kind, _ in found), found
