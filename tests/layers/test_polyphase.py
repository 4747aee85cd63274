import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import (
    CRITERIA,
    polyphase_components,
    polyphase_norms,
    polyphase_upsample,
    select_phase,
    tie_margin,
)


def test_components_are_the_strided_slices_in_row_major_order(signal):
    x = signal(2, 6, 9, 2)
    parts = polyphase_components(x, (2, 3))
    for index, (p, q) in enumerate(np.ndindex(2, 3)):
        np.testing.assert_array_equal(parts[index], x[:, p::2, q::3])


@pytest.mark.parametrize(("size", "stride"), [(8, 2), (9, 3), (12, 4)])
def test_the_polyphase_shift_lemma(signal, size, stride):
    x = signal(1, size, 2)
    before, after = (polyphase_components(v, stride) for v in (x, jnp.roll(x, 1, 1)))
    for p in range(1, stride):
        np.testing.assert_array_equal(after[p], before[p - 1])
    np.testing.assert_array_equal(after[0], jnp.roll(before[-1], 1, 1))


@pytest.mark.parametrize("size", [7, 8, 9, 10])
def test_all_components_have_floor_of_size_over_stride(signal, size):
    parts = polyphase_components(signal(1, size, 1), 3)
    assert {part.shape for part in parts} == {(1, size // 3, 1)}


def test_norms_by_definition(signal):
    x = np.asarray(signal(2, 4, 6, 3))
    for criterion, norm in (
        ("l1", lambda v: np.abs(v).sum()),
        ("l2", lambda v: np.sqrt((v * v).sum())),
        ("linf", lambda v: np.abs(v).max()),
    ):
        norms = polyphase_norms(jnp.asarray(x), 2, criterion=criterion)
        expected = [[norm(v[p::2, q::2]) for p, q in np.ndindex(2, 2)] for v in x]
        np.testing.assert_allclose(norms, expected, rtol=1e-5)


def test_the_filtered_norm_is_that_of_the_filtered_map():
    x = jnp.array([0.0, 4.0, 0.0, 0.0]).reshape(1, 4, 1)
    # (1 2 1) / 4 on the circle: 1 2 1 0
    norms = polyphase_norms(x, 2, criterion="l2_filtered")
    np.testing.assert_allclose(norms, [[np.sqrt(2), 2]], rtol=1e-6)


def test_selection_is_each_signals_own(signal):
    x = signal(4, 4, 4, 2)
    y = select_phase(x, jnp.arange(4), 2)
    for n, (p, q) in enumerate(np.ndindex(2, 2)):
        np.testing.assert_array_equal(y[n], x[n, p::2, q::2])


def test_upsampling_puts_each_map_back_at_its_phase(signal):
    x = signal(6, 4, 9, 2)
    phase = jnp.arange(6)
    y = polyphase_upsample(select_phase(x, phase, (2, 3)), phase, (2, 3))
    for n, (p, q) in enumerate(np.ndindex(2, 3)):
        expected = np.zeros_like(x[n])
        expected[p::2, q::3] = x[n, p::2, q::3]
        np.testing.assert_array_equal(y[n], expected)


def test_stride_one_changes_nothing(signal):
    x, phase = signal(1, 5, 2), jnp.array([0])
    np.testing.assert_array_equal(select_phase(x, phase, 1), x)
    np.testing.assert_array_equal(polyphase_upsample(x, phase, 1), x)


def test_margins():
    norms = jnp.array([[4.0, 1.0, 3.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(tie_margin(norms), [0.25, 0, 0])
    np.testing.assert_array_equal(tie_margin(norms[:, :1]), 1)


def test_wrong_use(signal):
    x = signal(1, 4, 4, 1)
    with pytest.raises(ValueError, match=r"stride \(5, 5\) is larger than the map of \(4, 4\)"):
        polyphase_components(x, 5)
    with pytest.raises(ValueError, match="stride is 0"):
        polyphase_upsample(x, jnp.array([0]), 0)
    with pytest.raises(ValueError, match=f"criterion is 'l3'; allowed are {', '.join(CRITERIA)}"):
        polyphase_norms(x, 2, criterion="l3")
