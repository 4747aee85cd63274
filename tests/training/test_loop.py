"""Whole runs: they learn, they are stored, they stop and continue without a trace."""

import json
import os
import resource
import shutil
import signal
import threading

import chex
import jax
import numpy as np
import pytest
from rich.progress import Progress

from jaxinv import training
from jaxinv.training import checkpoints as storage
from jaxinv.training.interrupts import stop_on_signals
from jaxinv.training.records import Display
from jaxinv.training.workdir import DataInfo, check, read_run, write_run


def test_a_run_learns_real_digits_and_loads_again(tmp_path, small):
    options = {"dense": (64,)}
    config = small(
        train_split="train",
        test_split="test",
        epochs=8,
        holdout=97,
        batch_size=50,
        model_options=options,
    )
    result = training.train_and_evaluate(config, tmp_path / "run", show=False)
    assert result.metrics["test_accuracy"] > 0.8
    assert result.step == 8 * 24
    assert isinstance(result, training.TrainResult)
    records = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert records == result.history
    assert [record["epoch"] for record in records] == list(range(1, 9))
    last = training.load_checkpoint(tmp_path / "run", which="last")
    chex.assert_trees_all_equal(last.variables, result.variables)
    assert isinstance(last, training.Trained)
    assert (last.step, last.config, last.data) == (result.step, config, result.data)
    best = training.load_checkpoint(tmp_path / "run")  # chosen by the images held out
    top = max(records, key=lambda record: record["holdout_accuracy"])
    assert best.step == top["step"]
    x = np.zeros((2, 32, 32, 1), np.float32)
    assert last.model.apply(last.variables, x).shape == (2, 10)


def test_nothing_is_written_without_a_workdir(tmp_path, small, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = []
    result = training.train_and_evaluate(small(epochs=1), show=False, on_epoch=records.append)
    assert result.step == 3
    assert records == result.history
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="resume needs a workdir"):
        training.train_and_evaluate(small(), resume=True)


def test_a_run_stopped_in_the_midst_of_an_epoch_continues_bit_for_bit(tmp_path, small):
    config = small(augment="translate", ema=0.5, epochs=3, tensorboard=True)
    whole = training.train_and_evaluate(config, tmp_path / "whole", show=False)

    class AtStepFive(threading.Event):
        """Set when it is asked for the fifth time, of nine."""

        calls = 0

        def is_set(self):
            self.calls += 1
            return self.calls == 5

    with pytest.raises(KeyboardInterrupt, match=r"stopped at step .* --resume continues"):
        training.train_and_evaluate(config, tmp_path / "cut", show=False, stop=AtStepFive())
    steps = storage.Checkpoints(tmp_path / "cut", "last", read_only=True).steps()
    assert steps == [5]  # within the second epoch
    with open(tmp_path / "cut" / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "step": 9, "train_lo')  # a line cut off
    resumed = training.train_and_evaluate(config, tmp_path / "cut", resume=True, show=False)
    chex.assert_trees_all_equal(resumed.variables, whole.variables)
    drop = lambda r: {k: v for k, v in r.items() if k != "seconds"}  # noqa: E731
    assert list(map(drop, resumed.history)) == list(map(drop, whole.history))
    assert list((tmp_path / "whole" / "tensorboard").glob("events.out.tfevents.*"))


def test_signals_ask_once_and_then_interrupt(capfd):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        _signal_three_times()
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopping after this step; Ctrl-C again ends at once" in capfd.readouterr().err


def test_a_closed_terminal_asks_to_stop_and_nohup_does_not():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        stop = threading.Event()
        with stop_on_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.is_set()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stop = threading.Event()
        with stop_on_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def _signal_three_times():
    stop = threading.Event()
    with stop_on_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_workdir_with_another_run_is_left_alone(tmp_path, small):
    training.train_and_evaluate(small(epochs=1), tmp_path, show=False)
    with pytest.raises(ValueError, match=r"already holds a run .* --resume"):
        training.train_and_evaluate(small(epochs=1), tmp_path, show=False)
    with pytest.raises(ValueError, match="holds a run with seed 0, which cannot be resumed with 1"):
        training.train_and_evaluate(small(seed=1), tmp_path, resume=True, show=False)
    more = training.train_and_evaluate(small(epochs=2), tmp_path, resume=True, show=False)
    assert more.step == 6
    with pytest.raises(ValueError, match=r"holds no run of train\.py"):
        training.train_and_evaluate(small(), tmp_path / "empty", resume=True, show=False)


def test_two_runs_in_one_workdir(tmp_path, small):
    said = []

    def second(record):
        with pytest.raises(ValueError, match=rf"is in use by process {os.getpid()} on .* since"):
            training.train_and_evaluate(small(), tmp_path, resume=len(said) % 2 == 0, show=False)
        said.append(record)

    first = training.train_and_evaluate(small(), tmp_path, show=False, on_epoch=second)
    assert len(said) == 2
    # and what the other attempts left alone can be loaded and resumed
    assert training.load_checkpoint(tmp_path).step == first.step
    again = training.train_and_evaluate(small(), tmp_path, resume=True, show=False)
    chex.assert_trees_all_equal(again.variables, first.variables)


def test_a_run_is_not_resumed_with_fewer_epochs_or_on_other_data(tmp_path, small):
    training.train_and_evaluate(small(epochs=2), tmp_path, show=False)
    stored = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match=r"epochs is 1, and the run in .* has done 2; it cannot"):
        training.train_and_evaluate(small(epochs=1), tmp_path, resume=True, show=False)
    (tmp_path / "config.json").write_text(stored.replace('"size": 96', '"size": 100'))
    with pytest.raises(ValueError, match="a run with size 100, which cannot be resumed with 96"):
        training.train_and_evaluate(small(epochs=2), tmp_path, resume=True, show=False)


def test_a_stopped_run_resumed_to_end_where_it_stopped_is_looked_at(tmp_path, small):
    class AfterThreeSteps(threading.Event):
        calls = 0

        def is_set(self):
            self.calls += 1
            return self.calls == 3

    config = small(epochs=2, eval_every=2)
    with pytest.raises(KeyboardInterrupt):
        training.train_and_evaluate(config, tmp_path, show=False, stop=AfterThreeSteps())
    ended = training.train_and_evaluate(small(epochs=1), tmp_path, resume=True, show=False)
    # The step size follows another course in one epoch than in two: only what was looked at counts.
    assert ended.step == 3
    assert ended.metrics["test_accuracy"] >= 0
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3]


def test_a_run_of_no_epochs_has_no_figures_of_training(tmp_path, small):
    result = training.train_and_evaluate(small(epochs=0), tmp_path, show=False)
    assert result.metrics["test_accuracy"] >= 0
    assert "train_loss" not in result.metrics
    assert "train_accuracy" not in result.metrics
    for which in ("best", "last"):
        chex.assert_trees_all_equal(
            training.load_checkpoint(tmp_path, which=which).variables, result.variables
        )
    again = training.train_and_evaluate(small(epochs=1), tmp_path, resume=True, show=False)
    assert training.load_checkpoint(tmp_path, which="best").step == again.step == 3


def test_results_without_their_configuration_are_not_overwritten(tmp_path, small):
    training.train_and_evaluate(small(epochs=1), tmp_path, show=False)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"holds results of a run without its config\.json"):
        training.train_and_evaluate(small(epochs=1), tmp_path, show=False)
    (tmp_path / "metrics.jsonl").write_text("")
    shutil.rmtree(tmp_path / "checkpoints" / "last")
    shutil.rmtree(tmp_path / "checkpoints" / "best")
    assert training.train_and_evaluate(small(epochs=1), tmp_path, show=False).step == 3


def test_who_looks_on_may_go_after_each_epoch_is_stored(tmp_path, small):
    def gone(record):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        training.train_and_evaluate(small(), tmp_path, show=False, on_epoch=gone)
    assert training.load_checkpoint(tmp_path, which="last").step == 3


def test_folders_of_data_are_remembered_as_seen_from_anywhere(tmp_path, small, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small(epochs=1, data_dir="sets", manual_dir=tmp_path / "files")
    training.train_and_evaluate(config, "run", show=False)
    stored = training.load_checkpoint("run").config
    assert stored.data_dir == str(tmp_path / "sets")
    assert stored.manual_dir == str(tmp_path / "files")
    own, info = small(dataset="./mine.npz"), DataInfo(10, (0.0,), (1.0,), (8, 8, 1), 100)
    (tmp_path / "own").mkdir()
    write_run(tmp_path / "own", own, info)
    check(tmp_path / "own", own, resume=True)
    monkeypatch.chdir("/")
    stored, _ = read_run(tmp_path / "own")
    assert stored.dataset == str(tmp_path / "mine.npz")
    check(tmp_path / "own", stored, resume=True, data=info)
    with pytest.raises(ValueError, match=r"cannot be resumed with '/mine\.npz'"):
        check(tmp_path / "own", own, resume=True)


def test_logits_that_are_not_finite_are_no_answers(small, monkeypatch):
    """The argmax of NaN is class 0, which some images are of."""
    from jaxinv.training import program

    make = program.make_evaluation

    def spoilt(*args, **options):
        evaluate = make(*args, **options)
        return lambda variables, *rest: evaluate(
            jax.tree.map(lambda leaf: leaf * np.nan, variables), *rest
        )

    monkeypatch.setattr(program, "make_evaluation", spoilt)
    with pytest.raises(FloatingPointError, match="test_loss is nan at step 3"):
        training.train_and_evaluate(small(), show=False)


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, small):
    training.train_and_evaluate(small(epochs=1), tmp_path, show=False)
    good = training.load_checkpoint(tmp_path)
    # The same run with parameters close to overflow: its next step is infinite.
    kept = storage.Checkpoints(tmp_path, "last")
    template = _template(small())
    step, tree = kept.restore(template)
    huge = jax.tree.map(lambda leaf: np.full_like(leaf, 3e38), tree["state"]["params"])
    kept.save(step + 1, {**tree, "state": {**tree["state"], "params": huge}})
    kept.close()
    with pytest.raises(FloatingPointError, match=r"at step \d+; the checkpoint of step 4 is kept"):
        training.train_and_evaluate(small(epochs=3), tmp_path, resume=True, show=False)
    assert training.load_checkpoint(tmp_path, which="last").step == 4
    assert good.step == 3


def test_divergence_without_a_checkpoint_says_so(tmp_path, small):
    config = small(optimizer="sgd", learning_rate=1e38, schedule="constant")
    with pytest.raises(FloatingPointError, match="no checkpoint was written before"):
        training.train_and_evaluate(config, tmp_path, show=False)
    with pytest.raises(FloatingPointError, match="nothing is kept without a workdir"):
        training.train_and_evaluate(config, show=False)


def _template(config):
    info = DataInfo(10, (0.0,), (1.0,), (32, 32, 1), 96)
    _, make = storage.state_maker(config, info)
    shapes = jax.eval_shape(make, jax.random.key(0))
    return {"state": jax.eval_shape(storage.pack, shapes), "best": storage.best_template()}


def test_a_checkpoint_that_does_not_fit_on_the_disk_is_not_begun(tmp_path, small, monkeypatch):
    training.train_and_evaluate(small(epochs=1), tmp_path, show=False)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(
        OSError, match=r"step 6 cannot be written .* 0\.1 MB are free\); .* step 3 is"
    ):
        training.train_and_evaluate(small(epochs=2), tmp_path, resume=True, show=False)
    assert training.load_checkpoint(tmp_path).step == 3


# Writes that tensorstore still had under way end after orbax has closed its event loop, and say so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_takes_no_more_leaves_the_last_good_checkpoint(tmp_path, small):
    config = small(epochs=1, model_options={"dense": (64,)})
    training.train_and_evaluate(config, tmp_path, show=False)
    good = training.load_checkpoint(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    more = small(epochs=2, model_options={"dense": (64,)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # what a full disk does: EFBIG
    try:
        with pytest.raises(
            OSError, match=r"checkpoint of step 6 cannot be written .* of step 3 is"
        ):
            training.train_and_evaluate(more, tmp_path, resume=True, show=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    chex.assert_trees_all_equal(training.load_checkpoint(tmp_path).variables, good.variables)
    assert training.train_and_evaluate(more, tmp_path, resume=True, show=False).step == 6


def test_an_unwritable_workdir_is_said_at_once(tmp_path, small):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"workdir .* cannot be written"):
        training.train_and_evaluate(small(), tmp_path / "file" / "run", show=False)


def test_a_name_that_is_no_text_is_refused(tmp_path, small):
    workdir = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(ValueError, match="cannot be read in the encoding of this locale"):
        training.train_and_evaluate(small(), workdir, show=False)


def test_a_batch_larger_than_the_data_is_refused(small):
    with pytest.raises(ValueError, match="batch_size is 32, and there are 6 images to train on"):
        training.train_and_evaluate(small(holdout=90), show=False)


def test_progress_on_a_terminal_and_elsewhere(small, capsys):
    display = Display(True, total=3, title="mlp on digits")
    record = {"epoch": 1, "step": 3, "train_loss": [0.5, 0.25], "seconds": 2.0}
    with display.running():
        display.update(3, "note")
        display.epoch(record, 1)
    assert "mlp on digits: epoch 1/1, train_loss 0.5 0.25, 2.0 s" in capsys.readouterr().err
    seen = []

    class Watched(Progress):
        def remove_task(self, task_id):
            seen.append((self.tasks[0].completed, self.tasks[0].total))
            super().remove_task(task_id)

    progress = Watched(disable=True)
    training.train_and_evaluate(small(epochs=1), show=progress)
    assert seen == [(3, 3)]
    assert not progress.tasks


def test_seeds_in_one_run_are_the_runs_of_those_seeds(tmp_path, small):
    many = training.train_and_evaluate(small(seeds=2, epochs=1), tmp_path, show=False)
    assert len(many.metrics["test_accuracy"]) == 2
    second = training.train_and_evaluate(small(seed=1, epochs=1), show=False)
    loaded = training.load_checkpoint(tmp_path, seed=1)
    chex.assert_trees_all_close(loaded.variables, second.variables, atol=1e-5)
    with pytest.raises(ValueError, match=r"seed is 2; the run in .* has 2, from 0"):
        training.load_checkpoint(tmp_path, seed=2)


def test_checkpoints_follow_the_evaluations(tmp_path, small, monkeypatch):
    stored = []
    save = storage.Checkpoints.save

    def noted(self, step, tree):
        stored.append((self.folder.name, step))
        save(self, step, tree)

    monkeypatch.setattr(storage.Checkpoints, "save", noted)
    result = training.train_and_evaluate(small(epochs=3, eval_every=2), tmp_path, show=False)
    assert ["test_loss" in record for record in result.history] == [False, True, True]
    assert {step for _, step in stored} == {6, 9}  # three steps an epoch
    assert ("last", 9) in stored
    assert training.load_checkpoint(tmp_path).step == 9
