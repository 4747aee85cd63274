"""Networks of other frameworks, audited as docs/own-networks.md shows."""

import os
import re
from pathlib import Path

import jax.numpy as jnp
import pytest
from flax import serialization

from jaxinv.evaluation import proof
from jaxinv.evaluation.loading import check_fits
from jaxinv.evaluation.subject import of_function

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-networks.md"


def section(name):
    text = PAGE.read_text().split(f"## {name}\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def subject_of(code, attribute, name, folder, monkeypatch):
    (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    return of_function(f"{name}:{attribute}", None)


@pytest.mark.parametrize(
    ("framework", "attribute"), [("Flax nnx", "trained"), ("Equinox", "apply")]
)
def test_the_pages_networks_are_proved_invariant(
    framework, attribute, digits, tmp_path, monkeypatch
):
    name = framework.replace(" ", "_").lower() + "_net"
    subject = subject_of(section(framework), attribute, name, tmp_path, monkeypatch)
    check_fits(subject, digits)
    assert proof.certified(subject.apply, digits.images[:1]).only.state.is_invariant


def test_the_pages_linen_module_shows_its_layers(digits, tmp_path, monkeypatch):
    import jax

    (tmp_path / "linen_net.py").write_text(section("Flax linen"))
    monkeypatch.syspath_prepend(tmp_path)
    import linen_net

    variables = linen_net.net.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    (tmp_path / "net.msgpack").write_bytes(serialization.to_bytes(variables))
    subject = of_function("linen_net:net", tmp_path / "net.msgpack")
    check_fits(subject, digits)
    assert list(subject.layers(jnp.zeros((1, 32, 32, 1)))) == ["Conv_0", "Dense_0"]
    with pytest.raises(ValueError, match="params must name the file"):
        of_function("linen_net:net", None)


def test_a_module_in_training_mode_is_evaluated_as_if_trained(digits, tmp_path, monkeypatch):
    code = section("Flax nnx").replace("nnx.relu(", "nnx.Dropout(0.5, rngs=nnx.Rngs(0))(")
    assert "Dropout" in code
    subject = subject_of(code, "net", "nnx_dropout_net", tmp_path, monkeypatch)
    once, again = (subject.apply(digits.images) for _ in range(2))
    assert (once == again).all()


# Keras copies its variables to NumPy in a way that NumPy 2 warns of when a model is saved.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_the_pages_keras_model(digits, tmp_path, monkeypatch):
    pytest.importorskip("keras", reason="keras is not installed: its example is not run")
    if os.environ.get("KERAS_BACKEND") != "jax":
        pytest.skip("KERAS_BACKEND is not jax: the Keras example is not run")
    import keras

    model = keras.Sequential(
        [
            keras.layers.Input((32, 32, 1)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10),
        ]
    )
    monkeypatch.chdir(tmp_path)
    model.save("model.keras")
    subject = subject_of(section("Keras 3 on JAX"), "model", "keras_net", tmp_path, monkeypatch)
    check_fits(subject, digits)
    assert proof.certified(subject.apply, digits.images[:1]).only.state.is_invariant
