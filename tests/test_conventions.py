"""The conventions of the public API, checked over all of it."""

import inspect
import re
import types
from pathlib import Path

import jaxinv

ROOT = Path(__file__).resolve().parent.parent

# Public names with nothing to cite: they hold, name or load things and compute no published
# quantity. Everything else says where its definition comes from.
NO_SOURCE = {
    "create",
    "names",
    "normalise",
    "available",
    "tolerance",
    "translate",
    "crop_translate",
}


def public_api():
    """Every public name with its object: `jaxinv.__all__`, and `__all__` of the modules in it."""
    found = {}
    for name in jaxinv.__all__:
        value = getattr(jaxinv, name)
        if isinstance(value, types.ModuleType):
            assert value.__doc__, f"module jaxinv.{name} has no docstring"
            found |= {f"{name}.{inner}": getattr(value, inner) for inner in value.__all__}
        else:
            found[name] = value
    return {name: value for name, value in found.items() if callable(value)}


def words_of(*patterns):
    texts = [path.read_text() for pattern in patterns for path in ROOT.glob(pattern)]
    return [(text, frozenset(re.findall(r"\w+", text))) for text in texts]


def problems_of(name, value):
    """What is wrong with the docstring and the signature of one public object, as sentences."""
    doc = inspect.getdoc(value) or ""
    if not doc:
        return [f"{name} has no docstring"]
    problems = []
    if not re.match(r"[^\n]+[.?:](\n\n|$)", doc):
        problems.append(f"{name}: the docstring does not start with a summary of one line")
    if ">>>" not in doc:
        problems.append(f"{name}: the docstring has no example")
    leaf = name.rpartition(".")[2]
    if "http" not in doc and leaf not in NO_SOURCE:
        problems.append(f"{name}: the docstring names no source")
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
        for parameter in parameters[1:]
        if parameter.default is not parameter.empty
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
        using = [text for text, words in tests if leaf in words]
        if not using:
            problems.append(f"{name} is named in no test")
        elif "Raises:" in (inspect.getdoc(value) or "") and not any(
            "pytest.raises" in text for text in using
        ):
            problems.append(f"{name}: its errors are tested nowhere")
    assert not problems, f"{len(problems)} problems\n" + "\n".join(problems)


def _careless(x, rng, scale=1.0):
    """Scales
    things."""
    if scale < 0:
        raise ValueError("negative")
    return x * scale


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
        "no source",
        "no Args",
        "scale is not documented",
        "no Returns",
        "no Raises",
        "scale is not keyword-only",
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
