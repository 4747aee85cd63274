"""PyTorch networks by name: `jaxinv certify --torch`, `jaxinv evaluate --torch`, and weights."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import jaxinv
from jaxinv.certificate.cli import main as certify
from jaxinv.commands import main as jaxinv_command
from jaxinv.evaluation.preprocessing import Preprocessing
from jaxinv.evaluation.subject import of_pytorch
from jaxinv.interop.named import load_weights
from jaxinv.report.cli import main as evaluate
from tests.interop.torch_networks import Circular
from tests.interop.torch_or_skip import outputs_of, torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-networks.md"
HERE = "tests.interop.torch_networks"
EXPECTED = ("--expect", "invariant to multiples of 2")


@pytest.mark.parametrize(("name", "channels"), [("Circular", 1), ("made", 1), ("rgb", 3)])
def test_certify(name, channels, capsys):
    words = ["--torch", f"{HERE}:{name}", "--shape", f"1,{channels},8,8", *EXPECTED]
    assert certify(words) == 0
    out = capsys.readouterr().out
    assert "invariant to multiples of (2, 2)." in out
    assert re.search(r"^conv +torch_networks\.py:\d+ ", out, re.MULTILINE)


def test_a_module_is_recognised_without_the_option(capsys):
    assert certify([f"{HERE}:made", "--shape", "1,1,8,8", "--axes", "2,3", *EXPECTED]) == 0
    assert "multiples of (2, 2)" in capsys.readouterr().out


def test_what_a_network_prints_is_no_output(capsys):
    assert certify(["--torch", f"{HERE}:prints", "--shape", "1,1,8,8", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["shape"] == [1, 1, 8, 8]
    assert told.err == "made\n"


WRONG = {
    ("needs_one",): "cannot be called without arguments: TypeError",
    ("ends",): "cannot be called without arguments: SystemExit: 3 (torch_networks.py, line",
    ("number",): "gives int; needed is a torch.nn.Module or what makes one",
    ("nothing",): f"{HERE} has no nothing",
    ("rgb",): "conv (Conv2d) cannot be run in JAX",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_networks_are_told_in_one_line(words, capsys):
    assert certify(["--torch", f"{HERE}:{words[0]}", "--shape", "1,1,8,8"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert WRONG[words] in error


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return Circular().eval()


def saved(state, path):
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("file", ["w.pt", "w.pth", "w.safetensors", "nested.pt", "parallel.pt"])
def test_weights_of_a_file(file, trained, tmp_path):
    state = trained.state_dict()
    if file == "parallel.pt":
        state = {f"module.{name}": value for name, value in state.items()}
    if file == "nested.pt":
        state = {"epoch": 3, "state_dict": state}
    subject = of_pytorch(f"{HERE}:Circular", saved(state, tmp_path / file))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1))
    expected = outputs_of(trained, np.float32(images.transpose(0, 3, 1, 2) / 255))
    np.testing.assert_allclose(subject.apply(images), expected, atol=1e-5)
    assert subject.parameters == sum(weight.numel() for weight in trained.parameters())


class Code:
    def __reduce__(self):
        return print, ("run",)


def changed(state, **others):
    return {name: value for name, value in (state | others).items() if value is not None}


FILES = {
    "lacks.pt": (
        lambda s: {k: s[k] for k in s if "norm" not in k},
        "it lacks norm.weight, norm.bias, norm.running_mean and 2 more",
    ),
    "foreign.safetensors": (lambda s: s | {"head": torch.ones(1)}, "the module has no head"),
    "shape.pt": (lambda s: s | {"fc.bias": torch.ones(3)}, "fc.bias has shape (3,) and not (10,)"),
    "code.pt": (lambda s: {"a": Code()}, "holds more than tensors, such as code, which is not run"),
    "whole.pt": (lambda s: Circular(), "holds more than tensors"),
    "list.pt": (lambda s: [1], "holds a list that is no state dict"),
    "numbers.pt": (lambda s: {"a": 1}, "holds a dict that is no state dict"),
    "nan.pt": (lambda s: s | {"fc.bias": torch.full((10,), torch.nan)}, "fc.bias holds NaN"),
}


@pytest.mark.parametrize("file", FILES)
def test_weights_that_do_not_fit_are_named_and_code_is_not_run(file, trained, tmp_path, capsys):
    change, said = FILES[file]
    path = saved(change(trained.state_dict()), tmp_path / file)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        of_pytorch(f"{HERE}:Circular", path)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_weights_of_a_module_that_was_made_without(trained, tmp_path):
    with torch.device("meta"):
        module = Circular().eval()
    load_weights(module, saved(trained.state_dict(), tmp_path / "w.pt"), limit=1)
    images = np.ones((1, 1, 8, 8), np.float32)
    np.testing.assert_array_equal(outputs_of(module, images), outputs_of(trained, images))


def test_files_that_are_none(trained, tmp_path):
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"PK\3\4" + bytes(100))
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps(Code()))
    for path, said in {
        damaged: "cannot be read|damaged",
        plain: "holds more than tensors",
        tmp_path / "missing.pt": "is no file",
        saved({}, tmp_path / "weights.onnx"): r"unknown kind; allowed with torch are \.pt",
    }.items():
        with pytest.raises(ValueError, match=said):
            load_weights(trained, path, limit=1.0)
    with pytest.raises(ValueError, match=r"GB; params_limit is 1e-09"):
        load_weights(trained, saved(trained.state_dict(), tmp_path / "w.pt"), limit=1e-9)


@pytest.mark.usefixtures("settings_stay")
def test_evaluate(trained, tmp_path, capsys):
    weights = saved(trained.state_dict(), tmp_path / "w.pt")
    words = ["--torch", f"{HERE}:Circular", "--params", str(weights), "--images", "2", "--json"]
    assert evaluate([*words, "--max-shift", "1", "--out", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    (network,) = told["networks"]
    assert network["parameters"] == sum(weight.numel() for weight in trained.parameters())
    assert "invariant to multiples of (2, 2)" in json.dumps(network)
    assert evaluate([*words, "--apply", "a:b"]) == 1
    assert "apply and torch are two networks" in capsys.readouterr().err


NOT_OF_IMAGES = {
    "flat": "flat does not take images of shape (32, 32, 1) of digits: Linear cannot be run in JAX",
    "Same": "Same returns (2, 1, 32, 32) for (2, 32, 32, 1); needed are outputs (n, classes)",
}


@pytest.mark.parametrize("name", NOT_OF_IMAGES)
def test_networks_that_are_none_of_images(name, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert evaluate(["--torch", f"{HERE}:{name}", "--images", "2", "--out", out]) == 1
    assert NOT_OF_IMAGES[name] in capsys.readouterr().err
    assert certify(["--torch", f"{HERE}:flat", "--shape", "1,64"]) == 1
    assert "axis 2 of axes (2, 3) is out of range" in capsys.readouterr().err


def test_a_network_without_a_line_of_the_users_is_shown_none():
    subject = of_pytorch(f"{HERE}:dense", None, preprocessing=Preprocessing(mean=(0.5,), std=(2,)))
    certificate = jaxinv.certify(subject.apply, np.zeros((1, 32, 32, 1), np.uint8))
    assert certificate.first_end.place == "1"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5"])
def test_networks_of_torchvision_with_circular_padding(name):
    """Five strides of 2 each; circular padding leaves nothing else that breaks."""
    models = pytest.importorskip("torchvision", reason="the networks are torchvision's").models
    module = models.get_model(name, weights=None).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.padding_mode = "circular"
        if isinstance(part, torch.nn.MaxPool2d):  # which has no such option
            part.kernel_size, part.padding = 2, 0
    x = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    params, apply = jaxinv.from_pytorch(module)
    certificate = jaxinv.certify(apply, params, x, argnums=1, axes=(2, 3))
    assert (certificate.kind, certificate.period) == ("invariant", (32, 32))
    for shift in ((32, 0), (0, 32), (32, 32)):
        moved = np.roll(x, shift, (2, 3))
        np.testing.assert_allclose(outputs_of(module, x), outputs_of(module, moved), atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("settings_stay")
def test_the_page_goes_from_a_module_to_a_report(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torchvision", reason="the page's network is torchvision's")
    section = PAGE.read_text().split("## PyTorch\n")[1].split("\n## ")[0]
    module, use = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    commands = [line.split()[1:] for line in re.findall(r"^jaxinv .*", section, re.MULTILINE)]
    (tmp_path / "digits_net.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names = {}
    exec(use, names)
    assert names["certificate"].first_end.place.startswith("conv1 (resnet.py:")
    for command in commands:
        assert jaxinv_command(command) == 0
    out = capsys.readouterr().out
    assert re.search(r"^layer1.0.conv1 +resnet.py:\d+ +64x56x56", out, re.MULTILINE)
    assert (tmp_path / "runs" / "evaluation" / "report.html").exists()
