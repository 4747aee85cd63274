"""Verdicts axis by axis: kind, period and movement, each held to the function at that shift."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from jaxinv import assert_translation_equivariant, assert_translation_invariant, layers
from jaxinv.evaluation import proof
from tests.sweeps import few
from tests.symmetry import judged, measured, programs

ROWS = np.arange(1.0, 7.0)[:, None, None]


def drawn(*shape):
    return jax.random.normal(jax.random.key(len(shape)), shape)


SIGNAL, IMAGE, VOLUME = drawn(1, 6, 2), drawn(2, 6, 4, 3), drawn(1, 4, 2, 3, 2)
KERNEL = np.asarray(drawn(3, 3, 3, 2))


def half_padded(x):
    """Zeros down, circular across."""
    x = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="wrap")
    numbers = ("NHWC", "HWIO", "NHWC")
    padding = ((1, 1), (0, 0))
    return lax.conv_general_dilated(x, KERNEL, (1, 1), padding, dimension_numbers=numbers)


BROKEN, KEPT, GONE = ("broken", None), ("equivariant", 1), ("invariant", 1)
# Function, input, and per axis what holds: kind and period.
MIXED = {
    "row numbers": (lambda z: jnp.tanh(z + ROWS).mean((1, 2)), IMAGE, (BROKEN, GONE)),
    "column numbers": (lambda z: jnp.tanh(z * ROWS[:4, 0]).max((1, 2)), IMAGE, (GONE, BROKEN)),
    "cumsum down": (lambda z: jnp.cumsum(z, 1), IMAGE, (BROKEN, KEPT)),
    "cumsum across": (lambda z: jnp.cumsum(z[:, ::2], 2), IMAGE, (("equivariant", 2), BROKEN)),
    "dense over rows": (
        lambda z: jnp.einsum("nhwc,hk->nkwc", z, drawn(6, 6)),
        IMAGE,
        (BROKEN, KEPT),
    ),
    "zeros down": (half_padded, IMAGE, (BROKEN, KEPT)),
    "zeros down, pooled": (lambda z: half_padded(z).mean((1, 2)), IMAGE, (BROKEN, GONE)),
    "zeros down, strided": (
        lambda z: jnp.tanh(half_padded(z))[:, :, ::2].mean((1, 2)),
        IMAGE,
        (BROKEN, ("invariant", 2)),
    ),
    "one row": (lambda z: z[:, 2].sum(1), IMAGE, (BROKEN, GONE)),
    "pooled down": (lambda z: z.mean(1, keepdims=True) * z[:, :1, :1], IMAGE, (BROKEN, BROKEN)),
    "kept across alone": (lambda z: z.max(1, keepdims=True), IMAGE, (GONE, KEPT)),
    "both": (lambda z: jnp.cumsum(jnp.cumsum(z, 1), 2), IMAGE, (BROKEN, BROKEN)),
    "signal": (lambda z: jnp.cumsum(z, 1), SIGNAL, (BROKEN,)),
    "signal, strided": (lambda z: z[:, ::3].sum(1), SIGNAL, (("invariant", 3),)),
    "volume": (
        lambda z: jnp.cumsum(z, 2)[:, ::2],
        VOLUME,
        (("equivariant", 2), BROKEN, KEPT),
    ),
    "volume, pooled": (
        lambda z: jnp.tanh(z + ROWS[:3, 0]).max((1, 2, 3)),
        VOLUME,
        (GONE, GONE, BROKEN),
    ),
}


def spatial(x):
    return tuple(range(1, x.ndim - 1))


def moved(x, axis, t):
    return jnp.roll(x, t, axis)


def close(a, b):
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-4)


def holds(fun, x, state):
    """Whether what is said of an axis holds, at one period and at two."""
    base = fun(x)
    for count in (1, 2):
        after = fun(moved(x, state.axis, count * state.period))
        expected = base
        if state.kind == "equivariant":
            expected = jnp.roll(base, count * state.moves, state.dims)
        if not close(after, expected):
            return False
    return True


@pytest.mark.parametrize("name", MIXED)
def test_each_axis_has_a_verdict_of_its_own(name):
    fun, x, expected = MIXED[name]
    axes = spatial(x)
    certificate = jaxinv.certify(fun, x, axes=axes)
    found = certificate.per_axis
    assert [state.axis for state in found] == list(axes)
    sizes = [x.shape[axis] for axis in axes]
    wanted = [
        (kind, size if kind == "broken" else period)
        for (kind, period), size in zip(expected, sizes, strict=True)
    ]
    assert [(state.kind, state.period) for state in found] == wanted
    assert certificate.period == tuple(period for _, period in wanted)
    kinds = {kind for kind, _ in expected} - {"broken"}
    whole = "equivariant" if "equivariant" in kinds else "invariant" if kinds else "broken"
    assert certificate.kind == whole
    for state in found:
        if state.kind == "broken":
            steps = range(1, x.shape[state.axis])
            assert not any(close(fun(moved(x, state.axis, t)), fun(x)) for t in steps)
        else:
            assert holds(fun, x, state)


@pytest.mark.parametrize("name", MIXED)
def test_every_place_that_shows_the_verdict_names_the_broken_axes(name):
    fun, x, expected = MIXED[name]
    certificate = jaxinv.certify(fun, x, axes=spatial(x))
    verdict = str(certificate.only.state)
    gone = [a for a, (kind, _) in zip(spatial(x), expected, strict=True) if kind == "broken"]
    text, read = str(certificate), json.loads(json.dumps(certificate.to_dict()))
    assert max(map(len, text.splitlines())) <= 100
    assert f"{verdict}." in " ".join(text.split())
    assert read["outputs"][0]["verdict"] == verdict
    assert [axis["kind"] for axis in read["outputs"][0]["per_axis"]] == [k for k, _ in expected]
    if len(gone) == len(expected):
        assert verdict == "broken: commutes with no shift but 0"
    elif gone:
        axes = f"axis {gone[0]}" if len(gone) == 1 else f"axes {', '.join(map(str, gone))}"
        assert verdict.startswith(f"broken along {axes}; ")
        assert f"The symmetry along axis {gone[0]} ends at" in text
    if x.ndim == 4:
        assert proof.written(certificate)["verdict"] == verdict
        assert proof.layer_states(lambda images: (fun(images),), x) == [verdict]


def test_the_words_of_a_mixed_verdict():
    fun, x, _ = MIXED["zeros down, strided"]
    certificate = jaxinv.certify(fun, x)
    state = certificate.only.state
    assert str(state) == "broken along axis 1; invariant to multiples of 2 along axis 2"
    assert state.commutes_with == "axis 2: multiples of 2"
    assert {axis: step.reason for axis, step in certificate.first_ends.items()} == {
        1: "zero padding of 1 meets the border"
    }
    volume = jaxinv.certify(MIXED["volume"][0], VOLUME, axes=(1, 2, 3)).only.state
    assert volume.commutes_with == "axes 1, 3: multiples of (2, 1)"
    assert str(volume) == "broken along axis 2; equivariant to multiples of (2, 1) along axes 1, 3"


def test_axes_that_end_together_are_named_together():
    certificate = jaxinv.certify(lambda x: x[:, 1, :, 1:].max((1, 2)), VOLUME, axes=(1, 2, 3))
    assert (
        str(certificate.only.state)
        == "broken along axes 1, 3; invariant to every shift along axis 2"
    )
    both = jaxinv.certify(lambda x: x[:, 1, :, 1], VOLUME, axes=(1, 2, 3))
    text = " ".join(str(both).split())
    assert "The symmetry along axes 1, 3 ends at squeeze" in text


def test_the_words_of_a_value_that_is_rolled_along_one_axis():
    sample = lambda x: layers.adaptive_polyphase_sample(x)[0]  # noqa: E731
    both = jaxinv.certify(sample, IMAGE).only.state
    assert str(both) == "equivariant to every shift, up to a roll"
    mixed = jaxinv.certify(lambda x: jnp.cumsum(sample(x), 1), IMAGE).only.state
    assert mixed.kind == "equivariant up to a roll"
    assert (
        str(mixed) == "broken along axis 1; equivariant to every shift along axis 2, up to a roll"
    )
    assert mixed.commutes_with == "axis 2: every shift, up to a roll"


def test_two_axes_that_end_at_two_layers_are_told_apart():
    certificate = jaxinv.certify(lambda z: jnp.cumsum(jnp.sort(z[:, 1:], 1), 2), IMAGE)
    ends = certificate.first_ends
    assert [ends[axis].primitive for axis in (1, 2)] == ["sort", "cumsum"]
    text = " ".join(str(certificate).split())
    assert "The symmetry along axis 1 ends at sort" in text
    assert "The symmetry along axis 2 ends at cumsum" in text
    assert "Up to there broken along axis 1; equivariant to every shift along axis 2." in text
    shown = proof.written(certificate)["first_break"]
    assert "sort runs along" in shown
    assert "cumsum runs along" in shown


@pytest.mark.parametrize("method", ["proof", "both"])
def test_shifts_along_the_axis_that_is_kept_are_proved(method):
    fun = MIXED["row numbers"][0]
    assert_translation_invariant(fun, IMAGE, shifts=[(0, 1)], method=method)
    assert_translation_invariant(fun, IMAGE, shifts=[(0, 3), (6, -2), (-6, 0)], method="proof")
    assert_translation_invariant(fun, IMAGE, stride=(6, 1), method=method)
    volume = MIXED["volume, pooled"][0]
    given = {"axes": (1, 2, 3), "method": method}
    assert_translation_invariant(volume, VOLUME, shifts=[(1, 1, 0), (3, 0, 0)], **given)
    with pytest.raises(AssertionError, match="not proved translation invariant for shifts"):
        assert_translation_invariant(fun, IMAGE, shifts=[(0, 1), (1, 1)], method=method)
    with pytest.raises(AssertionError, match="not proved translation invariant for multiples"):
        assert_translation_invariant(fun, IMAGE, method=method)


@pytest.mark.parametrize("method", ["proof", "both"])
def test_equivariance_is_proved_along_the_axes_that_are_asked_for(method):
    assert_translation_equivariant(half_padded, IMAGE, shifts=[(0, 1), (0, 2)], method=method)
    strided = lambda z: half_padded(z)[:, ::3, ::2]  # noqa: E731
    options = {"stride": (3, 2), "method": method}
    assert_translation_equivariant(strided, IMAGE, shifts=[(0, 2)], **options)
    with pytest.raises(AssertionError, match="not proved translation equivariant for shifts"):
        assert_translation_equivariant(strided, IMAGE, shifts=[(3, 0)], **options)
    # What stays along an axis does not move along it.
    pooled = lambda z: z.max(1, keepdims=True) + 0 * ROWS  # noqa: E731
    with pytest.raises(AssertionError, match="not proved"):
        assert_translation_equivariant(pooled, IMAGE, shifts=[(1, 0)], method="proof")
    flip = lambda z: jnp.flip(z, 1)  # noqa: E731
    assert_translation_equivariant(flip, IMAGE, shifts=[(0, 1)], method=method)
    with pytest.raises(AssertionError, match="axis 1 moves the other way"):
        assert_translation_equivariant(flip, IMAGE, method="proof")
    with pytest.raises(ValueError, match="no multiple of the stride"):
        assert_translation_equivariant(strided, IMAGE, shifts=[(0, 1)], **options)


SAYS = "equivariant to every shift"
# Function, what is said of how the output moves.
MOVEMENTS = {
    "as the input": (jnp.tanh, ""),
    "rolled": (lambda x: jnp.roll(x, 2, 1), ""),
    "one flipped": (lambda x: jnp.flip(x, 1), "axis 1 moves the other way"),
    "other flipped": (lambda x: x[:, :, ::-1], "axis 2 moves the other way"),
    "both flipped": (lambda x: jnp.flip(x, (1, 2)), "moves the other way"),
    "flipped back": (lambda x: jnp.flip(jnp.tanh(jnp.flip(x, 1)), 1), ""),
    "transposed": (
        lambda x: jnp.swapaxes(x, 1, 2),
        "axis 1 moves along dimension 2; axis 2 moves along dimension 1",
    ),
    "channels first": (
        lambda x: jnp.moveaxis(x, 3, 1),
        "axis 1 moves along dimension 2; axis 2 moves along dimension 3",
    ),
    "quarter turn": (
        lambda x: jnp.rot90(x, 1, (1, 2)),
        "axis 1 moves along dimension 2; axis 2 moves the other way along dimension 1",
    ),
    "no batch": (
        lambda x: x[0],
        "axis 1 moves along dimension 0; axis 2 moves along dimension 1",
    ),
    "upsampled": (lambda x: jnp.repeat(x, 3, 2), "axis 2 moves 3 positions for a shift by 1"),
    "upsampled, flipped": (
        lambda x: jnp.repeat(x, 2, 1)[:, ::-1],
        "axis 1 moves 2 positions the other way for a shift by 1",
    ),
    "tokens": (lambda x: x.reshape(2, 24, 3), "moves inside dimension 1 (6 x 4)"),
    "columns of channels": (
        lambda x: x.reshape(2, 6, 12),
        "axis 2 moves 3 positions for a shift by 1",
    ),
    "channels before columns": (
        lambda x: jnp.swapaxes(x, 2, 3).reshape(2, 6, 12),
        "axis 2 moves inside dimension 2 (3 x 4)",
    ),
    "pairs of rows": (
        lambda x: x[:, :, None] + x[:, None],
        "axis 1 moves along dimensions 1 and 2; axis 2 moves along dimension 3",
    ),
    "window": (lambda x: x[:, 1:4], "axis 1 shows 3 of 6 positions"),
    "repeated rows": (
        lambda x: jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="wrap"),
        "axis 1 shows 6 positions as 8",
    ),
}


@pytest.mark.parametrize("name", MOVEMENTS)
def test_what_does_not_move_with_its_input_says_so(name):
    fun, movement = MOVEMENTS[name]
    certificate = jaxinv.certify(fun, IMAGE)
    assert certificate.only.state.movement == movement
    verdict = "; ".join(filter(None, [SAYS, movement]))
    text = " ".join(str(certificate).split())
    assert f"{verdict}." in text
    assert "commutes with every shift" not in text
    assert json.loads(json.dumps(certificate.to_dict()))["outputs"][0]["verdict"] == verdict
    assert proof.layer_states(lambda x: (fun(x),), IMAGE) == [verdict]
    # README's definition, for shifts by one and outputs of the input's shape.
    follows = all(
        close(fun(moved(IMAGE, axis, 1)), moved(fun(IMAGE), axis, 1))
        for axis in (1, 2)
        if fun(IMAGE).ndim == IMAGE.ndim
    )
    assert follows or movement
    if movement and fun(IMAGE).ndim == IMAGE.ndim:
        assert not follows


@pytest.mark.parametrize(
    ("fun", "period", "movement"),
    [
        (lambda x: x[:, ::2], 2, ""),
        (lambda x: jnp.repeat(x[:, ::2], 2, 1), 2, ""),
        (lambda x: jnp.repeat(x[:, ::3], 2, 1), 3, "moves 2 positions for a shift by 3"),
        (lambda x: jnp.repeat(x[:, ::2], 4, 1), 2, "moves 4 positions for a shift by 2"),
        (lambda x: x[:, ::-2], 2, "moves the other way"),
        (lambda x: x.reshape(1, 2, 3, 2), 3, ""),
        (lambda x: x.reshape(1, 12), 1, "moves 2 positions for a shift by 1"),
    ],
)
def test_strides_that_are_whole_need_no_words(fun, period, movement):
    state = jaxinv.certify(fun, SIGNAL, axes=(1,)).only.state
    assert (state.period, state.movement) == ((period,), movement)
    (along,) = state.per_axis
    assert holds(fun, SIGNAL, along)


def test_axes_that_count_from_the_end_are_looked_for_from_the_end():
    both = (drawn(6, 4, 3), drawn(2, 6, 4, 3))
    certificate = jaxinv.certify(lambda x: x, both, axes=(-3, -2))
    assert [output.state.movement for output in certificate.outputs] == ["", ""]
    assert certificate.axes == (-3, -2)
    certificate = jaxinv.certify(lambda x: x[0], IMAGE, axes=(-3, -2))
    assert (certificate.axes, certificate.only.state.movement) == ((1, 2), "")


@pytest.mark.parametrize("seed", few(range(90_000, 90_020), *range(90_000, 90_006)))
def test_random_programs_that_need_no_words_move_as_readme_says(seed):
    # Some programs are drawn with infinities.
    with jax.enable_x64(True), np.errstate(all="ignore"):
        program = programs.seeded(seed)
        certificate = jaxinv.certify(program.fun, program.x, axes=program.axes)
        orbit = judged.measured_orbit(program)
        assert max(map(len, str(certificate).splitlines())) <= 100
        for step in certificate.steps:
            assert {reason.axis for reason in step.reasons} >= set(step.ended)
        for leaf, output in enumerate(certificate.outputs):
            for axis, state in enumerate(output.per_axis):
                if state.kind == "equivariant" and not state.movement:
                    shift = [state.period * (a == axis) for a in range(len(program.axes))]
                    after = np.roll(orbit.at([0] * len(shift))[leaf], state.moves, state.axis)
                    assert state.period % state.moves == 0
                    assert measured.same(after, orbit.at(shift)[leaf])


@pytest.mark.parametrize("axes", [(1, 2), (1,)])
@pytest.mark.parametrize(
    "fun",
    [lambda x: jnp.ones(3), jnp.zeros_like, lambda x: x[:, :0].mean((1, 2)) + jnp.arange(4.0)],
    ids=["a constant", "zeros of its shape", "a mean of nothing"],
)
def test_an_output_that_nothing_of_the_input_goes_into_is_said_to_be_so(fun, axes):
    certificate = jaxinv.certify(fun, jnp.zeros((2, 8, 6, 4)), axes=axes)
    assert certificate.kind == "invariant"
    assert not certificate.only.state.depends
    said = "invariant to every shift; it does not depend on the input"
    assert f"\n{said}.\n" in str(certificate)
    assert certificate.to_dict()["outputs"][0]["verdict"] == said


@pytest.mark.parametrize("fun", [lambda x: 0 * x, lambda x: x.mean((1, 2)), lambda x: x[:, :1]])
def test_an_output_that_something_of_the_input_goes_into_is_not(fun):
    certificate = jaxinv.certify(fun, jnp.zeros((2, 8, 6, 4)))
    assert certificate.only.state.depends
    assert "depend" not in str(certificate)
