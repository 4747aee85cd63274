"""Writes the tables of docs/layers.md: `python benchmarks/layers_table.py [--weights DIR ...]`.

What stands between the markers in the page is replaced; the prose around it stays.
"""

import argparse
import glob
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv import certify, data, layers, models
from jaxinv.metrics import consistency, mean_accuracy, relative_error, worst_case_accuracy
from jaxinv.orbit import orbit
from jaxinv.shifts import subpixel_translate, translate
from jaxinv.symmetry.state import Interior

PAGE = Path(__file__).resolve().parents[1] / "docs" / "layers.md"
WHOLE = ((1, 0), (0, 1), (1, 1), (2, 3), (5, 7))
HALF = (0.5, 0.5)
MAP = (1, 16, 16, 8)
CIFAR_MEAN, CIFAR_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
REACH, BATCH = 4, 50
NEAR, ALL = {"mode": "constant", "max_shift": REACH}, {"mode": "wrap"}
AUDITS = (
    ("resnet20", NEAR, 1000),
    ("resnet32", NEAR, 1000),
    ("resnet56", NEAR, 1000),
    ("resnet20", ALL, 50),
)

Function = Callable[[jax.Array], jax.Array]
Module = tuple[Function, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="folder of CIFAR ResNets to audit")
    parser.add_argument("--data-dir", type=Path, help="folder of prepared TFDS data sets")
    parser.add_argument("--only", choices=["layers", "networks", "trained"], help="one table")
    parser.add_argument(
        "--resume", action="store_true", help="keep the rows of networks that the page has"
    )
    options = parser.parse_args()
    tables = {"layers": lambda kept: layer_table(), "networks": network_table}
    if options.weights:
        tables["trained"] = partial(trained_table, options)
    for name, table in tables.items():
        if options.only not in (None, name):
            continue
        kept = standing(PAGE.read_text(), name) if options.resume else []
        lines: list[str] = []
        for line in table(kept):
            lines.append(line)
            # Row by row, so that an interrupted run can go on; and read again each time, since
            # another table may be written at the same time.
            text = "\n".join(lines + [line for line in kept if line not in lines])
            PAGE.write_text(replace(PAGE.read_text(), name, text))
        PAGE.write_text(replace(PAGE.read_text(), name, "\n".join(lines)))


def standing(page: str, name: str) -> list[str]:
    return page.split(f"<!-- begin {name} -->")[1].split(f"<!-- end {name} -->")[0].splitlines()


def replace(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    head, rest = page.split(begin)
    return f"{head}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def quick_jit(function):
    """Most functions here run a few times: compiling costs more than running."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def random_variables(layer, x) -> dict:
    """Some weights start at zero by design and would hide what the layer does: noise on all."""
    variables = quick_jit(layer.init)(jax.random.key(0), x)
    noise = np.random.default_rng(0).normal
    params = jax.tree.map(lambda p: p + 0.1 * noise(size=p.shape), variables.get("params", {}))
    return {**variables, "params": jax.tree.map(jnp.float32, params)}


def module(layer, x, *, first: bool = False) -> Module:
    """A layer with random weights, and how many there are."""
    variables = random_variables(layer, x)

    def function(x):
        y = layer.apply(variables, x)
        return y[0] if first else y

    return function, sum(p.size for p in jax.tree.leaves(variables["params"]))


def layer_rows(x) -> Iterator[tuple[str, Module]]:
    """Every layer once, with circular padding where it matters, and the paddings themselves."""
    for padding in layers.PADDINGS:
        name = f"`Conv(8, padding={padding!r})`"
        yield name, module(layers.Conv(8, padding=padding), x)
    conv = partial(layers.Conv, 8, padding="CIRCULAR")
    yield "`Conv(8, stride=2)`, circular", module(conv(stride=2), x)
    yield "`Conv(8, groups='depthwise')`, circular", module(conv(groups="depthwise"), x)
    yield (
        "`LocallyConnected(8)`, circular",
        module(layers.LocallyConnected(8, padding="CIRCULAR"), x),
    )
    yield "`ConvTranspose(8)`, circular", module(layers.ConvTranspose(8, padding="CIRCULAR"), x)
    circular = {"padding": "CIRCULAR"}
    yield "`max_pool(x, 2)`, circular", (partial(layers.max_pool, window=2, **circular), 0)
    yield "`max_pool(x, 2, stride=2)`", (partial(layers.max_pool, window=2, stride=2), 0)
    yield "`avg_pool(x, 2, stride=2)`", (partial(layers.avg_pool, window=2, stride=2), 0)
    for taps in (3, 5, 7):
        blur = partial(layers.blur_pool, taps=taps, **circular)
        yield f"`blur_pool(x, taps={taps})`, circular", (blur, 0)
    yield "`max_blur_pool(x)`, circular", (partial(layers.max_blur_pool, **circular), 0)
    yield "`blur_pool(x)`, reflect", (layers.blur_pool, 0)
    yield "`AdaptivePolyphaseSampling()`", module(layers.AdaptivePolyphaseSampling(), x, first=True)
    aps = layers.AdaptivePolyphaseSampling()
    back = partial(layers.polyphase_upsample, stride=2)
    yield "the same, then `polyphase_upsample`", (lambda x: back(*aps.apply({}, x)), 0)
    yield (
        "`LearnablePolyphaseSampling()`",
        module(layers.LearnablePolyphaseSampling(), x, first=True),
    )
    ideal = partial(layers.ideal_lowpass, subsample=True)
    yield "`ideal_lowpass(x, 2, subsample=True)`", (ideal, 0)
    yield "`ideal_upsample(x, 2)`", (layers.ideal_upsample, 0)
    for kind in layers.ACTIVATIONS:
        if kind != "identity":
            yield f"`Activation({kind!r})`", module(layers.Activation(kind), x)
    for kind in layers.NORMS:
        if kind != "none":
            yield f"`Norm({kind!r})`", module(layers.Norm(kind), x)
    for kind in layers.HEADS:
        yield f"`Head({kind!r})`", module(layers.Head(kind), x)
    for warp in layers.WARPS:
        transformer = layers.SpatialTransformer(layers.Head("gap"), warp, border="CIRCULAR")
        yield f"`SpatialTransformer(Head('gap'), {warp!r})`", module(transformer, x)


def layer_table() -> Iterator[str]:
    x = layers.ideal_lowpass(jax.random.normal(jax.random.key(1), MAP), 1)
    yield "| layer | certificate | whole shifts | half a pixel | parameters | FLOPs |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, (function, count) in layer_rows(x):
        yield row(name, function, count, x, x)


IMAGENET = {"num_classes": 1000}
SCALED = {**IMAGENET, "layer_scale": 1.0}
CIRCULAR = {"padding": "CIRCULAR"}
TOKENS = {**IMAGENET, "position_embedding": False}

# Name, options, the input it is published for, the input at which errors are measured.
NETWORKS: tuple[tuple[str, dict, tuple[int, ...], tuple[int, ...]], ...] = (
    ("mlp", {}, (28, 28, 1), (28, 28, 1)),
    ("simard", {}, (29, 29, 1), (29, 29, 1)),
    ("lenet5", {}, (32, 32, 1), (32, 32, 1)),
    ("lenet_local", {}, (32, 32, 1), (32, 32, 1)),
    *(
        ("lenet", options, (32, 32, 1), (32, 32, 1))
        for options in (
            {},
            {"head": "gap"},
            {"head": "gap", **CIRCULAR},
            {"head": "gap", **CIRCULAR, "downsample": "aps"},
            {"head": "gap", **CIRCULAR, "downsample": "none"},
        )
    ),
    ("allconv", {}, (32, 32, 3), (32, 32, 3)),
    ("allconv", {**CIRCULAR, "downsample": "aps"}, (32, 32, 3), (32, 32, 3)),
    *((f"vgg{depth}", IMAGENET, (224, 224, 3), (64, 64, 3)) for depth in (11, 13, 16)),
    (
        "vgg16",
        {**IMAGENET, **CIRCULAR, "downsample": "aps", "head": "gap"},
        (224, 224, 3),
        (64, 64, 3),
    ),
    *((f"resnet{depth}", {}, (32, 32, 3), (32, 32, 3)) for depth in (20, 32, 56)),
    *(
        ("resnet20", {**CIRCULAR, "downsample": kind}, (32, 32, 3), (32, 32, 3))
        for kind in layers.DOWNSAMPLES
    ),
    ("resnet18", IMAGENET, (224, 224, 3), (64, 64, 3)),
    *(
        ("resnet18", {**IMAGENET, **CIRCULAR, "downsample": kind}, (224, 224, 3), (64, 64, 3))
        for kind in ("stride", "maxblur", "aps", "lps")
    ),
    ("resnet50", IMAGENET, (224, 224, 3), (64, 64, 3)),
    ("resnet50", {**IMAGENET, **CIRCULAR, "downsample": "aps"}, (224, 224, 3), (64, 64, 3)),
    ("mobilenet_v2", IMAGENET, (224, 224, 3), (64, 64, 3)),
    *(
        ("mobilenet_v2", {**IMAGENET, **CIRCULAR, "downsample": kind}, (224, 224, 3), (64, 64, 3))
        for kind in ("stride", "blur", "aps")
    ),
    ("convnext_tiny", SCALED, (224, 224, 3), (32, 32, 3)),
    ("convnext_tiny", {**SCALED, **CIRCULAR, "downsample": "aps"}, (224, 224, 3), (32, 32, 3)),
    ("convnext_tiny_alias_free", SCALED, (224, 224, 3), (32, 32, 3)),
    ("vit_small", IMAGENET, (224, 224, 3), (64, 64, 3)),
    ("vit_small", TOKENS, (224, 224, 3), (64, 64, 3)),
    ("vit_small", {**TOKENS, "head": "gap", "downsample": "aps"}, (224, 224, 3), (64, 64, 3)),
    ("unet", {}, (64, 64, 1), (64, 64, 1)),
    ("unet", {**CIRCULAR, "downsample": "aps"}, (64, 64, 1), (64, 64, 1)),
    ("unet2015", {}, (256, 256, 1), (32, 32, 1)),
    *(
        ("unet2015", {**CIRCULAR, "downsample": kind}, (256, 256, 1), (32, 32, 1))
        for kind in ("max", "aps", "ideal")
    ),
    ("audio1d", {}, (16384, 1), (16384, 1)),
    ("audio1d", CIRCULAR, (16384, 1), (16384, 1)),
    ("audio1d", {**CIRCULAR, "downsample": "aps"}, (16384, 1), (16384, 1)),
)


def network_table(kept: list[str]) -> Iterator[str]:
    yield (
        "| network | input | certificate | errors at | whole shifts | half a pixel | parameters | "
        "FLOPs |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, options, published, measured in NETWORKS:
        old = [line for line in kept if line.startswith(f"| {label(name, options)} |")]
        yield old[0] if old else network_row(name, options, published, measured)


def label(name: str, options: dict) -> str:
    shown = {k: v for k, v in options.items() if k not in ("num_classes", "layer_scale")}
    return f"`{name}`" + "".join(f", {k}={v}" for k, v in shown.items())


def network_row(name: str, options: dict, published, measured) -> str:
    model = models.create(name, **options)
    x = jax.ShapeDtypeStruct((1, *published), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    count = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(variables["params"]))
    zeros = jax.tree.map(lambda v: np.broadcast_to(np.zeros((), v.dtype), v.shape), variables)
    verdict = proof(partial(model.apply, zeros), x, len(published) - 1)
    work = flops(model.apply, variables, x)
    x = layers.ideal_lowpass(jax.random.normal(jax.random.key(1), (1, *measured)), 1)
    function = partial(quick_jit(model.apply), random_variables(model, x))
    whole, half = errors(function, x, verdict)
    cells = (
        label(name, options),
        size(published),
        verdict,
        size(measured),
        whole,
        half,
        f"{count:,}",
        work,
    )
    print(*cells, flush=True)
    return f"| {' | '.join(cells)} |"


def size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def row(name: str, function: Function, count: int, x, shape) -> str:
    verdict = proof(function, shape, x.ndim - 2)
    measured = errors(quick_jit(function), x, verdict)
    print(name, verdict, *measured, flush=True)
    work = flops(function, jax.ShapeDtypeStruct(x.shape, x.dtype))
    return f"| {name} | {verdict} | {' | '.join(measured)} | {count:,} | {work} |"


def proof(function: Function, x, rank: int) -> str:
    """The verdict: the period, or where the symmetry ends and what interior still keeps it."""
    certificate = certify(function, x, axes=tuple(range(1, rank + 1)))
    if certificate.first_end is None:
        period = certificate.period[0]
        shifts = "every shift" if period == 1 else f"multiples of {period}"
        return f"{certificate.kind}, {shifts}"
    layer = certificate.first_end.layer
    reason = [step.reason for step in certificate.breaks if step.layer == layer][-1]
    last = certificate.interior_ends
    left = span(certificate.interior) or (last and span(last.before.interior))
    if left and not any(certificate.interior):
        left += f" before {last.layer}"
    return f"broken at {layer}: {reason}" + (f"; interior {left}" if left else "")


def span(interior: Sequence[Interior | None]) -> str:
    """Along the first axis; all maps here are square. Nothing where no position is lost."""
    here = next((i for i in interior if i is not None), None)
    if here is None or here.stop - here.start == here.size:
        return ""
    shifts = f", multiples of {here.period}" if here.period > 1 else ""
    return f"{here.start} to {here.stop - 1} of {here.size}{shifts}"


def errors(function: Function, x, verdict: str) -> tuple[str, str]:
    """The worst relative error at whole shifts, and the one at half a pixel."""
    axes, y = tuple(range(1, x.ndim - 1)), function(x)
    moves = y.ndim == x.ndim
    if moves and x.shape[1] % y.shape[1] and y.shape[1] % x.shape[1]:
        return "not on the torus", "not on the torus"
    if moves and "roll" in verdict:
        same = all(np.allclose(values(function(translate(x, t))), values(y)) for t in WHOLE)
        return "0 up to a roll" if same else "more than a roll", "not defined"

    def move(v, shift):
        if all(t == int(t) for t in shift):
            return translate(v, tuple(map(int, shift)), axes=axes)
        return subpixel_translate(v, shift, axes=axes)

    def error(shift):
        shift = shift[: len(axes)]
        moved = function(move(x, shift))
        rate = y.shape[1] / x.shape[1]
        still = move(y, tuple(rate * t for t in shift)) if moves else y
        return float(relative_error(moved, still))

    return f"{max(map(error, WHOLE)):.1e}", f"{error(HALF):.1e}"


def values(y) -> np.ndarray:
    return np.sort(np.asarray(y), axis=None)


def flops(function, *shapes) -> str:
    cost = jax.jit(function).lower(*shapes).cost_analysis() or {}
    return f"{cost.get('flops', 0):,.3g}".replace("e+", "e") if cost else ""


def trained_table(options, kept: list[str]) -> Iterator[str]:
    """The published CIFAR ResNets at every shift of a set, by brute force."""
    test = data.load("cifar10_partial", split="test1k", data_dir=options.data_dir)
    yield "| network | shifts | images | as they are | mean | worst case | consistency |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, shifts, images in AUDITS:
        number = 32 * 32 if shifts["mode"] == "wrap" else (2 * shifts["max_shift"] + 1) ** 2
        within = "circular" if shifts["mode"] == "wrap" else f"within {REACH} pixels, black enters"
        begin = f"| `{name}` | all {number:,}, {within} | first {images:,} |"
        old = [line for line in kept if line.startswith(begin)]
        yield old[0] if old else begin + audit(options.weights, test, name, shifts, images)


def audit(weights: Path, test: data.Dataset, name: str, shifts: dict, images: int) -> str:
    (file,) = glob.glob(str(weights / f"{name}-*.npz"))
    model = models.create(name)
    apply = partial(model.apply, models.from_torch(file, model))

    @jax.jit
    def predict(pixels):
        x = data.normalise(pixels, mean=CIFAR_MEAN, std=CIFAR_STD)
        return jnp.argmax(apply(x), -1).astype(jnp.int8)

    every = jax.jit(orbit(predict, share=False, chunk=1, **shifts))
    labels = test.labels[:images]
    parts = np.split(test.images[:images], images // BATCH)
    predictions = jnp.concatenate([every(part) for part in parts], axis=-1)
    figures = (
        float(np.mean(np.concatenate([predict(part) for part in parts]) == labels)),
        *(float(f(predictions, jnp.asarray(labels))) for f in (mean_accuracy, worst_case_accuracy)),
        float(consistency(predictions)),
    )
    print(name, shifts, images, *figures, flush=True)
    return " " + " | ".join(f"{100 * f:.1f}%" for f in figures) + " |"


if __name__ == "__main__":
    main()
