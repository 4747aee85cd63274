"""A tiled run that ends in between and goes on: no finished tile is evaluated again."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxinv
from tests.tiling.networks import conv, normal

X = normal(1, 1, 30, 26, 2).astype(np.float32)
WEIGHTS = normal(2, 2).astype(np.float32)
TILES = 12
TWO = np.float32(2)


def net(weights, x):
    return {"map": conv(x, 0, 2) * weights, "half": conv(x, 1, 1)[:, ::2, ::2]}


WHOLE = jax.jit(net)(WEIGHTS, X)


class Counted:
    """An image that counts its tiles as they are read, and fails at one."""

    def __init__(self, array=X, *, fails_at=None):
        self.array, self.fails_at, self.reads = array, fails_at, 0

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def __getitem__(self, box):
        if self.reads == self.fails_at:
            raise InterruptedError
        self.reads += 1
        return self.array[box]


def files(folder, mode="w+"):
    """Memory maps for the outputs."""
    return {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode, np.float32, array.shape)
        if mode == "w+"
        else np.load(folder / f"{name}.npy", mmap_mode=mode)
        for name, array in WHOLE.items()
    }


def run(x, out, folder, *, fun=net, weights=WEIGHTS, **options):
    options = {"tile": 12, "argnums": 1} | options
    return jaxinv.tiled(fun, out=out, resume=folder / "tiles", **options)(weights, x)


def same(out):
    for name, array in WHOLE.items():
        np.testing.assert_allclose(out[name], array, rtol=0, atol=1e-6)


@pytest.fixture
def interrupted(tmp_path):
    with pytest.raises(InterruptedError):
        run(Counted(fails_at=5), files(tmp_path), tmp_path)
    return tmp_path


def test_it_goes_on_where_it_stopped(interrupted):
    rest = Counted()
    out = files(interrupted, "r+")
    assert run(rest, out, interrupted) is not None
    assert rest.reads == TILES - 5
    uninterrupted = {name: np.zeros_like(array) for name, array in out.items()}
    jaxinv.tiled(net, tile=12, argnums=1, out=uninterrupted)(WEIGHTS, X)
    for name, array in uninterrupted.items():
        np.testing.assert_array_equal(out[name], array)
    same(out)
    again = Counted()
    run(again, out, interrupted)
    assert again.reads == 0


def test_without_a_tile_it_is_that_of_the_interrupted_run(interrupted):
    rest = Counted()
    run(rest, files(interrupted, "r+"), interrupted, tile=None)
    assert rest.reads == TILES - 5


def test_what_no_longer_stands_in_out_is_evaluated_again(interrupted):
    rest, out = Counted(), files(interrupted, "r+")
    out["half"][0, 0, 0] += 1
    run(rest, out, interrupted)
    assert rest.reads == TILES - 4
    same(out)
    new = Counted()
    run(new, files(interrupted), interrupted)
    assert new.reads == TILES


def test_a_line_that_was_not_written_to_its_end_counts_for_nothing(interrupted):
    path = interrupted / "tiles"
    path.write_text(path.read_text()[:-3])
    rest, out = Counted(), files(interrupted, "r+")
    run(rest, out, interrupted)
    assert rest.reads == TILES - 4
    same(out)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 1 + TILES


def other_net(weights, x):
    return {"map": conv(x, 0, 2) * weights, "half": conv(x, 2, 1)[:, ::2, ::2]}


OTHERS = {
    "function": {"fun": other_net},
    "function, its weights": {"weights": 2 * WEIGHTS},
    "function, its closure": {"fun": functools.partial(lambda two, w, x: net(two * w, x), TWO)},
    "tile, [12, 12] and not [14, 14]": {"tile": 14},
    "halo, ": {"halo": 2},
    "image, ": {"x": X.astype(np.float16)},
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_run_is_refused(interrupted, what):
    given = {"x": X, "out": files(interrupted, "r+"), "folder": interrupted}
    before = (interrupted / "tiles").read_bytes()
    with pytest.raises(ValueError, match="is the journal of a run with another") as raised:
        run(**given | OTHERS[what])
    assert f"another {what.partition(', its')[0]}" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (interrupted / "tiles").read_bytes() == before


def test_what_calls_back_into_python_is_refused(tmp_path):
    def calls(weights, x):
        two = jax.pure_callback(lambda: TWO, jax.ShapeDtypeStruct((), np.float32))
        return jax.tree.map(lambda y: two * y, net(weights, x))

    with pytest.raises(ValueError, match="content can be seen: one without calls back"):
        run(X, files(tmp_path), tmp_path, fun=calls)


def test_an_image_of_another_size_is_refused(interrupted):
    x = X[:, :-2]
    shapes = jax.eval_shape(net, WEIGHTS, x)
    out = {name: np.zeros(made.shape, made.dtype) for name, made in shapes.items()}
    with pytest.raises(ValueError, match="journal of a run with another image"):
        run(x, out, interrupted)


def test_no_other_run_writes_at_the_same_time(tmp_path):
    class Again(Counted):
        def __getitem__(self, box):
            with pytest.raises(ValueError, match="is in use by another run"):
                run(X, files(tmp_path), tmp_path)
            return super().__getitem__(box)

    run(Again(), files(tmp_path), tmp_path, tile=(30, 26))


def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path):
    for text in (b"not a journal\n", b'{"a": 1}\n', b"[1]\n", b"words", b"\xff\xd8\n\xff"):
        (tmp_path / "tiles").write_bytes(text)
        for tile in (12, None):
            with pytest.raises(ValueError, match="is no journal of tiles; give another file"):
                run(X, files(tmp_path), tmp_path, tile=tile)
        assert (tmp_path / "tiles").read_bytes() == text


def test_a_first_line_that_was_not_written_to_its_end_is_written_again(interrupted):
    path = interrupted / "tiles"
    path.write_text(path.read_text().splitlines()[0][:20])
    all_of_them = Counted()
    run(all_of_them, files(interrupted, "r+"), interrupted)
    assert all_of_them.reads == TILES


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_in_another_process(tmp_path):
    files(tmp_path)
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.tiling import test_resume as t\n"
        "class Kills(t.Counted):\n"
        "    def __getitem__(self, box):\n"
        "        if self.reads == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().__getitem__(box)\n"
        "folder = Path(sys.argv[1]); t.run(Kills(), t.files(folder, 'r+'), folder)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        check=False,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL
    rest, out = Counted(), files(tmp_path, "r+")
    run(rest, out, tmp_path)
    assert rest.reads == TILES - 4
    same(out)
