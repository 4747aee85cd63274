"""The benchmark for accelerators: it measures what it says, and survives what may go wrong."""

import dataclasses
import itertools
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import accelerator, compiled, exactness, formats, page, rows, tables
from benchmarks.case import Case, tiny
from benchmarks.cases import CASES
from benchmarks.conditions import Conditions
from benchmarks.rows import ROWS, Row
from benchmarks.timing import Contender, best, interleave
from jaxinv import certify
from jaxinv.orbit import orbit

pytestmark = pytest.mark.usefixtures("settings_stay")

ROOT = Path(__file__).resolve().parent.parent


def options(folder, *names, minutes=8.0, **changes):
    given = accelerator.Options(folder, names, True, time.monotonic() + 60 * minutes)
    return dataclasses.replace(given, **changes)


def row(name, function, **changes):
    return Row(name, "Table", 1.0, function, **changes)


def lines(**cells):
    return lambda conditions: {"lines": [cells]}


def fails(conditions):
    raise RuntimeError("too little\nmemory")


# What is measured.


@pytest.mark.parametrize(
    ("fun", "kind"),
    [
        (lambda x: x + jnp.roll(x, 1, 1) ** 2, "equivariant"),
        (lambda x: (x + jnp.roll(x, 1, 1))[:, ::2] * 3, "equivariant"),
        (lambda x: jnp.tanh(x[:, ::2]).sum(1), "invariant"),
        (lambda x: x[:, 2:] - x[:, :-2], "equivariant"),  # a window
        (lambda x: x[:, 1:3], "equivariant"),  # a narrow one
    ],
)
def test_claims_are_compared_with_what_they_say(fun, kind):
    x = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    claim = certify(fun, x, axes=(1,)).only
    assert claim.kind == kind
    compared = 0
    before = np.asarray(fun(x))
    for shift in range(12):
        after = np.asarray(fun(np.roll(x, shift, 1)))
        pair = exactness.claimed(claim, before, after, (shift,))
        if shift % claim.period[0]:
            assert pair is None
            continue
        if pair is not None:
            np.testing.assert_allclose(*pair, rtol=1e-6)
            compared += pair[0].size
        other = exactness.claimed(claim, before, after + 1, (shift,))
        assert other is None or not np.allclose(*other)
    assert compared >= 6


def test_nothing_is_compared_where_nothing_is_claimed():
    x = np.ones((2, 12), np.float32)
    claim = certify(lambda x: jnp.cumsum(x, 1), x, axes=(1,)).only
    assert exactness.claimed(claim, x, x, (1,)) is None


def test_exactness_tells_a_false_orbit_and_a_false_claim(monkeypatch):
    case = Case("", "Tiny", "lenet", {"padding": "CIRCULAR"}, (1, 8, 8, 1))

    def wrong(fun, **options):
        return lambda *args: orbit(fun, **options)(*args).at[0, 0].add(0.01)

    monkeypatch.setattr(exactness, "orbit", wrong)
    (line,) = exactness.exactness(case, "float32", Conditions(quick=True))["lines"]
    assert line["verdict"] == "EXCEEDED"
    assert line["difference of claims"] <= line["tolerance"] < line["difference of orbit"]

    monkeypatch.undo()
    monkeypatch.setattr(
        exactness, "claimed", lambda claim, before, after, shift: (after, 2 * before)
    )
    (line,) = exactness.exactness(case, "float32", Conditions(quick=True))["lines"]
    assert line["verdict"] == "EXCEEDED"
    assert line["difference of orbit"] <= line["tolerance"] < line["difference of claims"]


def test_a_nan_is_no_agreement():
    ours, theirs = np.array([np.nan, 1.0]), np.array([1.0, 1.0])
    assert exactness._errors(ours, theirs, "float32")[1] == np.inf
    assert exactness._errors(theirs, theirs, "float32") == (0.0, 0.0)
    figures = {"difference": np.nan, "tolerance": 1e-5}
    assert "EXCEEDS 1e-05" in tables._difference(figures)
    assert tables._difference({"difference": 1e-6, "tolerance": 1e-5}) == "1e-06"


def test_chosen_chunk_is_seen():
    x = jnp.ones((1, 8, 8, 1))
    chosen = compiled.compiled(orbit(jnp.cumsum, share=False), x)
    assert chosen.chunk == 64
    assert compiled.compiled(orbit(jnp.cumsum, share=False, chunk=4), x).chunk is None
    pooled = orbit(lambda x: jnp.tanh(x).mean((1, 2)))
    assert compiled.compiled(pooled, x).chunk is None
    assert chosen.bytes >= x.nbytes + 64 * 64 * x.itemsize


def test_a_peak_counts_only_if_the_program_made_it(monkeypatch):
    program = compiled.compiled(jnp.sin, 1.0)
    for peaks, expected in (((10, 30), 30), ((30, 30), None), ((None, None), None)):
        monkeypatch.setattr(compiled, "_peak_bytes", iter(peaks).__next__)
        assert compiled.memory_of(program, 1.0)["peak_bytes"] == expected


def test_a_setting_that_fails_is_left_out():
    def broken():
        raise RuntimeError("RESOURCE_EXHAUSTED")

    wide, narrow = Contender("4", broken, group="g"), Contender("1", list, group="g")
    interleave([wide, narrow], rounds=1, at_least=0.0)
    assert best([wide, narrow], "g") is narrow
    assert "RESOURCE_EXHAUSTED" in wide.to_dict()["failure"]
    with pytest.raises(RuntimeError, match="EXHAUSTED"):
        interleave([Contender("alone", broken)], rounds=1, at_least=0.0)


def test_a_chosen_chunk_that_fails_leaves_the_rest_to_be_seen(monkeypatch):
    seen = []

    def measuring(case, settings):
        seen.append(settings.chunks)
        if settings.chunks == (None,):
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return {"title": case.title}

    monkeypatch.setattr(rows, "measure", measuring)
    case = Case("", "Tiny", "lenet", {"padding": "CIRCULAR"}, (1, 8, 8, 1))
    found = rows.speed(case, "float32", Conditions())
    assert seen == [(None,), (4,)]
    assert found["case"]["title"] == "Tiny, float32 (at the chosen chunk: RuntimeError)"


def test_no_round_begins_after_the_time():
    contender = Contender("", list)
    interleave([contender], rounds=5, at_least=0.0, until=time.monotonic() - 1)
    assert len(contender.seconds) == 1


# How it goes on.


def test_rows_follow_the_most_valuable_and_have_names_of_their_own():
    assert len({r.name for r in ROWS}) == len(ROWS)
    tables = [table for table, _ in itertools.groupby(r.table for r in ROWS)]
    assert tables == [
        "Exactness", "Every shift", "Peak memory", "Chunks", "By itself", "Tiles", "Training"
    ]  # fmt: skip
    assert len(exactness.EXACT) == 10


def test_dry_run_has_every_network_in_every_kind_of_row_and_every_precision():
    def kinds(chosen):
        return {(r.measure.func, r.measure.args[0].name) for r in chosen}

    def precisions(chosen):
        return {(r.measure.func, *r.measure.args[1:]) for r in chosen}

    dry = [r for r in ROWS if r.dry]
    assert kinds(dry) == kinds(ROWS)
    assert precisions(dry) == precisions(ROWS)


def test_every_case_has_a_tiny_form():
    for case in (*CASES, *exactness.EXACT, *rows.TRAINED.values()):
        small = tiny(case)
        jax.eval_shape(lambda small=small: small.build("float32")[1:])


def test_figures_are_written_after_each_row_and_failures_cost_no_other(tmp_path, monkeypatch):
    seen = []

    def last(conditions):
        seen.append(json.loads((tmp_path / "dry-run.json").read_text())["rows"])
        return {"lines": [{"value": 2.0}]}

    plan = (row("a", lines(value=1.0)), row("b", fails), row("c", last))
    monkeypatch.setattr(accelerator, "ROWS", plan)
    found = accelerator.measure_here(options(tmp_path, "a", "b", "c"), guarded=False)
    assert {n: r["status"] for n, r in seen[0].items()} == {
        "a": "done",
        "b": "failed",
        "c": "started",
    }
    assert found["rows"]["b"]["why"] == "RuntimeError: too little memory"
    assert found["rows"]["c"]["lines"] == [{"value": 2.0}]
    assert found == json.loads((tmp_path / "dry-run.json").read_text())


def test_what_finds_no_time_left_says_so(tmp_path, monkeypatch):
    late = {"table": "Table", "status": "skipped", "why": "no time left"}
    slow = dataclasses.replace(row("slow", fails), seconds=1e6)
    plan = (slow, row("a", lines(value=1.0), group="g"), row("b", lines(value=2.0), group="g"))
    monkeypatch.setattr(accelerator, "ROWS", plan)
    given = options(tmp_path, "slow", "a", "b", minutes=1.0)
    blank = {"machine": None, "dry_run": False}
    # What the list says counts, and shorter rows are measured after a long one was left out.
    formats.write(given.path, {**blank, "rows": {}})
    found = accelerator.measure_here(given, guarded=False)["rows"]
    assert found["slow"] == late
    assert [found[name]["status"] for name in "ab"] == ["done", "done"]
    # Once a row has taken long, the others of its group will.
    formats.write(given.path, {**blank, "rows": {"a": {"status": "done", "seconds": 1e6}}})
    found = accelerator.measure_here(given, guarded=False)["rows"]
    assert found["slow"] == found["b"] == late
    # No process is started for it.
    formats.write(given.path, {**blank, "rows": {}})
    alone = dataclasses.replace(given, names=("slow",))
    assert accelerator.supervise(alone)["rows"] == {"slow": late}


def test_it_goes_on_where_it_stopped(tmp_path, monkeypatch):
    calls = []

    def count(conditions):
        calls.append(1)
        return {"lines": []}

    def in_this_process(given, names, environment):
        accelerator.measure_here(dataclasses.replace(given, names=tuple(names)), guarded=True)
        return 0

    monkeypatch.setattr(accelerator, "_in_another_process", in_this_process)
    plan = [row("a", count, group="g"), row("b", fails, group="g"), row("c", count, group="g")]
    monkeypatch.setattr(accelerator, "ROWS", tuple(plan))
    given = options(tmp_path, "a", "b", "c")
    first = accelerator.supervise(given)
    # A process stops after a failure, and another one goes on.
    assert [r["status"] for r in first["rows"].values()] == ["done", "failed", "done"]
    plan[1] = row("b", lines(value=1.0), group="g")
    monkeypatch.setattr(accelerator, "ROWS", tuple(plan))
    accelerator.forget_failures(dataclasses.replace(given, dry_run=True))
    assert accelerator._read(given)["rows"] == {}  # a dry run shows that everything runs today
    formats.write(given.path, first)
    kept = {n: r for n, r in first["rows"].items() if r["status"] == "done"}
    formats.write(tmp_path / "accelerator.json", first)
    real = dataclasses.replace(given, dry_run=False)
    accelerator.forget_failures(real)
    assert accelerator._read(real)["rows"] == kept
    formats.write(given.path, {**first, "rows": kept})
    again = accelerator.supervise(given)
    assert len(calls) == 2
    assert list(again["rows"]) == ["a", "b", "c"]
    assert again["rows"]["b"]["status"] == "done"


def test_a_row_from_the_cache_has_a_process_before_it(tmp_path, monkeypatch):
    """The second process alone is measured; both keep their programs in one folder."""
    began = []

    def in_this_process(given, names, environment):
        began.append((given.out, environment.get("JAX_COMPILATION_CACHE_DIR")))
        accelerator.measure_here(dataclasses.replace(given, names=tuple(names)), guarded=True)
        return 0

    monkeypatch.setattr(accelerator, "_in_another_process", in_this_process)
    warm = dataclasses.replace(row("warm", lines(value=1.0)), from_cache=True)
    monkeypatch.setattr(accelerator, "ROWS", (warm, row("cold", lines(value=2.0))))
    found = accelerator.supervise(options(tmp_path, "warm", "cold"))
    assert [r["status"] for r in found["rows"].values()] == ["done", "done"]
    (elsewhere, cache), (here, same), (also_here, none) = began
    assert here == also_here == tmp_path != elsewhere
    assert cache == same is not None
    assert none is None


def test_a_row_that_takes_its_process_down_costs_no_other(tmp_path, monkeypatch):
    plan = (row("a", lines(value=1.0), group="g"), row("b", lines(value=2.0), group="g"))
    monkeypatch.setattr(accelerator, "ROWS", plan)
    given = options(tmp_path, "a", "b")

    def dies_at_a(given, names, environment):
        if names[0] == "a":
            found = accelerator._read(given)
            accelerator._note(given, found, plan[0], {"status": "started"})
            return -11
        accelerator.measure_here(dataclasses.replace(given, names=tuple(names)), guarded=True)
        return 0

    monkeypatch.setattr(accelerator, "_in_another_process", dies_at_a)
    found = accelerator.supervise(given)
    assert found["rows"]["a"]["why"] == "it hung or crashed: its process ended with status -11"
    assert found["rows"]["b"]["status"] == "done"
    given.path.unlink()
    monkeypatch.setattr(accelerator, "_in_another_process", lambda given, names, environment: 1)
    with pytest.raises(ChildProcessError, match="status 1 before its first row"):
        accelerator.supervise(given)


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--only speed is no row; allowed are exactness-lenet"):
        accelerator.parse(["--only", "speed"])
    with pytest.raises(ValueError, match=r"--minutes is -1\.0; allowed are numbers from 0"):
        accelerator.parse(["--minutes", "-1"])
    with pytest.raises(ValueError, match="holds no figures; measure first"):
        accelerator.main(["--page", "--out", str(tmp_path)])
    with pytest.raises(ValueError, match="a dry run has no figures for the page"):
        accelerator.main(["--page", "--dry-run", "--out", str(tmp_path)])
    if jax.default_backend() == "cpu":
        real = options(tmp_path, dry_run=False)
        with pytest.raises(ValueError, match="JAX sees no GPU or TPU; on a processor give --dry"):
            accelerator.measure_here(real, guarded=True)
    formats.write(tmp_path / "dry-run.json", {"machine": {"device": "X"}, "rows": {}})
    with pytest.raises(ValueError, match="holds figures of X and other versions"):
        accelerator.measure_here(options(tmp_path), guarded=False)


# What it shows.


def test_page_holds_the_figures_and_what_is_missing(tmp_path):
    assert "No GPU or TPU was at hand" in page.page({}, {})
    found = {
        "machine": {"device": "1 x GPU", "jax": "1.0", "driver": "NVIDIA 5"},
        "dry_run": False,
        "rows": {
            "a": {
                "status": "done",
                "table": "A",
                "lines": [{"network": "x|y", "peak bytes": 2**30}],
            },
            "b": {"status": "done", "table": "A", "lines": [{"network": "z", "tolerance": 0.5}]},
            "c": {"status": "failed", "table": "B", "why": "RuntimeError: a|b"},
            "d": {"status": "skipped", "table": "B", "why": "no time left"},
        },
    }
    formats.write(tmp_path / "in" / "accelerator.json", found)
    argv = ["--page", "--out", str(tmp_path / "in"), "--docs", str(tmp_path)]
    assert accelerator.main(argv) == 0
    written = (tmp_path / "benchmarks.md").read_text()
    assert "**1 x GPU**; jax 1.0, driver NVIDIA 5" in written
    assert "| network | peak bytes | tolerance |" in written
    assert "| x/y | 1,024 MiB |  |" in written
    assert "| z |  | 5.0e-01 |" in written
    assert "| c | failed | RuntimeError: a/b |" in written
    assert "| d | skipped | no time left |" in written
    assert "No GPU or TPU was at hand" not in written
    # Another device stands beside it, the same one replaces it.
    page.add_accelerator(tmp_path, {**found, "machine": {"device": "TPU"}})
    page.add_accelerator(tmp_path, {**found, "rows": {}})
    kept = json.loads((tmp_path / "accelerator.json").read_text())
    assert {device: len(run["rows"]) for device, run in kept.items()} == {"1 x GPU": 0, "TPU": 4}


def test_page_in_the_documentation_is_the_one_written(tmp_path):
    for source in page.DOCS.glob("*.json"):
        (tmp_path / source.name).write_text(source.read_text())
    page.write_page(tmp_path)
    assert (tmp_path / "benchmarks.md").read_text() == (page.DOCS / "benchmarks.md").read_text()
