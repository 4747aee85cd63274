"""How processes divide things and agree, seen from one of them."""

import itertools
import json

import jax
import pytest

from jaxinv.devices import global_mesh, own_rows
from jaxinv.evaluation.sweep import sweep
from jaxinv.hosts import agreement
from jaxinv.hosts.meeting import Meeting


@pytest.fixture
def be(monkeypatch):
    """Makes this one of several processes."""

    def is_now(index, count):
        monkeypatch.setattr(jax, "process_index", lambda: index)
        monkeypatch.setattr(jax, "process_count", lambda: count)

    return is_now


@pytest.mark.parametrize("count", [0, 1, 2, 5, 100])
@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_each_thing_belongs_to_one_process(be, count, processes):
    shares = []
    for index in range(processes):
        be(index, processes)
        shares.append(agreement.share(count))
    assert list(itertools.chain(*shares)) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_agrees_with_itself():
    assert agreement.gather("text") == ["text"]
    assert agreement.from_first({"a": 1}) == {"a": 1}
    agreement.refuse_differences({"batch": "2"})
    with pytest.raises(OSError, match="of its own"):
        agreement.by_first(lambda: (_ for _ in ()).throw(OSError("of its own")))


def test_an_error_of_process_0_is_that_of_all(be, monkeypatch):
    def fail():
        raise OSError("the disk is full")

    be(0, 2)
    monkeypatch.setattr(agreement, "gather", lambda text: [text, ""])
    with pytest.raises(OSError, match="the disk is full"):
        agreement.by_first(fail)
    be(1, 2)
    monkeypatch.setattr(agreement, "gather", lambda text: ["the disk is full", text])
    with pytest.raises(ValueError, match="the disk is full"):
        agreement.by_first(fail)


def test_differences_are_named(monkeypatch):
    others = [json.dumps({"batch": "2"}), json.dumps({"batch": "3"})]
    monkeypatch.setattr(agreement, "gather", lambda text: [text, *others])
    with pytest.raises(ValueError, match="process 2 has batch 3, and process 0 has 2; allowed is"):
        agreement.refuse_differences({"batch": "2"})


def test_what_another_process_says_is_waited_for(tmp_path, be):
    here, there = Meeting(tmp_path, "run"), Meeting(tmp_path, "run")
    assert here.wait_for({1: here.path("done", 1)}, seconds=0) == [1]
    be(1, 2)
    there.say("done")
    assert here.wait_for({1: here.path("done", 1)}) == []
    there.say("failed", "no space\nis left")
    with pytest.raises(ValueError, match=r"process 1 of the run failed: no space\\nis left"):
        here.wait_for({1: here.path("more", 1)})


def test_a_batch_that_processes_cannot_divide(be):
    assert own_rows(6, global_mesh(1)) == slice(0, 6)
    be(0, 2)
    with pytest.raises(ValueError, match=r"batch_size is 31, .* a multiple of 2, the number of"):
        global_mesh(31)


def test_several_processes_need_a_folder(be):
    from jaxinv import data

    be(0, 2)
    with pytest.raises(ValueError, match="several processes need a folder for shards"):
        sweep(lambda x: x.sum((1, 2)), data.load("digits", split="test[:2]"))
