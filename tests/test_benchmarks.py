"""The benchmark on tiny networks: its figures hold together, and it says what it cannot do."""

import dataclasses
import functools
import io
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from benchmarks import limit_page, machine, orbit, page, scaling, shift_by_shift
from benchmarks.case import AIMS, Case
from benchmarks.cases import CASES
from benchmarks.limits import border_bound
from benchmarks.measure import Settings, difference, judged, measure
from benchmarks.timing import Contender, best, interleave, ratio

QUICK = Settings(rounds=1, at_least=0.0, chunks=(None, 2), torch_chunks=(2,), torch=False)
TINY = Case(
    "tiny",
    "Tiny",
    "lenet",
    {"widths": ((2,), (2,)), "kernels": 3, "padding": "CIRCULAR", "dense": (4,)},
    (2, 4, 4, 1),
    aims={"ratio": 0.0, "passes": 1e-9, "difference": 1e-4},
)
SMALL = {"blocks": (1, 1), "width": 4}

NO_TORCH = "PyTorch is not installed: pip install '.[torch]'"


def test_row_of_a_network():
    row = measure(TINY, QUICK)
    assert row["shifts"] == 16
    assert set(row["times"]) == {
        "forward pass",
        "shared",
        "brute force, auto",
        "brute force, 2",
        "jitted loop",
    }
    assert all(took["median"] > 0 for took in row["times"].values())
    assert set(row["differences"]) == {"brute force, auto", "brute force, 2", "jitted loop"}
    assert max(row["differences"].values()) < 1e-5
    assert [aim["reached"] for aim in row["aims"]] == [True, False, True]
    json.dumps(row)


def test_sampled_shifts_are_compared_with_the_same_shifts():
    row = measure(TINY, dataclasses.replace(QUICK, sample=5, chunks=(None, 2, 16)))
    assert row["times"]["brute force, auto"]["shifts_timed"] == 5
    assert row["times"]["brute force, 2"]["shifts_timed"] == 4  # whole chunks
    assert "brute force, 16" not in row["times"]
    assert row["figures"]["difference"] < 1e-5


@pytest.mark.slow
def test_row_of_a_gradient():
    case = dataclasses.replace(
        TINY, kind="gradient", aims={"gradients": 1e9, "difference": 1e-4}, sample=3
    )
    row = measure(case, QUICK)
    assert row["figures"]["difference"] < 1e-4
    assert row["figures"]["difference_float64"] < 1e-12
    assert row["times"]["jitted loop"]["shifts_timed"] == 3
    assert [aim["reached"] for aim in row["aims"]] == [True, True]


def test_weights_are_all_moved_from_their_start():
    case = Case("", "", "resnet20", SMALL, (1, 8, 8, 3))  # it has scales and batch statistics
    _, variables, _ = case.build("float32")
    for leaf in jax.tree.leaves(variables):
        assert np.ptp(leaf) > 0


@pytest.mark.parametrize(
    ("model", "options", "shape"),
    [
        ("lenet", {"padding": "VALID", "kernels": 3}, (2, 12, 12, 1)),
        ("lenet", {"padding": "CIRCULAR", "head": "gap"}, (2, 8, 8, 1)),
        ("lenet", {"padding": "SAME", "downsample": "none", "kernels": 3}, (2, 6, 6, 1)),
        ("lenet", {"padding": "SAME", "downsamplings": 1, "head": "gap"}, (2, 8, 8, 1)),
        ("resnet20", {**SMALL, "padding": "SAME"}, (1, 8, 8, 3)),
        ("resnet18", {**SMALL, "padding": "CIRCULAR", "downsample": "stride"}, (1, 16, 16, 3)),
        ("resnet18", {**SMALL, "padding": "CIRCULAR", "downsample": "max"}, (1, 16, 16, 3)),
        ("resnet18", {**SMALL, "padding": "CIRCULAR", "downsample": "blur"}, (1, 16, 16, 3)),
        ("resnet50", {**SMALL, "padding": "CIRCULAR"}, (1, 16, 16, 3)),
        ("audio1d", {"padding": "VALID", "widths": ((4,),) * 4}, (1, 4096, 1)),
    ],
)
def test_twin_in_pytorch_is_the_same_network(model, options, shape):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    from benchmarks.pytorch import Twin

    case = Case("", "", model, options, shape)
    apply, variables, x = case.build("float32")
    twin = Twin(case.create(), variables, torch.float64)
    theirs = twin(torch.tensor(np.asarray(x, np.float64)).movedim(-1, 1)).numpy()
    ours = np.asarray(jax.jit(apply)(variables, x), np.float64)
    assert difference(ours, theirs) < 1e-4


def test_pytorch_loops_agree_with_the_orbit():
    pytest.importorskip("torch", reason=NO_TORCH)
    row = measure(TINY, dataclasses.replace(QUICK, torch=True))
    theirs = [value for name, value in row["differences"].items() if "PyTorch" in name]
    assert len(theirs) == 4  # one and two shifts at a time, channels first and last
    assert max(theirs) < 1e-5


def test_twin_in_pytorch_refuses_what_it_lacks():
    pytest.importorskip("torch", reason=NO_TORCH)
    from benchmarks.pytorch import Twin

    with pytest.raises(ValueError, match="without a twin"):
        Twin(Case("", "", "vit_small", {}, (1, 32, 32, 3)).create(), {}, None)


def test_difference_is_relative_to_the_scale():
    assert difference(np.array([1.0, 8.0]), np.array([2.0, 8.0])) == 1 / 8


def test_interleaving_takes_turns_and_gives_up_the_hopeless():
    calls = []

    def sleeper(name, seconds):
        def call():
            calls.append(name)
            time.sleep(seconds)

        return call

    fast = Contender("fast", sleeper("fast", 0.01), group="g")
    slow = Contender("slow", sleeper("slow", 0.2), group="g")
    other = Contender("other", sleeper("other", 0.01), scale=3.0)
    interleave([fast, slow, other], rounds=2, at_least=0.0)
    assert calls == ["fast", "slow", "other", "fast", "other", "fast", "other"]
    assert best([fast, slow, other], "g") is fast
    assert best([fast], "none") is None
    assert other.median >= 0.03


def test_ratio_pairs_rounds():
    slow, fast = Contender("", list), Contender("", list)
    slow.seconds, fast.seconds = [2.0, 30.0, 6.0], [1.0, 10.0, 2.0]
    assert ratio(slow, fast) == 3.0


def test_aims_are_judged_where_they_hold():
    figures = {"ratio": 10.0, "passes": 5.0, "difference": 1e-6}
    case = dataclasses.replace(TINY, aims={"ratio": 45.0, "passes": 350.0})
    assert [a["reached"] for a in judged(case, QUICK, figures)] == [False, True]
    in_float64 = judged(case, dataclasses.replace(QUICK, dtype="float64"), figures)
    assert [(a["figure"], a["reached"]) for a in in_float64] == [("difference", False)]
    assert judged(case, dataclasses.replace(QUICK, dtype="bfloat16"), figures) == []
    assert judged(dataclasses.replace(case, device="gpu"), QUICK, figures) == []


def test_program_writes_figures_and_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(orbit, "CASES", (TINY,))
    monkeypatch.setattr(orbit, "settings_of", lambda options, dtype: QUICK)
    said = io.StringIO()
    options = orbit.Options(output=tmp_path / "a" / "orbit.json", write_docs=True, docs=tmp_path)
    monkeypatch.setattr(machine, "use", lambda dtype: "float32")
    found = orbit.main(options, Console(file=said, width=200))
    ((key, saved),) = json.loads(options.output.read_text()).items()
    assert saved["rows"].keys() == {"tiny"}
    assert "Shared and brute force" in said.getvalue()
    written = (tmp_path / "benchmarks.md").read_text()
    assert "| Tiny | 2x4x4x1 | 16 |" in written
    assert "missed" in written
    busy = {**found, "rows": {"tiny": found["rows"]["tiny"] | {"load": 9.6}}}
    assert "Other programs ran meanwhile (load average 10 to 10)" in page.page({key: busy}, {})
    # With --resume nothing is measured again.
    monkeypatch.setattr(orbit, "measure", None)
    again = orbit.main(dataclasses.replace(options, resume=True), Console(file=said, width=200))
    assert again["rows"].keys() == {"tiny"}
    # A second run of other networks on the same machine keeps the rows of the first.
    other = {**found, "rows": {"tiny-2": {**found["rows"]["tiny"], "title": "Second"}}}
    monkeypatch.setattr(orbit, "CASES", (TINY, dataclasses.replace(TINY, name="tiny-2")))
    (key,) = json.loads(options.output.read_text())
    orbit.write_docs(tmp_path, key, other)
    written = (tmp_path / "benchmarks.md").read_text()
    assert "| Tiny |" in written
    assert "| Second |" in written
    # Figures of another release of jax do not mix with these.
    newer = {**other, "machine": {**found["machine"], "jax": "9.9"}}
    orbit.write_docs(tmp_path, key, newer)
    assert "| Tiny |" not in (tmp_path / "benchmarks.md").read_text()


def test_program_refuses_wrong_options():
    console = Console(file=io.StringIO())
    with pytest.raises(ValueError, match=r"--only alexnet is no network; allowed are lenet"):
        orbit.chosen_cases(orbit.Options(only=("alexnet",)))
    with pytest.raises(ValueError, match="leave one of them out"):
        orbit.main(orbit.Options(quick=True, write_docs=True), console)
    with pytest.raises(ValueError, match="--rounds is 0"):
        orbit.settings_of(orbit.Options(rounds=0), "float32")
    with pytest.raises(ValueError, match="dtype is 'float8'; allowed are float32"):
        machine.use("float8")
    if jax.default_backend() != "gpu":
        with pytest.raises(ValueError, match="tf32 is a format"):
            machine.use("tf32")


def test_cases_are_chosen_by_pattern_and_device():
    chosen = orbit.chosen_cases(orbit.Options(only=("resnet18-*-64", "audio1d")))
    assert [c.name for c in chosen] == [
        "resnet18-stride-64",
        "resnet18-max-64",
        "resnet18-blur-64",
        "audio1d",
    ]
    quick = orbit.chosen_cases(orbit.Options(quick=True))
    assert all(max(case.sizes) != 224 for case in quick)
    assert orbit.settings_of(orbit.Options(quick=True), "float32").rounds == 1


def test_shifts_in_which_zeros_enter():
    pytest.importorskip("torch", reason=NO_TORCH)
    padded = {**TINY.options, "padding": "SAME", "downsample": "none"}
    case = dataclasses.replace(TINY, options=padded, mode="constant", max_shift=1, sample=4)
    assert (case.count, case.steps) == (9, (3, 3))
    assert case.places(np.array([[-1, -1], [0, 1]])).tolist() == [0, 5]
    row = measure(case, dataclasses.replace(QUICK, torch=True))
    assert row["shifts"] == 9
    assert len(row["differences"]) == 7  # brute force twice, a loop, PyTorch four times
    assert max(row["differences"].values()) < 1e-5
    assert {"share_of_bound", "ratio_to_torch", "compile_in_passes"} <= row["figures"].keys()


def test_maps_are_averaged_and_networks_without_a_twin_are_timed_without_it():
    pytest.importorskip("torch", reason=NO_TORCH)
    case = Case(
        "", "", "unet", {"widths": (2, 4)}, (1, 8, 8, 1), averaged=True, num_classes=2, sample=4
    )
    row = measure(case, dataclasses.replace(QUICK, torch=True))
    assert max(row["differences"].values()) < 1e-5
    assert "ratio_to_torch" not in row["figures"]


def test_bound_of_borders_weighs_convolutions_by_their_operations():
    # Maps of 8 positions, of which 2 and then 4 have met the padding: 3 and 5 distinct copies along
    # each axis. The second convolution has 4 times the operations of the first.
    kernels = {"first": jnp.ones((3, 3, 1, 4)), "second": jnp.ones((3, 3, 4, 4))}

    def padded(kernels, x):
        for kernel in kernels.values():
            x = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        return x.mean(axis=(1, 2))

    x = jnp.zeros((2, 8, 8, 1))
    bound = border_bound(padded, kernels, x, argnums=1, axes=(1, 2))
    assert bound == pytest.approx((1 + 4) / ((3 / 8) ** 2 + 4 * (5 / 8) ** 2))
    # Where every position has met the padding nothing is shared.
    assert border_bound(padded, kernels, x[:, :2, :2], argnums=1, axes=(1, 2)) == 1


def test_rows_count_what_limits_them():
    padded = dataclasses.replace(TINY, options={**TINY.options, "padding": "SAME"})
    figures = measure(padded, QUICK)["figures"]
    assert figures["border_bound"] >= 1
    assert figures["forward_flops"] > 0
    assert "border_bound" not in measure(TINY, QUICK)["figures"]


def test_speeds_and_the_share_of_the_bound_on_the_page():
    times = {"forward pass": {"median": 0.001}, "shared": {"median": 0.02}}
    figures = {"forward_flops": 2e9, "work_in_passes": 10.0, "ratio": 30.0, "border_bound": 40.0}
    row = {"title": "Net", "shape": [1, 8, 8, 1], "times": times, "figures": figures}
    row |= {"kind": "forward"}
    looped = row | {"kind": "gradient", "figures": figures | {"ratio": 700.0}}  # no batches there
    text = "\n".join(limit_page.section({"one core": [row, looped]}))
    speeds = "2 GFLOP | 20 GFLOP | 2 TFLOP | 1 TFLOP | 50% | 40 | 75% |"
    assert f"| Net | 1x8x8x1 | {speeds}" in text
    assert "| one core | 30 | every shift by itself | Net, 1x8x8x1 |" in text
    del figures["forward_flops"]
    assert limit_page.section({"one core": [row]}) == []


def test_shift_by_shift_goes_on_and_writes_its_section(tmp_path, monkeypatch):
    tiny = dataclasses.replace(TINY, sample=4)
    few = functools.partial(shift_by_shift.measure, widths=(1, 2), at_least=0.0)
    monkeypatch.setattr(shift_by_shift, "CASES", (tiny,))
    monkeypatch.setattr(shift_by_shift, "measure", few)
    options = shift_by_shift.Options(
        rounds=1, torch=False, output=tmp_path / "a.json", write_docs=True, docs=tmp_path
    )
    row = shift_by_shift.main(options)["rows"]["tiny"]
    # The network on the images of one shift and of two at once; the orbit at both, and auto.
    assert set(row["times"]) == {
        *("forward pass, 1", "forward pass, 2"),
        *("brute force, auto", "brute force, 1", "brute force, 2"),
    }
    assert row["shifts"] == 4
    assert row["ratio"] > 0
    assert row["processor_ratio"] > 0
    monkeypatch.setattr(shift_by_shift, "measure", None)  # nothing is measured again
    shift_by_shift.main(options)
    written = (tmp_path / "benchmarks.md").read_text()
    assert "## Every shift by itself" in written
    assert "| Tiny | 2x4x4x1 | " in written
    with pytest.raises(ValueError, match="allowed are tiny"):
        shift_by_shift.main(dataclasses.replace(options, only=("alexnet",)))


def test_every_aim_has_words():
    assert {name for case in CASES for name in case.aims} <= set(AIMS)
    assert len({case.name for case in CASES}) == len(CASES)


def test_scaling_goes_on_and_writes_its_section(tmp_path, monkeypatch):
    def measured(setting):
        figures = {"seconds": 9.0, "processor": 2 + setting.images / 500}
        figures |= {"mebibytes": [500.0], "load": 9.0}
        return dataclasses.asdict(setting) | figures

    monkeypatch.setattr(scaling, "measure", measured)
    given = ["--output", str(tmp_path / "scaling.json"), "--docs", str(tmp_path)]
    scaling.main([*given, "--only", "images ?000"])
    monkeypatch.setattr(scaling, "measure", None)  # nothing is measured again
    scaling.main([*given, "--only", "images ?000", "processes 1", "--write-docs"])
    written = (tmp_path / "benchmarks.md").read_text()
    assert "| 4,000 | 9.0 s, 10.0 s, 500 MiB |" in written
    assert "| slope | 2 s and 0 MiB for 1,000 images more |" in written
    assert "load average up to 9" in written
    # 50,000 images at 12.7 ms, and 289 passes of 0.091 ms each, on eight devices.
    assert "| circular padding, shifts shared, 8 H100 | 11 min | 79 s |" in written
    assert "| shift by shift (any padding), 8 H100 | 22 min | 164 s |" in written
