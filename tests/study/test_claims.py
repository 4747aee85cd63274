"""Verdicts follow the figures: the same claims come out otherwise where the figures do."""

import dataclasses

import pytest

from jaxinv.evaluation.results import Estimate, NetworkResult
from jaxinv.study.arms import ARMS, COMMON, training_of
from jaxinv.study.claims import decide, headline, sentence

# centred, mean, consistency, change of the outputs; invented so that theory holds
FIGURES = {
    "dense": (0.98, 0.11, 0.3, 1.2),
    "dense, pooled": (0.98, 0.12, 0.3, 1.1),
    "dense, shifted data": (0.95, 0.93, 0.9, 0.8),
    "global, zero padding": (0.97, 0.6, 0.5, 0.9),
    "global pooling": (0.97, 0.9, 0.88, 0.5),
    "global, no stride": (0.85, 0.85, 1.0, 1e-7),
    "global, adaptive": (0.97, 0.97, 1.0, 1e-7),
    "averaged": (0.96, 0.96, 1.0, 1e-7),
    "unshared": (0.97, 0.11, 0.3, 1.0),
    "MLP": (0.9, 0.11, 0.3, 1.3),
}
LAYERS = {
    "dense": Estimate(1e-7, None, None, 8, "relative"),
    "unshared": Estimate(0.9, None, None, 8, "relative"),
}


def network(name, centred, mean, consistency, change, *, after=(0.5, 0.4, 0.2)):
    shares = {"centred": centred, "mean": mean, "worst": 0.0, "consistency": consistency}
    return NetworkResult(
        name,
        name,
        figures={key: Estimate(value, 0.0, 1.0, 100) for key, value in shares.items()}
        | {"invariance_error": Estimate(change, None, None, 100, "relative")},
        curve={"shift": [0, 1, 2, 4], "accuracy": [centred, *after], "consistency": [1.0] * 4},
    )


@pytest.fixture
def networks():
    made = {name: network(name, *figures) for name, figures in FIGURES.items()}
    pooled = network("dense, pooled", *FIGURES["dense, pooled"], after=(0.9, 0.7, 0.3))
    return made | {"dense, pooled": pooled}


def verdicts(networks, layers=LAYERS):
    return [claim.verdict for claim in decide(networks, layers)]


def test_theory(networks):
    expected = ["true", "false", "partly", "true", "true", "false", "true", "true"]
    assert verdicts(networks) == expected


@pytest.mark.parametrize(
    ("place", "name", "change", "verdict"),
    [
        (1, "dense", {"invariance_error": 1e-8}, "true"),
        (3, "MLP", {"invariance_error": 1e-8}, "false"),
        (4, "global, no stride", {"invariance_error": 0.1}, "false"),
        (5, "global, adaptive", {"invariance_error": 0.1}, "true"),
        (6, "dense, shifted data", {"mean": 0.05}, "false"),
        (7, "averaged", {"invariance_error": 0.1}, "false"),
        (7, "averaged", {"consistency": 0.99}, "false"),
    ],
)
def test_each_verdict_turns_with_its_figure(networks, place, name, change, verdict):
    figures = dict(networks[name].figures)
    for key, value in change.items():
        figures[key] = dataclasses.replace(figures[key], value=value)
    networks[name] = dataclasses.replace(networks[name], figures=figures)
    assert verdicts(networks)[place] == verdict


def test_equivariance_needs_an_exact_layer_and_an_inexact_twin(networks):
    inexact = Estimate(0.1, None, None, 8, "relative")
    assert verdicts(networks, LAYERS | {"dense": inexact})[0] == "false"
    assert verdicts(networks, LAYERS | {"unshared": LAYERS["dense"]})[0] == "false"


@pytest.mark.parametrize(
    ("after", "verdict"), [((0.97, 0.97, 0.96), "true"), ((0.4, 0.3, 0.2), "false")]
)
def test_pooling_may_help_fully_or_not_at_all(networks, after, verdict):
    figures = FIGURES["dense, pooled"]
    networks["dense, pooled"] = network("dense, pooled", *figures, after=after)
    assert verdicts(networks)[2] == verdict


def test_claims_without_their_networks_are_left_out(networks):
    del networks["MLP"]
    assert len(decide(networks, LAYERS)) == 7
    assert decide({}, {}) == ()


def test_headline_says_no_only_if_the_figures_do(networks):
    assert headline(networks, ()).startswith("No: convolution commutes with translation")
    wrong = dataclasses.replace(networks["dense"], figures=networks["global, no stride"].figures)
    networks["dense"] = wrong
    claims = decide(networks, LAYERS)
    assert headline(networks, claims).startswith("Not as theory says")
    assert headline({"MLP": networks["MLP"]}, ()) == "Finished so far: MLP."


def test_every_network_has_a_sentence_with_its_outcome(networks):
    said = {arm.name: sentence(arm.name, networks) for arm in ARMS}
    assert "exactly invariant" in said["global, no stride"]
    assert "88.0% consistent" in said["global pooling"]
    assert "93.0%" in said["dense, shifted data"]
    assert len(set(said.values())) == len(ARMS)


def test_networks_differ_in_the_one_thing_that_their_title_names():
    settings = {arm.name: training_of(arm, epochs=2, seed=0) for arm in ARMS}

    def difference(first, second):
        a, b = ({**vars(settings[n]), **settings[n].model_options} for n in (first, second))
        del a["model_options"], b["model_options"]
        return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}

    assert difference("dense", "dense, pooled") == {"downsample"}
    assert difference("dense, pooled", "dense, shifted data") == {"augment", "max_shift", "fill"}
    assert difference("dense, pooled", "global pooling") == {"head"}
    assert difference("global pooling", "global, zero padding") == {"padding"}
    assert difference("global pooling", "global, no stride") == {"downsample"}
    assert difference("global pooling", "global, adaptive") == {"downsample"}
    assert difference("dense, pooled", "unshared") == {"model"}
    assert settings["dense"].model_options.items() >= COMMON.items()
