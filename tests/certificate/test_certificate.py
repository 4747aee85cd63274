"""The certificate: verdicts, rows, reasons, lines, interior, and its errors."""

import functools
import itertools
import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv

IMAGES = jax.ShapeDtypeStruct((2, 28, 28, 1), jnp.float32)


class LeNet(nn.Module):
    padding: str = "CIRCULAR"
    pooled: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (5, 5), padding=self.padding)(x))
        x = nn.max_pool(x, (2, 2), (2, 2))  # first stride
        x = nn.relu(nn.Conv(8, (5, 5), padding=self.padding)(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = x.mean(axis=(1, 2)) if self.pooled else x.reshape(x.shape[0], -1)
        return nn.Dense(10)(x)


def certificate_of(model, images=IMAGES, **options):
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.ones(images.shape)))
    return jaxinv.certify(model.apply, variables, images, argnums=1, **options)


def line_of(text):
    lines = Path(__file__).read_text().splitlines()
    return f"test_certificate.py:{next(i for i, line in enumerate(lines, 1) if text in line)}"


def test_the_rows_of_a_lenet():
    certificate = certificate_of(LeNet())
    rows = [(s.layer, s.after.commutes_with, s.copies) for s in certificate.steps]
    assert rows == [
        ("Conv_0", "every shift", 1),
        ("max_pool", "multiples of (2, 2)", 4),
        ("Conv_1", "multiples of (2, 2)", 4),
        ("max_pool", "multiples of (4, 4)", 16),
        ("Dense_0", "no shift but 0", 784),
    ]
    assert (certificate.kind, certificate.period) == ("broken", (28, 28))


def test_the_breaks_name_line_and_reason():
    certificate = certificate_of(LeNet())
    assert [s.reason for s in certificate.breaks] == [
        "stride 2: even shifts only",
        "stride 2: multiples of 4 only",
        "Dense after flatten mixes fixed positions",
    ]
    assert certificate.breaks[0].where == line_of("# first stride")
    assert (certificate.first_end.layer, certificate.first_end.ends) == ("Dense_0", True)
    assert certificate.first_end.before.period == (4, 4)


def test_global_pooling_is_invariant_to_the_strides_multiples():
    certificate = certificate_of(LeNet(pooled=True))
    assert (certificate.kind, certificate.period, certificate.dims) == (
        "invariant",
        (4, 4),
        (None, None),
    )
    assert certificate.first_end is None
    # Each activation once: stride-1 evaluation of 1, 4 and 16 cosets, beside the exact count.
    assert 1 < certificate.cost < 16


def test_the_interior_of_a_padded_net_shrinks_by_the_receptive_field():
    certificate = certificate_of(LeNet(padding="SAME", pooled=True))
    inner = {s.layer: s.after.interior[0] for s in certificate.equations if s.after.interior[0]}
    first = certificate.steps[0].after.interior[0]
    # 5 x 5 with 2 zeros on each side: all but the 2 outermost positions.
    assert (first.period, first.start, first.stop, first.size) == (1, 2, 26, 28)
    # A pool of 2: windows 2j, 2j + 1 within 2 .. 25. Then 5 x 5 again, then the second pool.
    pooled, conv, last = (s.after.interior[0] for s in certificate.steps[1:4])
    assert (pooled.start, pooled.stop, pooled.period) == (1, 13, 2)
    assert (conv.start, conv.stop) == (3, 11)
    assert (last.start, last.stop, last.period) == (2, 5, 4)
    assert inner


def test_the_last_line_counts_the_program_with_its_borders_cut():
    certificate = certificate_of(LeNet(padding="SAME", pooled=True))
    work = certificate.work
    assert work.passes < 784 / 4
    assert work.largest == "4 corners of Conv_1"
    assert str(certificate).endswith(
        f"All 784 shifts: about {work.passes:.0f} forward passes' work instead of 784, "
        f"{work.share:.0%} of it in 4 corners of Conv_1."
    )
    assert certificate.to_dict()["largest_part"] == {"name": work.largest, "share": work.share}
    assert certificate.interior_ends.primitive == "reduce_sum"
    assert certificate.first_end.reason == "zero padding of 2 meets the border"


@pytest.mark.parametrize("skips_late", [False, True])
def test_what_ends_the_interior_is_named_beside_a_branch_that_skips_it(skips_late):
    """In whatever order the two are computed."""

    def network(x):
        x = jaxinv.layers.convolve(x, np.ones((5, 5, 1, 1), np.float32))
        early = x * 2
        y = jaxinv.layers.convolve(x, np.ones((9, 9, 1, 1), np.float32))
        return (y + (x * 2 if skips_late else early)).mean((1, 2))

    certificate = jaxinv.certify(network, jnp.zeros((1, 12, 12, 1)))
    assert certificate.interior_ends.shape == (1, 12, 12, 1)
    assert certificate.interior_ends.primitive == "conv_general_dilated"
    before = certificate.interior_ends.before.interior[0]
    assert (before.start, before.stop) == (2, 10)


def test_content_that_enters_at_the_border():
    def valid(x):
        kernel = np.ones((3, 3, 1, 2), np.float32)
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    for mode in ("constant", "edge", "reflect", "crop"):
        certificate = jaxinv.certify(valid, IMAGES, mode=mode)
        assert (certificate.kind, certificate.period) == ("equivariant", (2, 2))
    padded = certificate_of(LeNet(padding="SAME", pooled=True), mode="crop")
    assert padded.kind == "broken"


def test_several_outputs_have_a_verdict_each():
    certificate = jaxinv.certify(
        lambda x: {"map": x[:, ::2], "mean": x.mean(axis=(1, 2)), "pixel": x[:, 0, 0]}, IMAGES
    )
    verdicts = {o.path: (o.kind, o.period, o.dims, o.moves) for o in certificate.outputs}
    assert verdicts == {
        "map": ("equivariant", (2, 1), (1, 2), (1, 1)),
        "mean": ("invariant", (1, 1), (None, None), (None, None)),
        "pixel": ("broken", (28, 28), (None, None), (None, None)),
    }
    with pytest.raises(ValueError, match=r"returns 3 arrays; read certificate\.outputs"):
        _ = certificate.kind


def test_an_upsampled_output_moves_by_several_positions():
    certificate = jaxinv.certify(lambda x: jnp.repeat(x, 3, axis=1), IMAGES)
    assert (certificate.only.moves, certificate.only.whole) == ((3, 1), (True, True))


def test_a_window_is_not_the_whole_torus():
    certificate = jaxinv.certify(lambda x: x[:, 3:20], IMAGES)
    assert (certificate.kind, certificate.only.whole) == ("equivariant", (False, True))


def test_pieces_without_positions_are_joined():
    empty = jaxinv.certify(lambda x: jnp.concatenate([x[:, :0] + 1, x[:, :0] * 2], 1), IMAGES)
    assert (empty.kind, empty.only.shape) == ("invariant", (2, 0, 28, 1))
    scanned = jaxinv.certify(lambda x: jax.lax.associative_scan(jnp.add, x[:1]), IMAGES)
    assert scanned.kind == "equivariant"


def test_a_size_that_the_stride_does_not_divide():
    odd = jax.ShapeDtypeStruct((1, 31, 28, 1), jnp.float32)
    certificate = jaxinv.certify(lambda x: x[:, ::2, ::2], odd)
    assert certificate.period == (31, 2)
    assert "31 positions are not divisible by stride 2" in certificate.breaks[0].reason


def test_a_position_embedding_is_blamed():
    embedding = np.arange(28.0, dtype=np.float32)[:, None, None]
    certificate = jaxinv.certify(lambda x: x + embedding, IMAGES)
    assert "differs between positions" in certificate.first_end.reason


def test_a_primitive_without_a_rule_is_named():
    certificate = jaxinv.certify(lambda x: jnp.linalg.qr(x[..., 0])[1].sum(axis=(1, 2)), IMAGES)
    assert certificate.kind == "broken"
    assert any("qr" in s.reason or "house" in s.reason for s in certificate.breaks)


def test_layers_are_named_by_the_parameters_that_feed_them():
    parameters = {
        "first": {"kernel": jnp.ones((1, 3))},
        "scale": 2 * jnp.ones(3),
    }

    def plain(parameters, x):
        return (x @ parameters["first"]["kernel"]) * parameters["scale"]

    certificate = jaxinv.certify(plain, parameters, IMAGES, argnums=1)
    assert certificate.steps[0].layer.endswith("first")
    bound = jaxinv.certify(functools.partial(plain, parameters), IMAGES)
    assert bound.steps[0].layer == "first"


def test_the_table_fits_and_says_the_verdict():
    for model in (LeNet(), LeNet(padding="SAME"), LeNet(pooled=True)):
        text = str(certificate_of(model))
        assert max(map(len, text.splitlines())) <= 100
        assert "shifts: every circular shift of axes (1, 2), 28 x 28" in text
    assert "The symmetry ends at Dense_0" in str(certificate_of(LeNet()))
    assert "Global pooling instead" in str(certificate_of(LeNet()))


def test_it_can_be_written_as_json():
    certificate = certificate_of(LeNet(padding="SAME"))
    read = json.loads(json.dumps(certificate.to_dict()))
    assert read["outputs"][0]["kind"] == "broken"
    assert read["breaks"][0]["reason"] == certificate.breaks[0].reason
    assert len(read["steps"]) == len(certificate.steps)


def test_no_weights_are_needed_and_none_are_read():
    huge = jax.ShapeDtypeStruct((2**20, 2**20), jnp.float32)
    x = jax.ShapeDtypeStruct((1, 4, 4, 2**20), jnp.float32)
    assert jaxinv.certify(lambda w, x: x @ w, huge, x, argnums=1).kind == "equivariant"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jaxinv.certify("net", IMAGES), "cannot be called"),
        (lambda: jaxinv.certify(jnp.sin, IMAGES, axes=(1, 6)), "axis|axes"),
        (lambda: jaxinv.certify(jnp.sin, IMAGES, argnums=2), "argnums"),
        (lambda: jaxinv.certify(jnp.sin, IMAGES, mode="mirror"), "mode is 'mirror'; allowed are"),
        (lambda: jaxinv.certify(jnp.sin, jnp.ones((1, 1, 5, 1))), "axis of one position"),
        (lambda: jaxinv.certify(lambda x: 1.0, 2.0), "holds no arrays"),
        (
            lambda: jaxinv.certify(lambda x: jax.debug.print("{}", x.sum()) or x, IMAGES),
            "side effects",
        ),
        (
            lambda: jaxinv.certify(lambda x, y: x, IMAGES, jnp.ones((1, 4, 4, 1)), argnums=(0, 1)),
            "differ in size",
        ),
    ],
    ids=["callable", "axes", "argnums", "mode", "one", "none", "effects", "sizes"],
)
def test_wrong_use(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_errors_of_tracing_are_jaxs_own():
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jaxinv.certify(lambda x: x if x.sum() > 0 else -x, IMAGES)


def test_shown_in_one_line_and_in_a_notebook():
    def network(x):
        return jnp.pad(x[:, ::2], ((0, 0), (1, 1), (0, 0), (0, 0))), {"<mean>": x.mean((1, 2))}

    certificate = jaxinv.certify(network, jnp.zeros((1, 8, 8, 3)))
    assert repr(certificate).startswith("Certificate(0: broken along axis 1; equivariant to every")
    assert "1/<mean>: invariant to every shift; ends at pad (test_certificate.py:" in repr(
        certificate
    )
    page = certificate._repr_html_()
    assert page.count("<tr") == 1 + len(certificate.steps) + len(certificate.outputs)
    assert page.count('class="ends"') == 1
    assert page.count('class="thins"') == 1
    assert "zero padding of 1 meets the border" in page
    assert "1/&lt;mean&gt;" in page


def test_what_is_too_wide_is_wrapped_and_nothing_is_cut_off():
    name = "a_name_that_nobody_gives_to_a_layer_in_earnest_but_somebody_does"

    class Wide(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Conv(2, (3, 3, 3), strides=(3, 5, 2), name=name, padding="VALID")(x)

    shape = (1, 1200, 1000, 800, 3)
    network = Wide()
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), image)
    certificate = jaxinv.certify(network.apply, variables, image, argnums=1, axes=(1, 2, 3))
    text = str(certificate)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 100
    lines = text.split("\n\n")[1].splitlines()
    starts = [lines[0].index(head) for head in ("layer", "at", "output", "commutes", "copies")]
    columns = [
        "".join(line[start:end].strip() for line in lines[1:])
        for start, end in itertools.pairwise(starts)
    ]
    assert columns[0].startswith(name)
    assert columns[1].startswith("test_certificate.py:")
    assert columns[1].rpartition(":")[2].isdigit()
    assert "400x200x399x2" in columns[2]
    assert "multiples of (3, 5, 2)".replace(" ", "") in columns[3].replace(" ", "")


@pytest.mark.parametrize(
    ("shape", "axes", "shown"),
    [
        ((8, 16, 16), (1, 2), "8x16x16"),
        ((2, 8, 16, 3), (1, 2), "8x16x3"),
        ((2, 3, 8, 16), (2, 3), "3x8x16"),
        ((8, 16), (0, 1), "8x16"),
        ((4, 32), (1,), "4x32"),
        ((2, 32, 3), (1,), "32x3"),
    ],
)
def test_only_a_batch_is_left_out_of_a_shape(shape, axes, shown):
    certificate = jaxinv.certify(lambda x: x + jnp.roll(x, 1, -1), jnp.zeros(shape), axes=axes)
    assert certificate.shape == shape
    (row,) = [line for line in str(certificate).splitlines() if line.startswith("output")]
    assert row.split()[1] == shown
