"""Compiled programs on disk: the second run of a command compiles nothing and says the same."""

import collections
import json
import stat

import jax
import jax.numpy as jnp
import pytest

from jaxinv.compilation import Compilation, kept
from jaxinv.report.cli import main

MISSES, HITS = (f"/jax/compilation_cache/cache_{name}" for name in ("misses", "hits"))
SEEN: collections.Counter[str] = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: SEEN.update([event]))

NETWORK = """
import jax.numpy as jnp

def classes(images):
    kernel = jnp.arange(9.0).reshape(3, 3, 1, 1) / 9 + jnp.zeros((3, 3, 1, 10)) + jnp.arange(10)
    from jax import lax
    maps = lax.conv_general_dilated(images, kernel, (2, 2), "SAME",
                                    dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jnp.tanh(maps).mean((1, 2))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and programs that no earlier test has compiled."""
    monkeypatch.setenv("JAXINV_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    jax.clear_caches()
    SEEN.clear()
    yield tmp_path / "cache"
    jax.clear_caches()


def compile_something(options):
    with kept(options):
        result = jax.jit(lambda x: jnp.sin(x) * 3.25)(jnp.ones(5))
    jax.clear_caches()
    return result


def counted():
    found = SEEN[MISSES] > 0, SEEN[HITS] > 0
    SEEN.clear()
    return found


def test_what_was_compiled_is_kept(cache):
    before = jax.config.jax_compilation_cache_dir
    first = compile_something(Compilation())
    assert counted() == (True, False)
    assert any(cache.rglob("compiled/*/*"))
    second = compile_something(Compilation())
    assert counted() == (False, True)
    assert (first == second).all()
    assert jax.config.jax_compilation_cache_dir == before


def test_what_a_killed_run_left_half_written_is_compiled_again(cache):
    first = compile_something(Compilation())
    for path in cache.rglob("compiled/*/*"):
        path.write_bytes(path.read_bytes()[:-20])
    assert (compile_something(Compilation()) == first).all()  # warnings are errors


def test_nothing_is_kept_where_that_is_not_wanted(cache):
    compile_something(Compilation(keep_compiled=False))
    assert counted() == (False, False)
    assert not cache.exists()


def test_a_cache_of_the_user_s_own_stays(cache, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    try:
        compile_something(Compilation())
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
    assert not cache.exists()


def test_a_place_where_nothing_can_be_kept_is_no_error(cache):
    cache.write_text("a file")
    cache.chmod(stat.S_IRUSR)
    compile_something(Compilation())
    assert counted() == (False, False)


def test_the_second_run_of_evaluate_compiles_nothing_and_says_the_same(cache, tmp_path):
    (tmp_path / "kept_network.py").write_text(NETWORK)
    found = []
    for out in ("one", "two"):
        options = f"--apply kept_network:classes --images 4 --max-shift 1 --seed 1 --out {out}"
        assert main(options.split()) == 0
        results = json.loads((tmp_path / out / "results.json").read_text())
        found.append({name: results[name] for name in ("networks", "headline", "shifts")})
        jax.clear_caches()
        misses, hits = SEEN[MISSES], SEEN[HITS]
        SEEN.clear()
        assert (misses > 0) == (out == "one")
        assert hits or out == "one"
    assert found[0] == found[1]
