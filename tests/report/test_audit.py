"""`jaxinv.audit` on arrays: figures by definition, every kind of network, files, pictures."""

import functools
import json

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxinv
from jaxinv.data import Dataset
from jaxinv.evaluation import run as evaluation
from jaxinv.evaluation.sweep import Interrupted

IMAGES = np.random.default_rng(0).normal(size=(5, 4, 6, 2))
LABELS = np.array([0, 2, 1, 1, 0])


def first_rows(x):
    """Three outputs read at fixed places: every shift matters."""
    return x[:, 0, :3].sum(axis=-1)


def predictions_by_definition(network, images):
    """The prediction at each circular shift of each image, one call at a time."""
    height, width = images.shape[1:3]
    return np.array(
        [
            [np.argmax(network(np.roll(images, (i, j), (1, 2))), -1) for j in range(width)]
            for i in range(height)
        ]
    )


@pytest.fixture(scope="module")
def labelled():
    return jaxinv.audit(first_rows, IMAGES, LABELS)


@pytest.fixture(scope="module")
def unlabelled():
    return jaxinv.audit({"first": first_rows, "mean": lambda x: x.mean((1, 2))}, IMAGES)


def test_figures_and_maps_are_those_of_the_definition(labelled):
    said = predictions_by_definition(first_rows, IMAGES.astype(np.float32))
    right = said == LABELS
    figures = {name: figure.value for name, figure in labelled.figures["first_rows"].items()}
    assert figures["centred"] == pytest.approx(right[0, 0].mean())
    assert figures["mean"] == pytest.approx(right.mean())
    assert figures["worst"] == pytest.approx(right.all((0, 1)).mean())
    np.testing.assert_allclose(labelled.maps["first_rows"]["accuracy"], right.mean(-1))
    np.testing.assert_array_equal(labelled.maps["first_rows"]["predictions"], said)


def test_without_labels_figures_speak_of_agreement_with_the_unshifted_image(unlabelled):
    said = predictions_by_definition(first_rows, IMAGES.astype(np.float32))
    agrees = said == said[0, 0]
    figures = unlabelled.figures["first"]
    assert "centred" not in figures
    assert figures["mean"].value == pytest.approx(agrees.mean())
    assert figures["worst"].value == pytest.approx(agrees.all((0, 1)).mean())
    assert unlabelled.figures["mean"]["worst"].value == 1
    assert not unlabelled.results.labelled
    assert unlabelled.results.comparisons == ()
    for text in (str(unlabelled), unlabelled.to_html()):
        assert "ccuracy" not in text
        assert "true class" not in text
        assert "centred" not in text.lower()
    assert "mean says of most images what it says" in str(unlabelled)


def test_of_a_crop_the_unshifted_image_is_the_window_in_the_middle():
    found = jaxinv.audit(first_rows, IMAGES, mode="crop", max_shift=1, certify=False)
    middle = np.argmax(first_rows(IMAGES[:, 1:-1, 1:-1].astype(np.float32)), -1)
    maps = found.maps["first_rows"]
    np.testing.assert_array_equal(maps["predictions"][1, 1], middle)
    assert maps["accuracy"][1, 1] == 1


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(3, (2, 2), padding="CIRCULAR", name="conv")(x)
        return nn.Dropout(0.5, deterministic=not train)(x).mean((1, 2))


class Nnx(nnx.Module):
    def __init__(self):
        self.dense = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        self.drop = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.drop(self.dense(x)).mean((1, 2))


class Equinox(eqx.Module):
    drop: eqx.nn.Dropout

    def __call__(self, x):
        return self.drop(x).mean((1, 2))


def test_networks_of_every_framework_are_taken_in_evaluation_mode():
    module = Linen()
    variables = module.init(jax.random.key(0), jnp.zeros((1, 4, 6, 2)), False)
    trained = Nnx()
    found = jaxinv.audit(
        {
            "bound": module.bind(variables),
            "applied": functools.partial(module.apply, variables, train=False),
            "nnx": trained,
            "equinox": Equinox(eqx.nn.Dropout(0.5)),
        },
        IMAGES,
        LABELS % 2,
        max_shift=1,
    )
    assert {network.certificate["verdict"] for network in found.results.networks} == {
        "invariant to every shift"
    }
    assert all(figures["consistency"].value == 1 for figures in found.figures.values())
    layers = {n.name: [row.layer for row in n.layers] for n in found.results.networks}
    seen = ["conv", "Linen"]
    assert layers["bound"] == layers["applied"] == seen
    assert [name.partition(" (")[0] for name in layers["nnx"]] == ["dense", "reduce_sum", "output"]
    assert [name.partition(" (")[0] for name in layers["equinox"]] == ["reduce_sum", "output"]
    assert [n.parameters for n in found.results.networks] == [27, 27, None, None]
    assert not trained.drop.deterministic


def test_a_data_set_holds_its_labels_and_networks_see_its_numbers():
    pixels = np.random.default_rng(1).integers(0, 256, (4, 4, 4, 1)).astype(np.uint8)
    data = Dataset(pixels, np.array([0, 1, 0, 1], np.int32), "noise", "test", 2, (0.0,), (1.0,))

    def brightest(x):
        assert x.dtype == jnp.float32
        return jnp.stack([x[:, 0, 0, 0], jnp.full(len(x), 127.5)], axis=-1)

    found = jaxinv.audit(brightest, data, max_shift=0)
    said = np.where(pixels[:, 0, 0, 0] > 127.5, 0, 1)
    assert found.figures["brightest"]["centred"].value == np.mean(said == data.labels)
    assert "noise (test), 4 images" in repr(found)


def test_saved_and_shown(labelled, tmp_path):
    written = labelled.save(tmp_path / "out")
    assert [written[0].name, written[-1].name] == ["results.json", "report.html"]
    assert all(path.stat().st_size for path in written)
    assert written[-1].read_text(encoding="utf-8") == labelled.to_html()
    stored = json.loads(written[0].read_text())["networks"][0]["figures"]["mean"]["value"]
    assert stored == labelled.figures["first_rows"]["mean"].value
    assert repr(labelled) == (
        "Audit(first_rows: the arrays given, 5 images, all 24 circular shifts of each)"
    )
    table = labelled._repr_html_()
    assert table.count("<tr") == 2
    assert labelled.results.headline in table
    assert labelled.results.headline.split(":")[0] in str(labelled).replace("\n", "")


@pytest.mark.parametrize("quantity", ["accuracy", "confidence", "curve"])
def test_drawn_on_axes(unlabelled, quantity):
    from matplotlib import pyplot

    axes = unlabelled.plot(quantity)
    assert [one.get_title("left").split(" (")[0] for one in axes] == ["first", "mean"]
    if quantity == "accuracy":
        shown = np.asarray(axes[0].images[0].get_array())
        np.testing.assert_allclose(shown.mean(), unlabelled.figures["first"]["mean"].value)
    assert pyplot.fignum_exists(axes[0].figure.number)
    pyplot.close(axes[0].figure)


def test_ctrl_c_raises_what_was_finished(monkeypatch):
    audited = []

    def stopped(subject, *given, **options):
        if audited:
            raise Interrupted(None)
        audited.append(subject)
        return real(subject, *given, **options)

    real = evaluation.audit_network
    monkeypatch.setattr(evaluation, "audit_network", stopped)
    networks = {"one": first_rows, "two": first_rows}
    with pytest.raises(jaxinv.AuditInterrupted) as raised:
        jaxinv.audit(networks, IMAGES, LABELS, max_shift=0, certify=False)
    assert list(raised.value.audit.figures) == ["one"]
    assert not raised.value.audit.results.complete
    assert "partial" in str(raised.value.audit)
    audited.clear()
    with pytest.raises(jaxinv.AuditInterrupted) as raised:
        jaxinv.audit(networks, IMAGES, max_shift=0, certify=False)
    assert list(raised.value.audit.figures) == ["one"]
    empty = jaxinv.Audit(raised.value.audit.results, ())
    with pytest.raises(ValueError, match="no network was reached"):
        empty.plot()
