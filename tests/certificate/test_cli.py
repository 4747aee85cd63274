"""`jaxinv certify`, in this process."""

import json

import pytest

import jaxinv
from jaxinv.certificate.cli import UNEXPECTED, keywords, main
from jaxinv.commands import main as jaxinv_command

MODULE = "tests.certificate.some_networks"


def certify(words, capsys):
    """The exit status, and what was printed to either stream."""
    status = main([f"{MODULE}:{words[0]}", *words[1:]])
    said = capsys.readouterr()
    return status, said.out, said.err


VERDICTS = {
    ("linen", "--shape", "1,16,16,3"): "invariant to multiples of (2, 2).",
    ("Linen", "--shape", "1,16,16,3"): "invariant to multiples of (2, 2).",
    ("padded", "--shape", "1,16,16,3"): "broken: commutes with no shift but 0.",
    ("nnx_network", "--shape", "1,8,8,3"): "equivariant to every shift; shows 6 of 8 positions.",
    ("with_options", "--shape", "1,8,8,3"): "equivariant to every shift; shows 6 of 8 positions.",
    ("equinox", "--shape", "3,8,8"): "equivariant to every shift; shows 6 of 8 positions.",
    ("rolled", "--shape", "1,8,3", "--axes", "1"): "equivariant to every shift.",
    ("rolled", "--shape", "1,8,8,3", "--call", "kind=mean"): "invariant to every shift.",
    ("rolled", "--shape", "1,3,8,8", "--axes", "2,3"): "equivariant to every shift.",
    ("rolled", "--shape", "(1,8,8,3)", "--mode", "edge"): "broken",
    ("made", "--shape", "1,8,8,3"): "equivariant to every shift.",
}


@pytest.mark.parametrize("words", VERDICTS)
def test_verdicts(words, capsys):
    status, out, err = certify(words, capsys)
    assert (status, err) == (0, "")
    assert VERDICTS[words] in out


def test_what_is_expected_decides_the_status(capsys):
    words = ("--shape", "1,16,16,3", "--expect", "invariant to multiples of 2")
    assert certify(("linen", *words), capsys)[0] == 0
    status, out, err = certify(("padded", *words), capsys)
    assert status == UNEXPECTED
    assert "zero padding of 1 meets the border" in out
    assert err == "jaxinv certify: expected invariant to multiples of 2, which is not proved\n"


def test_json(capsys):
    words = ("linen", "--shape", "1,16,16,3", "--json", "--expect", "equivariant to every shift")
    status, out, _ = certify(words, capsys)
    told = json.loads(out)
    assert (status, told["holds"]) == (UNEXPECTED, False)
    assert told["outputs"][0]["kind"] == "invariant"
    assert told["steps"][0]["layer"] == "Conv_0"


def test_the_tiling_on_request(capsys):
    words = ("--shape", "1,16,16,3", "--tiling")
    _, out, _ = certify(("nnx_network", *words), capsys)
    assert "halo      0 + 2  lost before and after" in out
    _, out, _ = certify(("nnx_network", *words, "--json"), capsys)
    assert json.loads(out)["tiling"]["halo"] == [[0, 2], [0, 2]]
    status, out, _ = certify(("padded", *words), capsys)
    assert (status, "no tiles: no halo suffices along axis 1" in out) == (0, True)
    _, out, _ = certify(("padded", *words, "--json"), capsys)
    assert json.loads(out)["tiling"].startswith("no tiles: ")


def test_a_row_for_each_equation(capsys):
    layers, equations = (
        certify(("linen", "--shape", "1,16,16,3", *more), capsys)[1]
        for more in ((), ("--all-equations",))
    )
    assert len(equations.splitlines()) > len(layers.splitlines()) + 5


WRONG = {
    ("raises", "--shape", "1,8,8,3"): "RuntimeError: no such thing (some_networks.py, line ",
    ("number", "--shape", "1,8,8,3"): "is of type int; needed is a function or a module",
    ("linen", "--shape", "1,16"): "cannot be applied to an image of shape (1, 16)",
    ("linen", "--shape", "1,a"): "shape is '1,a'; it is whole numbers with commas between them",
    ("linen", "--shape", "1,0,8,3"): "each dimension has at least one position",
    ("linen", "--shape", "1,8,8,3", "--axes", "1,9"): "axis 9 of axes (1, 9) is out of range",
    ("linen", "--shape", "1,8,8,3", "--axes", ""): "the word behind --axes is empty",
    ("linen", "--shape", "1,8,8,3", "--axes", "a"): "axes is 'a'; it is whole numbers",
    ("gives_nothing", "--shape", "1,8,8,3"): "called without arguments it gives NoneType\n",
    ("linen", "--shape", "1,8,8,3", "--dtype", "floaty"): "dtype is 'floaty'; allowed are",
    ("linen", "--shape", "1,8,8,3", "--call", "train"): "call is 'train'; it has the form",
    ("linen", "--shape", "1,8,8,3", "--expect", "good"): "expect is 'good'; it has the form",
    ("rolled", "--shape", "1,8,8,3", "--call", "nothing=1"): "unexpected keyword argument",
    ("nothing", "--shape", "1,8,8,3"): f"{MODULE} has no nothing",
    ("linen",): "--shape",
    ("linen", "--shape", "1,8,8,3", "--mode", "mirror"): "mode",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_input_is_told_in_one_line(words, capsys):
    status, out, err = certify(words, capsys)
    assert (status, out) == (1, "")
    assert err.startswith("jaxinv certify: error: ")
    assert err.count("\n") == 1
    assert WRONG[words] in err


def test_keywords():
    words = ["train=False", "scale=2", "kind=mean", "sizes=[1, 2]", "none=None", "text=a=b"]
    assert keywords(words) == {
        "train": False,
        "scale": 2,
        "kind": "mean",
        "sizes": [1, 2],
        "none": None,
        "text": "a=b",
    }


def test_the_command(capsys):
    assert jaxinv_command(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxinv {jaxinv.__version__}\n"
    assert jaxinv_command([]) == 0
    assert all(name in capsys.readouterr().out for name in ("certify",))
    assert jaxinv_command(["certify", f"{MODULE}:rolled", "--shape", "1,8,8,3"]) == 0
    assert "equivariant to every shift." in capsys.readouterr().out
    assert jaxinv_command(["prove"]) == 1
    assert "there is no command 'prove'; allowed are certify, evaluate" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["certify", "evaluate", "train"])
def test_help_of_each_command(command, capsys):
    with pytest.raises(SystemExit) as end:
        jaxinv_command([command, "--help"])
    assert end.value.code == 0
    assert f"jaxinv {command}" in capsys.readouterr().out


def test_an_error_names_the_command(capsys):
    assert jaxinv_command(["train", "--epochs", "many"]) == 1
    assert capsys.readouterr().err.startswith("jaxinv train: error: ")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_options_of_every_command(shell, capsys):
    assert jaxinv_command(["--completion", shell]) == 0
    script = capsys.readouterr().out
    options = ("--expect", "--max-shift", "--augment")
    assert all(option in script for option in options)


@pytest.mark.parametrize("given", [[], ["fish"], ["bash", "zsh"]])
def test_completion_of_another_shell_is_refused(given, capsys):
    assert jaxinv_command(["--completion", *given]) == 1
    assert "allowed are bash, zsh" in capsys.readouterr().err
