"""Bad calls of intervals and tests."""

import jax
import numpy as np

from jaxinv import metrics
from tests.wrong_calls.given import KEY, NAN

_STATISTICS = {
    "wilson_interval of no images": (
        lambda: metrics.wilson_interval(0, 0),
        "total is 0; allowed are whole numbers from 1",
    ),
    "wilson_interval of more than all": (
        lambda: metrics.wilson_interval(4, 3),
        "4 of 3 is no proportion; allowed are 0 to all",
    ),
    "wilson_interval of a fraction of an image": (
        lambda: metrics.wilson_interval(0.9, 1),
        "successes is 0.9; allowed are whole numbers from 0",
    ),
    "wilson_interval of NaN": (
        lambda: metrics.wilson_interval(NAN, 3),
        "successes is nan",
    ),
    "wilson_interval, 95 per cent": (
        lambda: metrics.wilson_interval(1, 3, confidence=95),
        "allowed are numbers between 0 and 1",
    ),
    "bootstrap_interval of one image": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(1)),
        "at least two images",
    ),
    "bootstrap_interval of no images": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(0)),
        "at least two images",
    ),
    "bootstrap_interval of words": (
        lambda: metrics.bootstrap_interval(KEY, ["a", "b"]),
        "allowed are numbers",
    ),
    "bootstrap_interval of complex numbers": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(3) * 1j),
        "allowed are real numbers",
    ),
    "bootstrap_interval, no resamples": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(3), resamples=0),
        "allowed are whole numbers from 1",
    ),
    "bootstrap_interval, 99.5 resamples": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(3), resamples=99.5),
        "allowed are whole numbers from 1",
    ),
    "bootstrap_interval, confidence NaN": (
        lambda: metrics.bootstrap_interval(KEY, np.ones(3), confidence=NAN),
        "between 0 and 1",
    ),
    "bootstrap_interval, a number as key": (
        lambda: metrics.bootstrap_interval(3, np.ones(3)),
        "key is a int; allowed is one key of jax.random.key",
    ),
    "bootstrap_interval while tracing": (
        lambda: jax.jit(lambda v: metrics.bootstrap_interval(KEY, v))(np.ones(3)),
        "outside jit",
    ),
    "mcnemar of words": (
        lambda: metrics.mcnemar(["no"], ["yes"]),
        "allowed are booleans, or zeros and ones",
    ),
    "mcnemar of counts": (
        lambda: metrics.mcnemar([0, 3], [1, 1]),
        "allowed are booleans, or zeros and ones",
    ),
    "mcnemar of NaN": (
        lambda: metrics.mcnemar([1.0, 0.0], [NAN, 1.0]),
        "second has dtype float64",
    ),
    "mcnemar of different images": (
        lambda: metrics.mcnemar([True], [True, False]),
        "allowed is one per image, for the same images",
    ),
    "mcnemar of no images": (
        lambda: metrics.mcnemar([], []),
        "allowed is one per image",
    ),
}

_INTERVALS = {
    **{
        f"wilson_interval, confidence {share!r}": (
            lambda share=share: metrics.wilson_interval(1, 4, confidence=share),
            f"confidence is {share!r}; allowed are numbers between 0 and 1",
        )
        for share in ("0.9", None, True, 1j, 1)
    },
    "wilson_interval of a truth value": (
        lambda: metrics.wilson_interval(True, 4),
        "successes is True; allowed are whole numbers from 0",
    ),
    "wilson_interval of more images than can be counted": (
        lambda: metrics.wilson_interval(1, 10**30),
        "is no proportion",
    ),
}

REFUSED = {**_STATISTICS, **_INTERVALS}
REFUSED["mcnemar of traced results"] = (
    lambda: jax.jit(lambda right: metrics.mcnemar(right, right))(np.ones(2, bool)),
    "results are traced; allowed are known ones",
)

ANSWERED = {
    "mcnemar of zeros and ones": (
        lambda: tuple(metrics.mcnemar([1.0, 0.0], [0, 1])),
        (1, 1, 2, 1.0),
    ),
    "wilson_interval of none of four": (lambda: metrics.wilson_interval(0, 4), (0.0, 0.4898908)),
}
