"""Uncertainty over images: intervals for proportions and means, and tests of paired models."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped
from scipy import stats


def wilson_interval(
    successes: float, total: int, *, confidence: float = 0.95
) -> tuple[float, float]:
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
      ValueError: if there are no images, or a number is out of range.

    Example:
      >>> low, high = wilson_interval(90, 100)
      >>> print(f"{low:.4f} {high:.4f}")
      0.8256 0.9448

    Reference:
      Wilson, "Probable inference, the law of succession, and statistical inference" (1927),
      https://doi.org/10.1080/01621459.1927.10502953.
    """
    _check_confidence(confidence)
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"{successes} of {total} is no proportion")
    z = float(stats.norm.ppf((1 + confidence) / 2))
    p = successes / total
    centre = p + z * z / (2 * total)
    half = z * np.sqrt(p * (1 - p) / total + z * z / (4 * total**2))
    scale = 1 + z * z / total
    # Rounding must not push the end past the proportion's range.
    return max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))


def bootstrap_interval(
    key: PRNGKeyArray,
    values: Shaped[Array, "n *rest"],
    *,
    statistic: Callable = jnp.mean,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    r"""Percentile bootstrap interval over images.

    .. math::

      \left[ q_{(1 - c) / 2}, q_{(1 + c) / 2} \right] \text{ of } s(v_{i_1}, \dots, v_{i_n}),
      \quad i_j \sim U\{1, \dots, n\}

    Args:
      key: random key.
      values: one row per image, such as any metric's `per_image=True`.
      statistic: maps resampled values to a number or array; traced.
      resamples: how many times the images are drawn anew.
      confidence: between 0 and 1.

    Returns:
      The lower and the upper end, of the statistic's shape.

    Raises:
      ValueError: if there are no images, or a number is out of range.

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
    values = jnp.asarray(values)
    if values.ndim == 0 or values.shape[0] == 0:
        raise ValueError(f"values have shape {values.shape}; there must be one per image")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; allowed are numbers from 1")
    return _percentiles(key, values, statistic, resamples, confidence)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _percentiles(key, values, statistic, resamples, confidence):
    count = values.shape[0]

    def resample(one):
        return statistic(values[jax.random.randint(one, (count,), 0, count)])

    drawn = jax.lax.map(resample, jax.random.split(key, resamples))
    ends = jnp.quantile(drawn, jnp.array([(1 - confidence) / 2, (1 + confidence) / 2]), axis=0)
    return ends[0], ends[1]


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
      first: whether the first model is right, per image.
      second: the same for the second model, in the same order.

    Returns:
      The two counts, the number of images and the p-value.

    Raises:
      ValueError: if the lengths differ or there are no images.

    Example:
      >>> import numpy as np
      >>> first, second = np.arange(10) < 8, np.arange(10) < 3
      >>> mcnemar(first, second)
      PairedTest(only_first=5, only_second=0, total=10, p_value=0.0625)

    Reference:
      McNemar, "Note on the sampling error of the difference between correlated proportions"
      (1947), https://doi.org/10.1007/BF02295996.
    """
    a, b = (np.asarray(v).astype(bool) for v in (first, second))
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(
            f"the models have results of shape {a.shape} and {b.shape}; "
            "allowed is one per image, for the same images"
        )
    only_first, only_second = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    differ = only_first + only_second
    p_value = 1.0
    if differ:
        p_value = float(stats.binomtest(only_first, differ, 0.5).pvalue)
    return PairedTest(only_first, only_second, len(a), p_value)


def _check_confidence(confidence):
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; allowed are numbers between 0 and 1")
