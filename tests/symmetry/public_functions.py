"""Public functions of jax that take an array, each with a few patterns of arguments.

Several names share a group where they are called alike; what takes no array is excused with a
reason. The two large modules have files of their own.
"""

import jax
import jax.numpy as jnp
import jax.scipy.ndimage
import jax.scipy.signal
import numpy as np
from jax import lax

from tests.symmetry.patterns import (
    ALONE,
    CHANNELS,
    KERNEL,
    REDUCTIONS,
    Patterns,
    excused,
    group,
    natural,
    near,
    row,
    small,
    square,
)
from tests.symmetry.patterns_lax import LAX, LAX_EXCUSED
from tests.symmetry.patterns_numpy import NUMPY, NUMPY_EXCUSED

FOURIER: Patterns = {
    **group(
        jnp.fft,
        "fft ifft rfft irfft hfft ihfft",
        lambda f, v: f(v, axis=1),
        lambda f, v: f(v, axis=2),
        lambda f, v: f(v, n=4, axis=1),
    ),
    **group(
        jnp.fft,
        "fft2 fftn ifft2 ifftn rfft2 rfftn irfft2 irfftn",
        lambda f, v: f(v, axes=(1, 2)),
        lambda f, v: f(v, axes=(0, 2)),
    ),
    **group(jnp.fft, "fftshift ifftshift", lambda f, v: f(v, axes=1), lambda f, v: f(v)),
}
FOURIER_EXCUSED = excused({"makes an array of no array": "fftfreq rfftfreq"})

LINALG_EXCUSED = excused({"close eigenvalues make its gradient a matter of rounding": "eigh"})

LINALG: Patterns = {
    **group(
        jnp.linalg,
        "cholesky cond det eigvalsh inv matrix_rank pinv slogdet svdvals",
        lambda f, v: f(square(v)),
        lambda f, v: f(small(v)),
    ),
    **group(jnp.linalg, "eig", lambda f, v: jnp.abs(f(small(v))[0])),
    **group(jnp.linalg, "eigvals", lambda f, v: jnp.sort(jnp.abs(f(small(v))))),
    **group(jnp.linalg, "svd", lambda f, v: f(small(v), compute_uv=False)),
    **group(jnp.linalg, "qr", lambda f, v: jnp.abs(f(small(v))[1])),
    **group(jnp.linalg, "cross", lambda f, v: f(v[..., :3], near(v)[..., 1:])),
    **group(jnp.linalg, "diagonal trace", lambda f, v: f(square(v))),
    **group(jnp.linalg, "lstsq solve", lambda f, v: f(small(v), CHANNELS.astype(v.dtype))
            if f is jnp.linalg.solve else f(small(v), CHANNELS.astype(v.dtype))[0]),
    **group(jnp.linalg, "matmul", lambda f, v: f(v[0], v[0].T), lambda f, v: f(v, small(v))),
    **group(jnp.linalg, "matrix_norm", lambda f, v: f(v)),
    **group(jnp.linalg, "norm", *REDUCTIONS, lambda f, v: f(v, ord=np.inf, axis=1)),
    **group(jnp.linalg, "vector_norm", *REDUCTIONS, lambda f, v: f(v, ord=3, axis=1)),
    **group(jnp.linalg, "matrix_power", lambda f, v: f(small(v), 2)),
    **group(jnp.linalg, "matrix_transpose", lambda f, v: f(v)),
    **group(jnp.linalg, "multi_dot", lambda f, v: f([v[0], small(v), v[0].T])),
    **group(jnp.linalg, "outer", lambda f, v: f(row(v), v[0, :, 1])),
    **group(jnp.linalg, "tensordot", lambda f, v: f(v, near(v), axes=([1], [1]))),
    **group(jnp.linalg, "tensorinv", lambda f, v: f(small(v).reshape(2, 2, 4))),
    **group(jnp.linalg, "tensorsolve", lambda f, v: f(small(v), v[0, 0])),
    **group(jnp.linalg, "vecdot", lambda f, v: f(v, near(v)), lambda f, v: f(v, near(v), axis=1)),
}  # fmt: skip

NN: Patterns = {
    **group(
        jax.nn,
        "celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu log1mexp "
        "log_sigmoid mish relu relu6 selu sigmoid silu soft_sign softplus sparse_plus "
        "sparse_sigmoid squareplus swish tanh",
        *ALONE,
    ),
    **group(
        jax.nn,
        "log_softmax logmeanexp logsumexp softmax standardize",
        lambda f, v: f(v, axis=1),
        lambda f, v: f(v, axis=-1),
        lambda f, v: f(v, axis=(1, 2)),
    ),
    **group(jax.nn, "glu", lambda f, v: f(v, axis=1), lambda f, v: f(v, axis=-1)),
    **group(
        jax.nn,
        "one_hot",
        lambda f, v: f(natural(v) % 5, 5),
        lambda f, v: f(jnp.argmax(v, 1), 6),
        lambda f, v: f(jnp.argmax(v, 2), 4, axis=1),
    ),
}
NN_EXCUSED = excused({
    "computes in float32 whatever it is given": "dot_product_attention",
    "needs a GPU's block scales": "get_scaled_dot_general_config scaled_dot_general scaled_matmul",
})  # fmt: skip

IMAGE: Patterns = {
    **group(
        jax.image,
        "resize",
        lambda f, v: f(v, (1, 12, 4), "nearest"),
        lambda f, v: f(v, (1, 12, 4), "linear"),
        lambda f, v: f(v, (1, 3, 4), "cubic"),
        lambda f, v: f(v, (1, 3, 4), "linear", antialias=False),
        lambda f, v: f(v, (1, 9, 2), "lanczos3"),
    ),
    **group(
        jax.image,
        "scale_and_translate",
        lambda f, v: f(
            v, (1, 6, 4), (1,), jnp.ones(1, v.dtype), jnp.full(1, 0.5, v.dtype), "linear"
        ),
        lambda f, v: f(v, (1, 6, 4), (1,), jnp.ones(1, v.dtype), jnp.mean(v)[None], "linear"),
    ),
}
NDIMAGE: Patterns = group(
    jax.scipy.ndimage,
    "map_coordinates",
    lambda f, v: f(row(v), [jnp.arange(6).astype(v.dtype) + 0.5], 1, mode="wrap"),
    lambda f, v: f(row(v), [jnp.arange(6).astype(v.dtype) - 0.5], 1, mode="nearest"),
    lambda f, v: f(row(v), [jnp.arange(6).astype(v.dtype) + row(v)], 0, mode="constant"),
    lambda f, v: f(v[0], [np.arange(6.0).astype(v.dtype)] * 2, 1, mode="reflect"),
)
SIGNAL: Patterns = {
    **group(
        jax.scipy.signal,
        "convolve correlate",
        lambda f, v: f(row(v), KERNEL.astype(v.dtype), mode="same"),
        lambda f, v: f(row(v), KERNEL.astype(v.dtype), mode="valid"),
        lambda f, v: f(v[0], v[0, :3, :2], mode="full"),
    ),
    **group(
        jax.scipy.signal,
        "convolve2d correlate2d",
        lambda f, v: f(v[0], np.outer(KERNEL, KERNEL[:2]).astype(v.dtype), mode="same"),
        lambda f, v: f(v[0], np.outer(KERNEL, KERNEL[:2]).astype(v.dtype), mode="valid"),
    ),
    **group(
        jax.scipy.signal,
        "fftconvolve",
        lambda f, v: f(row(v), KERNEL.astype(v.dtype), mode="same"),
        lambda f, v: f(v, near(v)[:, :3], mode="valid", axes=1),
    ),
    **group(
        jax.scipy.signal,
        "detrend",
        lambda f, v: f(v, axis=1),
        lambda f, v: f(v, axis=1, type="constant"),
    ),
    **group(jax.scipy.signal, "csd", lambda f, v: f(row(v), row(near(v)), nperseg=4)[1]),
    **group(jax.scipy.signal, "welch", lambda f, v: f(v, nperseg=4, axis=1)[1]),
    **group(jax.scipy.signal, "stft", lambda f, v: f(v, nperseg=4, axis=1)[2]),
    **group(
        jax.scipy.signal,
        "istft",
        lambda f, v: f(jax.scipy.signal.stft(row(v), nperseg=4)[2], nperseg=4)[1],
    ),
}

MODULES: dict = {
    jnp: (NUMPY, NUMPY_EXCUSED),
    jnp.fft: (FOURIER, FOURIER_EXCUSED),
    jnp.linalg: (LINALG, LINALG_EXCUSED),
    jax.nn: (NN, NN_EXCUSED),
    jax.image: (IMAGE, {}),
    jax.scipy.ndimage: (NDIMAGE, {}),
    jax.scipy.signal: (SIGNAL, {}),
    lax: (LAX, LAX_EXCUSED),
}
