"""Uncertainty over images: intervals for proportions and means, and tests of paired models.

scipy's statistics are imported where they are used: they take half a second, which a certificate
does not need.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from jaxinv.arguments import as_inexact, check_key, is_known, number_or_nan, whole_number

# Numbers of the resamples that are held at a time.
RESAMPLED_TOGETHER = 2**20


def wilson_interval(successes: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    r"""Wilson's score interval for a proportion.

    .. math::

      \frac{1}{1 + z^2 / n} \left( \hat p + \frac{z^2}{2 n} \pm
      z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}} \right)

    Unlike the normal interval it stays within 0 and 1 and does not collapse at either.

    Args:
      successes: how many of the images count; between 0 and `total`.
      total: `n`, the number of images.
      confidence: between 0 and 1.

    Returns:
      The lower and the upper end.

    Raises:
      ValueError: if there are no images, or a number is out of range or not whole.

    Example:
      >>> low, high = wilson_interval(90, 100)
      >>> print(f"{low:.4f} {high:.4f}")
      0.8256 0.9448

    Reference:
      Wilson, "Probable inference, the law of succession, and statistical inference" (1927),
      https://doi.org/10.1080/01621459.1927.10502953.
    """
    _check_confidence(confidence)
    count, images = whole_number(successes, "successes", least=0), whole_number(total, "total")
    if not count <= images <= np.iinfo(np.int64).max:
        raise ValueError(
            f"{count} of {images} is no proportion; allowed are 0 to all of some images"
        )
    from scipy import stats

    low, high = stats.binomtest(count, images).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def bootstrap_interval(
    key: PRNGKeyArray,
    values: Shaped[Array, "n *rest"] | Shaped[np.ndarray, "n *rest"],
    *,
    statistic: Callable = np.mean,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    r"""Percentile bootstrap interval over images, as `scipy.stats.bootstrap` computes it.

    .. math::

      \left[ q_{(1 - c) / 2}, q_{(1 + c) / 2} \right] \text{ of } s(v_{i_1}, \dots, v_{i_n}),
      \quad i_j \sim U\{1, \dots, n\}

    Args:
      key: random key.
      values: one row per image, such as any metric's `per_image=True`; each column is resampled by
        the same images.
      statistic: reduces an array along its keyword `axis`, as NumPy's functions do; one without
        that keyword is called for each resample of each column.
      resamples: how many times the images are drawn anew.
      confidence: between 0 and 1.

    Returns:
      The lower and the upper end, one for each column; NaN where a value is not finite.

    Raises:
      ValueError: if there are not two images, the values are no real numbers or traced, or a
        number is out of range.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> low, high = bootstrap_interval(jax.random.key(0), jnp.array([0.0, 1.0] * 50))
      >>> print(f"{low:.1f} {high:.1f}")
      0.4 0.6

    Reference:
      Efron, "Bootstrap methods: another look at the jackknife" (1979),
      https://doi.org/10.1214/aos/1176344552.
    """
    _check_confidence(confidence)
    count = whole_number(resamples, "resamples")
    if not is_known(key, values):
        raise ValueError("values are traced; allowed are known ones, outside jit, vmap and grad")
    rows = np.asarray(as_inexact(values))
    if np.iscomplexobj(rows):
        raise ValueError(f"values have dtype {rows.dtype}; allowed are real numbers")
    if rows.ndim == 0 or len(rows) < 2:
        raise ValueError(
            f"values have shape {rows.shape}; there must be one per image, for at least two images"
        )
    finite = np.isfinite(rows).all(axis=0)
    from scipy import stats

    result = stats.bootstrap(
        (np.where(finite, rows, 0).astype(np.float64),),
        statistic,
        n_resamples=count,
        batch=max(1, RESAMPLED_TOGETHER // rows.size),
        confidence_level=confidence,
        method="percentile",
        rng=_generator(key),
    )
    low, high = result.confidence_interval
    return np.where(finite, low, np.nan), np.where(finite, high, np.nan)


def _generator(key):
    check_key(key)
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


class PairedTest(NamedTuple):
    """Result of McNemar's test: how two models differ on the same images.

    Attributes:
      only_first: images that only the first model gets right.
      only_second: images that only the second model gets right.
      total: number of images.
      p_value: chance of a difference at least this large if both were equally good.
    """

    only_first: int
    only_second: int
    total: int
    p_value: float


def mcnemar(first: Bool[Array, " n"], second: Bool[Array, " n"]) -> PairedTest:
    r"""McNemar's exact test of two models on the same images.

    .. math::

      p = \min \left( 1, 2 \sum_{i \le \min(b, c)} \binom{b + c}{i} 2^{-(b + c)} \right)

    with `b` and `c` the images that only one of the models gets right: two-sided binomial test.

    Args:
      first: whether the first model is right, per image: booleans, or zeros and ones.
      second: the same for the second model, in the same order.

    Returns:
      The two counts, the number of images and the p-value.

    Raises:
      ValueError: if the lengths differ, there are no images, or an entry is neither true nor false.

    Example:
      >>> import numpy as np
      >>> first, second = np.arange(10) < 8, np.arange(10) < 3
      >>> mcnemar(first, second)
      PairedTest(only_first=5, only_second=0, total=10, p_value=0.0625)

    Reference:
      McNemar, "Note on the sampling error of the difference between correlated proportions"
      (1947), https://doi.org/10.1007/BF02295996.
    """
    if not is_known(first, second):
        raise ValueError("results are traced; allowed are known ones, outside jit, vmap and grad")
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(
            f"the models have results of shape {a.shape} and {b.shape}; "
            "allowed is one per image, for the same images"
        )
    for name, right in (("first", a), ("second", b)):
        if right.dtype.kind not in "biuf" or not np.isin(right, (0, 1)).all():
            raise ValueError(
                f"{name} has dtype {right.dtype} and other values than true and false; "
                "allowed are booleans, or zeros and ones"
            )
    a, b = a.astype(bool), b.astype(bool)
    only_first, only_second = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    differ = only_first + only_second
    p_value = 1.0
    if differ:
        from scipy import stats

        p_value = float(stats.binomtest(only_first, differ, 0.5).pvalue)
    return PairedTest(only_first, only_second, len(a), p_value)


def _check_confidence(confidence):
    if not 0 < number_or_nan(confidence) < 1:
        raise ValueError(f"confidence is {confidence!r}; allowed are numbers between 0 and 1")
