"""Intervals and tests against published numbers, closed forms and their coverage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxinv.metrics import bootstrap_interval, mcnemar, statistics, wilson_interval


def test_wilson_by_its_defining_equation():
    # The ends are where a proportion p would be exactly z standard errors from the observed one.
    z = stats.norm.ppf(0.975)
    for successes, total in [(0, 10), (3, 10), (81, 263), (10, 10)]:
        for end in wilson_interval(successes, total):
            distance = (successes / total - end) ** 2
            np.testing.assert_allclose(distance, z**2 * end * (1 - end) / total, atol=1e-12)


def test_wilson_reproduces_newcombe_1998():
    # Newcombe (1998), https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E,
    # table I, method 3.
    for (successes, total), expected in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        np.testing.assert_allclose(wilson_interval(successes, total), expected, atol=5e-5)


def test_wilson_covers():
    rng = np.random.default_rng(0)
    drawn = rng.binomial(40, 0.9, size=2000)
    covered = [low <= 0.9 <= high for low, high in (wilson_interval(k, 40) for k in drawn)]
    assert 0.93 <= np.mean(covered) <= 0.98


def test_bootstrap_of_a_mean_is_normal_in_the_limit():
    values = jax.random.exponential(jax.random.key(0), (2000,))
    low, high = bootstrap_interval(jax.random.key(1), values, confidence=0.9, resamples=1000)
    half = stats.norm.ppf(0.95) * np.std(values) / np.sqrt(2000)
    # Quantiles of 1,000 resamples are good to about 0.05 standard errors (one sigma).
    tolerance = 0.2 * np.std(values) / np.sqrt(2000)
    np.testing.assert_allclose(low, np.mean(values) - half, atol=tolerance)
    np.testing.assert_allclose(high, np.mean(values) + half, atol=tolerance)


def test_bootstrap_takes_rows_and_statistics():
    values = jnp.stack([jnp.arange(50.0), jnp.zeros(50)], axis=1)
    low, high = bootstrap_interval(jax.random.key(0), values, statistic=np.max, resamples=200)
    assert low.shape == high.shape == (2,)
    assert high[0] == 49
    assert low[1] == high[1] == 0


def test_bootstrap_holds_the_resamples_of_many_images_in_parts(monkeypatch):
    values = jnp.arange(40.0)
    at_once = bootstrap_interval(jax.random.key(0), values, resamples=200)
    monkeypatch.setattr(statistics, "RESAMPLED_TOGETHER", 400)
    parts = bootstrap_interval(jax.random.key(0), values, resamples=200)
    np.testing.assert_allclose(parts, at_once, rtol=0.2)  # other draws, the same law
    again = bootstrap_interval(jax.random.key(0), values, resamples=200)
    np.testing.assert_array_equal(parts, again)


def test_bootstrap_of_what_is_not_finite_is_nan():
    values = np.stack([np.arange(4.0), [0, np.nan, 1, 1], [0, np.inf, 1, 1]], axis=1)
    for end in bootstrap_interval(jax.random.key(0), values, resamples=20):
        np.testing.assert_array_equal(np.isnan(end), [False, True, True])


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (3, 3), (10, 2), (1, 7)])
def test_mcnemar_by_its_definition(b, c):
    first = np.array([True] * b + [False] * c + [True] * 4 + [False] * 2)
    second = np.array([False] * b + [True] * c + [True] * 4 + [False] * 2)
    expected = min(1, 2 * sum(stats.binom.pmf(i, b + c, 0.5) for i in range(min(b, c) + 1)))
    result = mcnemar(first, second)
    assert result[:3] == (b, c, b + c + 6)
    np.testing.assert_allclose(result.p_value, expected, rtol=1e-9)
    assert mcnemar(second, first).p_value == result.p_value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson_interval(3, 0), "total is 0"),
        (lambda: wilson_interval(4, 3), "no proportion"),
        (lambda: wilson_interval(1, 3, confidence=95), "between 0 and 1"),
        (lambda: bootstrap_interval(jax.random.key(0), jnp.zeros(0)), "one per image"),
        (lambda: bootstrap_interval(jax.random.key(0), jnp.ones(2), resamples=0), "from 1"),
        (lambda: bootstrap_interval(jax.random.key(0), jnp.ones(2), confidence=1), "between"),
        (lambda: mcnemar([True], [True, False]), "one per image"),
        (lambda: mcnemar([], []), "one per image"),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
