"""What people say about ConvNets and translation, decided by the study's figures."""

from collections.abc import Callable, Mapping

from jaxinv.evaluation.results import Claim, Estimate, NetworkResult, short_number
from jaxinv.tolerances import tolerance

# A network that keeps this share of its accuracy passes for invariant to a shift of that size.
KEEPS = 0.95

QUESTION = (
    "All neurons of a convolutional layer share their weights, so convolutional networks are "
    "invariant to translation, are they not? And if so, why did Simard, Steinkraus and Platt "
    "(2003) gain from translated training data?"
)

Networks = Mapping[str, NetworkResult]


def _exact() -> float:
    """What counts as equal in the study's networks, on the device that computed."""
    return tolerance("float32", depth=8)[0]


def decide(networks: Networks, first_layers: Mapping[str, Estimate]) -> tuple[Claim, ...]:
    """Decides each claim whose networks were evaluated.

    Args:
      networks: results by the names of `jaxinv.study.arms`.
      first_layers: equivariance error of the first layer of "dense" and "unshared".

    Example:
      >>> decide({}, {"dense": Estimate(1e-7, None, None, 4, "relative"),
      ...             "unshared": Estimate(0.9, None, None, 4, "relative")})[0].verdict
      'true'
    """
    claims = [make(networks) for needed, make in _CLAIMS if networks.keys() >= set(needed)]
    if {"dense", "unshared"} <= first_layers.keys():
        claims.insert(0, _equivariant(first_layers))
    return tuple(claims)


def _equivariant(first_layers: Mapping[str, Estimate]) -> Claim:
    shared, unshared = first_layers["dense"].value, first_layers["unshared"].value
    return Claim(
        "The neurons of a convolutional layer share weights, so the layer is equivariant.",
        _verdict(shared <= _exact() < unshared),
        f"first layer, all circular shifts: differs by {short_number(shared)} of its size at most; "
        f"without weight sharing by {short_number(unshared)}",
        {"shared": shared, "unshared": unshared},
    )


def _invariant(networks: Networks) -> Claim:
    figures = networks["dense"].figures
    change = figures["invariance_error"].value
    return Claim(
        "So a convolutional network is invariant.",
        _verdict(change <= _exact()),
        f"the same network is right on {_percent(figures['centred'])} of the images as they are "
        f"and on {_percent(figures['mean'])} over all shifts",
        {"centred": figures["centred"].value, "mean": figures["mean"].value},
    )


def _pooling(networks: Networks) -> Claim:
    sizes = (1, 2, 4)
    pooled = [_accuracy_at(networks["dense, pooled"], size) for size in sizes]
    plain = [_accuracy_at(networks["dense"], size) for size in sizes]
    kept = [p / networks["dense, pooled"].figures["centred"].value for p in pooled]
    helps = "partly" if pooled[0] > plain[0] else "false"
    verdict = "true" if kept[-1] >= KEEPS else helps
    with_pools, without = (", ".join(f"{100 * v:.0f}" for v in vs) for vs in (pooled, plain))
    return Claim(
        "Pooling makes it invariant to small shifts.",
        verdict,
        f"right after 1, 2 and 4 pixels: {with_pools}% with pooling, {without}% without",
        {f"pooled_at_{size}": value for size, value in zip(sizes, pooled, strict=True)}
        | {f"plain_at_{size}": value for size, value in zip(sizes, plain, strict=True)},
    )


def _dense(networks: Networks) -> Claim:
    changes = {name: networks[name].figures["invariance_error"].value for name in ("MLP", "dense")}
    return Claim(
        "Fully connected layers are not invariant.",
        _verdict(min(changes.values()) > _exact()),
        f"outputs change by up to {short_number(changes['MLP'])} of their size without "
        f"convolutions, {short_number(changes['dense'])} with equivariant ones before",
        changes,
    )


def _before_dense(networks: Networks) -> Claim:
    exact = networks["global, no stride"].figures
    strided = networks["global pooling"].figures
    padded = networks["global, zero padding"].figures
    change = exact["invariance_error"].value
    return Claim(
        "A network is invariant if everything before its first dense layer is.",
        _verdict(change <= _exact()),
        f"global pooling, circular padding, no stride: outputs change by {short_number(change)}, "
        f"{_percent(exact['consistency'])} consistent; with strides "
        f"{_percent(strided['consistency'])}, with zero padding too "
        f"{_percent(padded['consistency'])}",
        {
            "change": change,
            "consistency": exact["consistency"].value,
            "consistency_strided": strided["consistency"].value,
            "consistency_zero_padding": padded["consistency"].value,
        },
    )


def _striding(networks: Networks) -> Claim:
    adaptive = networks["global, adaptive"].figures
    change = adaptive["invariance_error"].value
    return Claim(
        "Striding always costs invariance.",
        _verdict(change > _exact()),
        f"adaptive polyphase sampling keeps the stride: outputs change by {short_number(change)}, "
        f"{_percent(adaptive['consistency'])} consistent, {_percent(adaptive['mean'])} right",
        {"change": change, "consistency": adaptive["consistency"].value},
    )


def _data(networks: Networks) -> Claim:
    before = networks["dense, pooled"].figures
    after = networks["dense, shifted data"].figures
    change = after["invariance_error"].value
    return Claim(
        "Training on translated data improves accuracy.",
        _verdict(after["mean"].value > before["mean"].value),
        f"over all shifts {_percent(before['mean'])} becomes {_percent(after['mean'])}, centred "
        f"{_percent(before['centred'])} becomes {_percent(after['centred'])}; learnt, not exact: "
        f"outputs still change by up to {short_number(change)}",
        {
            "mean_before": before["mean"].value,
            "mean_after": after["mean"].value,
            "centred_before": before["centred"].value,
            "centred_after": after["centred"].value,
        },
    )


def _averaged(networks: Networks) -> Claim:
    before = networks["dense, shifted data"].figures
    after = networks["averaged"].figures
    change = after["invariance_error"].value
    return Claim(
        "Any network can be made invariant without training it again.",
        _verdict(change <= _exact() and after["consistency"].value == 1),
        f"'dense, shifted data' is right at every shift on {_percent(before['worst'])}; averaged "
        f"over its orbit (jaxinv.symmetrize) on {_percent(after['worst'])}, proved and measured: "
        f"outputs change by {short_number(change)}",
        {
            "worst_before": before["worst"].value,
            "worst_after": after["worst"].value,
            "change": change,
        },
    )


# The networks that each claim is decided by.
_CLAIMS: tuple[tuple[tuple[str, ...], Callable[[Networks], Claim]], ...] = (
    (("dense",), _invariant),
    (("dense", "dense, pooled"), _pooling),
    (("dense", "MLP"), _dense),
    (("global, no stride", "global pooling", "global, zero padding"), _before_dense),
    (("global, adaptive",), _striding),
    (("dense, pooled", "dense, shifted data"), _data),
    (("dense, shifted data", "averaged"), _averaged),
)


def headline(networks: Networks, claims: tuple[Claim, ...]) -> str:
    """The verdict in one sentence."""
    if not {"dense", "global, no stride"} <= networks.keys():
        done = ", ".join(networks)
        return (
            f"Finished so far: {done}."
            if done
            else "The study was stopped before a network was finished."
        )
    dense, free = networks["dense"].figures, networks["global, no stride"].figures
    if free["invariance_error"].value <= _exact() < dense["invariance_error"].value:
        return (
            "No: convolution commutes with translation, but a ConvNet with a dense head is right "
            f"on {_percent(dense['centred'])} of centred digits and {_percent(dense['mean'])} of "
            "shifted ones."
        )
    return "Not as theory says: " + "; ".join(
        f"“{claim.statement}” came out {claim.verdict}" for claim in claims
    )


def sentence(name: str, networks: Networks) -> str:
    """One sentence on what a network's row shows; empty for a network the study does not know."""
    if name not in _SENTENCES:
        return ""
    figures = networks[name].figures
    exact = figures["invariance_error"].value <= _exact()
    outcome = "exactly invariant" if exact else f"{_percent(figures['consistency'])} consistent"
    return _SENTENCES[name].format(outcome=outcome, mean=_percent(figures["mean"]))


_SENTENCES = {
    "dense": "Equivariant features, then a dense layer that reads positions: {outcome}.",
    "dense, pooled": "Pooling softens small shifts and thins the symmetry to multiples of 4: "
    "{outcome}.",
    "dense, shifted data": "The same network has learnt to be right on {mean} of all shifts: "
    "{outcome}.",
    "global, zero padding": "Zeros at the border tell positions apart: {outcome}.",
    "global pooling": "Invariant to multiples of the stride 4 only: {outcome}.",
    "global, no stride": "Nothing before the dense layer reads positions: {outcome}.",
    "global, adaptive": "A stride whose phase follows the content: {outcome}.",
    "averaged": "The mean over all shifts turns what was learnt into a law, without training: "
    "{outcome}.",
    "unshared": "Each position has its own weights, so not even the features follow: {outcome}.",
    "MLP": "Nothing in it knows of translation: {outcome}.",
}


def _verdict(holds: bool) -> str:
    return "true" if holds else "false"


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f}%"


def _accuracy_at(network: NetworkResult, size: int) -> float:
    return dict(zip(network.curve["shift"], network.curve["accuracy"], strict=True))[size]
