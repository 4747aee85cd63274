"""Sweeps: a few of their cases run always, the others are slow."""

from collections.abc import Iterable

import pytest


def few(cases: Iterable, *quick) -> list:
    """The cases for `pytest.mark.parametrize`; those that are not among the quick ones are slow.

    A tuple holds the values of several parameters.
    """
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    quick = [case if isinstance(case, tuple) else (case,) for case in quick]
    assert all(row in rows for row in quick), "a quick case is none of the cases"
    return [pytest.param(*row, marks=() if row in quick else pytest.mark.slow) for row in rows]
