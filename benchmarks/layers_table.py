"""Writes the tables of docs/layers.md: `python benchmarks/layers_table.py [--weights DIR ...]`.

What stands between the markers in the page is replaced; the prose around it stays.
"""

import argparse
import glob
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv import certify, data, layers, models
from jaxinv.metrics import consistency, mean_accuracy, relative_error, worst_case_accuracy
from jaxinv.orbit import orbit
from jaxinv.shifts import subpixel_translate, translate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "layers.md"
WHOLE = ((1, 0), (0, 1), (1, 1), (2, 3), (5, 7))
HALF = (0.5, 0.5)
MAP = (1, 16, 16, 8)
CIFAR_MEAN, CIFAR_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
REACH = 4

Function = Callable[[jax.Array], jax.Array]
Module = tuple[Function, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="folder of CIFAR ResNets to audit")
    parser.add_argument("--data-dir", type=Path, help="folder of prepared TFDS data sets")
    parser.add_argument("--images", type=int, default=200, help="test images of the audit")
    parser.add_argument("--only", choices=["layers", "networks", "trained"], help="one table")
    options = parser.parse_args()
    tables = {"layers": layer_table, "networks": network_table}
    if options.weights:
        tables["trained"] = partial(trained_table, options)
    for name, table in tables.items():
        if options.only in (None, name):
            text = "\n".join(table())
            # Read only now: a table takes minutes, and another may have been written meanwhile.
            PAGE.write_text(replace(PAGE.read_text(), name, text))


def replace(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    head, rest = page.split(begin)
    return f"{head}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def module(layer, x, *, first: bool = False) -> Module:
    """A layer with random weights, and how many there are.

    Some start at zero by design and would hide what the layer does, so noise is added to all.
    """
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    noise = np.random.default_rng(0).normal
    params = jax.tree.map(lambda p: p + 0.1 * noise(size=p.shape), variables.get("params", {}))
    variables = {**variables, "params": jax.tree.map(jnp.float32, params)}
    count = sum(p.size for p in jax.tree.leaves(variables.get("params", {})))

    def function(x):
        y = layer.apply(variables, x)
        return y[0] if first else y

    return function, count


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
    yield "`MaxPool(2, 1)`, circular", (layers.MaxPool(2, 1, "CIRCULAR"), 0)
    yield "`MaxPool(2, 2)`", (layers.MaxPool(), 0)
    yield "`AvgPool(2, 2)`", (layers.AvgPool(), 0)
    for taps in (3, 5, 7):
        yield (
            f"`BlurPool(taps={taps})`, circular",
            (layers.BlurPool(taps=taps, padding="CIRCULAR"), 0),
        )
    yield "`MaxBlurPool()`, circular", (layers.MaxBlurPool(padding="CIRCULAR"), 0)
    yield "`BlurPool()`, reflect", (layers.BlurPool(), 0)
    yield "`AdaptivePolyphaseSampling()`", module(layers.AdaptivePolyphaseSampling(), x, first=True)
    aps, up = layers.AdaptivePolyphaseSampling(), layers.AdaptivePolyphaseUpsampling()
    yield "the same, then `AdaptivePolyphaseUpsampling()`", (lambda x: up(*aps.apply({}, x)), 0)
    yield (
        "`LearnablePolyphaseSampling()`",
        module(layers.LearnablePolyphaseSampling(), x, first=True),
    )
    yield "`IdealDownsample()`", (layers.IdealDownsample(), 0)
    yield "`IdealUpsample()`", (layers.IdealUpsample(), 0)
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


NETWORKS: tuple[tuple[str, dict, tuple[int, ...], int], ...] = (
    # name, options, the input it is published for, the size at which errors are measured
    ("mlp", {}, (28, 28, 1), 28),
    ("simard", {}, (29, 29, 1), 29),
    ("lenet5", {}, (32, 32, 1), 32),
    ("lenet", {}, (32, 32, 1), 32),
    ("lenet", {"head": "gap"}, (32, 32, 1), 32),
    ("lenet", {"head": "gap", "padding": "CIRCULAR"}, (32, 32, 1), 32),
    ("lenet", {"head": "gap", "padding": "CIRCULAR", "downsample": "none"}, (32, 32, 1), 32),
    ("lenet_local", {}, (32, 32, 1), 32),
    ("allconv", {}, (32, 32, 3), 32),
    ("vgg11", {"num_classes": 1000}, (224, 224, 3), 0),
    ("vgg16", {"num_classes": 1000}, (224, 224, 3), 0),
    ("resnet20", {}, (32, 32, 3), 32),
    *(
        ("resnet20", {"padding": "CIRCULAR", "downsample": kind}, (32, 32, 3), 32)
        for kind in layers.DOWNSAMPLES
    ),
    ("resnet56", {}, (32, 32, 3), 32),
    ("resnet18", {"num_classes": 1000}, (224, 224, 3), 0),
    (
        "resnet18",
        {"num_classes": 1000, "padding": "CIRCULAR", "downsample": "aps"},
        (224, 224, 3),
        0,
    ),
    ("resnet50", {"num_classes": 1000}, (224, 224, 3), 0),
    ("convnext_tiny", {"num_classes": 1000, "layer_scale": 1.0}, (224, 224, 3), 32),
    ("convnext_tiny_alias_free", {"num_classes": 1000, "layer_scale": 1.0}, (224, 224, 3), 32),
    ("vit_small", {"num_classes": 1000}, (224, 224, 3), 0),
    (
        "vit_small",
        {"num_classes": 1000, "position_embedding": False, "head": "gap", "downsample": "aps"},
        (224, 224, 3),
        0,
    ),
    ("unet", {"num_classes": 2}, (256, 256, 1), 0),
    ("unet", {"num_classes": 2, "padding": "CIRCULAR", "downsample": "aps"}, (256, 256, 1), 0),
    ("audio1d", {}, (16384, 1), 0),
    ("audio1d", {"padding": "CIRCULAR", "downsample": "aps"}, (16384, 1), 0),
)


def network_table() -> Iterator[str]:
    yield "| network | input | certificate | whole shifts | half a pixel | parameters | FLOPs |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, options, shape, side in NETWORKS:
        model = models.create(name, **options)
        published = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
        variables = jax.eval_shape(model.init, jax.random.key(0), published)
        count = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(variables["params"]))
        shown = {k: v for k, v in options.items() if k not in ("num_classes", "layer_scale")}
        label = f"`{name}`" + "".join(f", {k}={v}" for k, v in shown.items())
        size = " x ".join(map(str, shape))
        zeros = jax.tree.map(lambda v: np.broadcast_to(np.zeros((), v.dtype), v.shape), variables)
        if side:
            x = jax.random.normal(jax.random.key(1), (1, side, side, shape[-1]))
            function, _ = module(model, layers.ideal_lowpass(x, 1))
            measured = errors(function, layers.ideal_lowpass(x, 1))
        else:
            measured = ("", "")
        verdict = proof(partial(model.apply, zeros), published, len(shape) - 1)
        work = flops(lambda v, x, model=model: model.apply(v, x), variables, published)
        yield f"| {label} | {size} | {verdict} | {' | '.join(measured)} | {count:,} | {work} |"
        print(label, verdict, *measured, flush=True)


def row(name: str, function: Function, count: int, x, shape) -> str:
    verdict = proof(function, shape, x.ndim - 2)
    measured = errors(function, x)
    print(name, verdict, *measured, flush=True)
    work = flops(function, jax.ShapeDtypeStruct(x.shape, x.dtype))
    return f"| {name} | {verdict} | {' | '.join(measured)} | {count:,} | {work} |"


def proof(function: Function, x, rank: int) -> str:
    certificate = certify(function, x, axes=tuple(range(1, rank + 1)))
    if certificate.kind == "broken":
        return f"broken: {certificate.breaks[-1].reason}"
    period = set(certificate.period)
    if period == {1}:
        return f"{certificate.kind}, every shift"
    return f"{certificate.kind}, multiples of {certificate.period[0]}"


def errors(function: Function, x) -> tuple[str, str]:
    """The worst relative error at whole shifts, and the one at half a pixel."""
    rolls = certify(function, x).kind.endswith("roll")
    function = jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})
    y = function(x)
    if y.ndim == x.ndim and x.shape[1] % y.shape[1] and y.shape[1] % x.shape[1]:
        return "not on the torus", "not on the torus"
    if y.ndim == x.ndim and rolls:
        same = all(np.allclose(values(function(translate(x, t))), values(y)) for t in WHOLE)
        return "0 up to a roll" if same else "more than a roll", "not defined"

    def error(shift):
        whole = all(t == int(t) for t in shift)
        moved = function(translate(x, shift) if whole else subpixel_translate(x, shift))
        if y.ndim != x.ndim:
            return float(relative_error(moved, y))
        rate = y.shape[1] / x.shape[1]
        target = tuple(rate * t for t in shift)
        whole = all(t == int(t) for t in target)
        target = tuple(map(int, target)) if whole else target
        return float(relative_error(moved, (translate if whole else subpixel_translate)(y, target)))

    return f"{max(map(error, WHOLE)):.1e}", f"{error(HALF):.1e}"


def values(y) -> np.ndarray:
    return np.sort(np.asarray(y), axis=None)


def flops(function, *shapes) -> str:
    cost = jax.jit(function).lower(*shapes).cost_analysis() or {}
    return f"{cost.get('flops', 0):,.3g}".replace("e+", "e") if cost else ""


def trained_table(options) -> Iterator[str]:
    """The published CIFAR ResNets at every shift within a few pixels, zeros entering."""
    test = data.load("cifar10_partial", split="test1k", data_dir=options.data_dir)
    images, labels = test.images[: options.images], jnp.asarray(test.labels[: options.images])
    x = (jnp.asarray(images, jnp.float32) / 255 - jnp.array(CIFAR_MEAN)) / jnp.array(CIFAR_STD)
    every = (jnp.asarray(test.images, jnp.float32) / 255 - jnp.array(CIFAR_MEAN)) / jnp.array(
        CIFAR_STD
    )
    yield (
        f"| network | centred, {len(test.images)} images | mean, {options.images} images | "
        "worst case | consistency |"
    )
    yield "| --- | --- | --- | --- | --- |"
    for name in ("resnet20", "resnet32", "resnet56"):
        (file,) = glob.glob(str(options.weights / f"{name}-*.npz"))
        model = models.create(name)
        apply = partial(model.apply, models.from_torch(file, model))
        predict = jax.jit(lambda x, apply=apply: jnp.argmax(apply(x), -1))
        centred = np.mean(np.concatenate([predict(b) for b in jnp.split(every, 5)]) == test.labels)
        parts = [
            orbit(predict, mode="constant", max_shift=REACH, share=False, chunk=1)(part)
            for part in jnp.split(x, max(1, len(x) // 50))
        ]
        predictions = jnp.concatenate(parts, axis=-1)
        figures = (
            centred,
            mean_accuracy(predictions, labels),
            worst_case_accuracy(predictions, labels),
            consistency(predictions),
        )
        yield f"| `{name}` | " + " | ".join(f"{100 * float(f):.1f}%" for f in figures) + " |"
        print(name, *map(float, figures), flush=True)


if __name__ == "__main__":
    main()
