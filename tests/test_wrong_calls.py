"""Bad calls of the public functions: each is refused in one clear line, or answered honestly.

The rows stand in the modules of `tests/wrong_calls/`. `REFUSED` holds calls and what the error says
of what is wrong or allowed, `FAILED` those that an assertion finds out, `ANSWERED` those that have
an answer, and the answer.
"""

import importlib
import traceback
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxinv

PACKAGE = str(Path(jaxinv.__file__).parent)
MODULES = sorted(path.stem for path in Path(__file__).with_name("wrong_calls").glob("*.py"))


def rows(table):
    """The rows of one table in all modules, named by module and call."""
    modules = {name: importlib.import_module(f"tests.wrong_calls.{name}") for name in MODULES}
    return [
        pytest.param(run, expected, id=f"{name}: {call}")
        for name, module in modules.items()
        for call, (run, expected) in getattr(module, table, {}).items()
    ]


@pytest.mark.parametrize(("run", "says"), rows("REFUSED"))
def test_is_refused_in_one_line(run, says):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the row says which
        run()
    message = str(raised.value)
    assert type(raised.value) is ValueError
    assert says in message
    assert "\n" not in message
    # An error of numpy or JAX speaks of what happens inside, not of the call.
    where = traceback.extract_tb(raised.value.__traceback__)[-1].filename
    assert where.startswith(PACKAGE), f"raised in {where}"


@pytest.mark.parametrize(("run", "says"), rows("FAILED"))
def test_fails_as_an_assertion(run, says):
    with pytest.raises(AssertionError) as raised:
        run()
    assert says in str(raised.value)


@pytest.mark.parametrize(("run", "answer"), rows("ANSWERED"))
def test_has_an_honest_answer(run, answer):
    # A list stands for an array.
    (given, wanted) = (
        jax.tree.flatten(tree, is_leaf=lambda v: isinstance(v, list)) for tree in (run(), answer)
    )
    assert given[1] == wanted[1]
    for got, want in zip(given[0], wanted[0], strict=True):
        assert np.shape(got) == np.shape(want)
        np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-5, atol=1e-6)
