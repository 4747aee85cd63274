"""The conventions of the public API, checked over all of it."""

import dataclasses
import inspect
import re
import types
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn

import jaxinv

# What may be left out and is still no option: it may be given by its place.
DATA = ("labels",)
ROOT = Path(__file__).resolve().parent.parent


def public_api():
    """Every public name with its object: `jaxinv.__all__`, and the names of the modules in it."""
    found = {}
    for name, value in members(jaxinv).items():
        if isinstance(value, types.ModuleType):
            found |= names_in(value, name)
        else:
            found[name] = value
    return {name: value for name, value in found.items() if callable(value)}


def names_in(module, prefix):
    """The names of a module, and of the modules that it lists, such as `metrics.protocols`."""
    assert module.__doc__, f"module jaxinv.{prefix} has no docstring"
    found = {}
    for inner, value in members(module).items():
        name = f"{prefix}.{inner}"
        found |= names_in(value, name) if isinstance(value, types.ModuleType) else {name: value}
    return found


def members(module):
    """A module's `__all__`, or the names in it without an underscore."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    ]
    return {name: getattr(module, name) for name in names}


def words_of(*patterns):
    texts = [path.read_text() for pattern in patterns for path in ROOT.glob(pattern)]
    return [(text, frozenset(re.findall(r"\w+", text))) for text in texts]


def is_result(value):
    """Whether a class only holds what a function returned."""
    named_tuple = inspect.isclass(value) and issubclass(value, tuple)
    return named_tuple or (dataclasses.is_dataclass(value) and not issubclass(value, nn.Module))


def problems_of(name, value):
    """What is wrong with the docstring and the signature of one public object, as sentences."""
    doc = inspect.getdoc(value) or ""
    if not doc:
        return [f"{name} has no docstring"]
    problems = []
    if not re.match(r"[^\n]+[.?:](\n\n|$)", doc):
        problems.append(f"{name}: the docstring does not start with a summary of one line")
    if is_result(value):
        fields = getattr(value, "_fields", None) or value.__dataclass_fields__
        source = inspect.getsource(value)
        # Named in the docstring, or followed by a string of its own, as tyro reads them.
        missing = [
            field
            for field in fields
            if not re.search(rf"\b{field}\b", doc)
            and not re.search(rf'^    {field}:[^\n]*\n    """', source, re.MULTILINE)
        ]
        return problems + [f"{name}: the field {field} is not documented" for field in missing]
    if ">>>" not in doc:
        problems.append(f"{name}: the docstring has no example")
    # A formula is a definition, and somebody's.
    if ".. math::" in doc and not re.search("http|doi", doc):
        problems.append(f"{name}: the docstring defines something and names no source")
    if inspect.isclass(value):
        return problems
    signature = inspect.signature(value)
    parameters = list(signature.parameters.values())
    if parameters and "Args:" not in doc:
        problems.append(f"{name}: the docstring has no Args")
    for parameter in parameters:
        spelling = rf"^\s*`?\*{{0,2}}{parameter.name}\b.*?:|`{parameter.name}`"
        if not re.search(spelling, doc, re.MULTILINE):
            problems.append(f"{name}: {parameter.name} is not documented")
    if signature.return_annotation is not None and not re.search("Returns:|Yields:", doc):
        problems.append(f"{name}: the docstring has no Returns")
    if re.search(r"^\s+raise ", inspect.getsource(value), re.MULTILINE) and "Raises:" not in doc:
        problems.append(f"{name}: it raises and the docstring has no Raises")
    problems += [
        f"{name}: the option {parameter.name} is not keyword-only"
        for parameter in parameters[2:]
        if parameter.default is not parameter.empty
        and parameter.name not in DATA
        and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    named = [parameter.name for parameter in parameters]
    if "rng" in named:
        problems.append(f"{name}: randomness is called key, not rng")
    if "key" in named and named[0] != "key":
        problems.append(f"{name}: key comes first")
    return problems


def test_every_public_name_keeps_the_conventions():
    prose = words_of("README.md", "docs/**/*.md")
    tests = words_of("tests/**/*.py")
    problems = []
    for name, value in public_api().items():
        problems += problems_of(name, value)
        leaf = name.rpartition(".")[2]
        if not any(leaf in words for _, words in prose):
            problems.append(f"{name} is neither in README.md nor in docs/")
        if is_result(value):
            continue  # the tests of the function that returns it read its fields
        using = [text for text, words in tests if leaf in words]
        if not using:
            problems.append(f"{name} is named in no test")
        elif "Raises:" in (inspect.getdoc(value) or "") and not any(
            "pytest.raises" in text for text in using
        ):
            problems.append(f"{name}: its errors are tested nowhere")
    assert not problems, f"{len(problems)} problems\n" + "\n".join(problems)


def _careless(x, rng, scale=1.0, offset=0.0):
    """Scales
    things.

    .. math:: y = s x + o
    """
    if scale < 0:
        raise ValueError("negative")
    return x * scale + offset


def _careful(key, x, *, scale=1.0):
    """Adds noise to an array.

    Args:
      key: randomness.
      x: the array.
      scale: size of the noise.

    Returns:
      The noisy array.

    Example:
      >>> 1 + 1
      2

    Reference: https://arxiv.org/abs/0000.00000
    """
    return key + x * scale


def test_the_check_finds_each_kind_of_carelessness():
    problems = "\n".join(problems_of("careless", _careless))
    for expected in (
        "summary of one line",
        "no example",
        "names no source",
        "no Args",
        "scale is not documented",
        "no Returns",
        "no Raises",
        "offset is not keyword-only",
        "not rng",
    ):
        assert expected in problems
    assert problems_of("careful", _careful) == []
    assert problems_of("nothing", lambda x: x) == ["nothing has no docstring"]


def _key_last(x, key):
    """Adds noise."""
    return x + key


def test_the_check_wants_the_key_first():
    assert "key_last: key comes first" in problems_of("key_last", _key_last)
    assert not any("key comes first" in problem for problem in problems_of("f", _careful))


class _Half(NamedTuple):
    """A result.

    Attributes:
      first: one number.
    """

    first: float
    second: float


def test_the_check_wants_the_fields_of_a_result_documented():
    assert problems_of("Half", _Half) == ["Half: the field second is not documented"]
