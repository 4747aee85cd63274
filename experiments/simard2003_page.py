"""docs/simard2003.md from the figures of the cells that have run."""

from experiments.cells import Figures, mean_and_error

# Test error in percent, cross-entropy (their table 1).
PUBLISHED = {
    ("mlp", "none"): 1.6,
    ("mlp", "affine"): 1.1,
    ("mlp", "elastic"): 0.7,
    ("conv", "affine"): 0.6,
    ("conv", "elastic"): 0.4,
}
NAMES = {"mlp": "MLP, 800 hidden units", "conv": "Simard's convolutional net"}
AUGMENTS = ("none", "translate", "affine", "elastic", "orbit")

INTRODUCTION = """\
# Simard, Steinkraus and Platt (2003): distorted training data

*This page is written by `python -m experiments.simard2003 --data-dir DIR`; its figures are those
in `simard2003.json` beside it.*

If convolutional networks were invariant to translation, training them on translated images would
gain nothing. Simard and others gained by distorting the training images anew at each step: shifts,
affine maps, and elastic distortions. Here their two networks are trained on all 60,000 images of
MNIST and tested on all 10,000.
"""

METHOD = """\
## What differs from the paper

* Adam with a cosine decay and batches of 128 (of 32 for orbit), instead of single images and a step
  size lowered by 0.3 every 100 epochs; the epochs are in the table, and each run is reported at its
  last one. The convolutional net has decoupled weight decay (AdamW) of 0.1, 0.3 without
  distortions, and label smoothing of 0.1; the MLP has neither.
* The networks are `mlp` (800 ReLU units) and `simard` (5 and 50 maps of 5x5, stride 2, 100 units,
  biases everywhere, ReLU) of `jaxinv.models`. The paper does not name the activation. The presets
  are `simard2003-{mlp,conv}-{augmentation}`.
* translate: integer shifts of up to 2 pixels; affine: rotation up to 15 degrees, scale and shear
  up to 0.15; elastic: sigma 4, alpha 34, normalised as `jaxinv.augment.elastic_field` says;
  orbit: the exact mean loss over the 25 shifts of up to 2 pixels. Affine and elastic are not
  combined.

## What was tried

For the convolutional net, validation error in percent after training on 50,000 images, one seed
each, the last 10,000 of the training split held out; the test split chose nothing. A difference of
0.1 is what two seeds may differ by.

| training data | activation | epochs | settings | error |
|---|---|---|---|---|
| none | tanh | 20 | Adam, 0.002 | 1.40 |
| none | tanh | 20 | decay 0.1 | 1.28 |
| none | tanh | 20 | label smoothing 0.1 | 1.22 |
| none | tanh | 20 | moving average of the parameters, 0.999 | 1.39 |
| none | tanh | 20 | batches of 32 | 1.38 |
| none | tanh | 20 | dropout 0.5 | 1.45 |
| none | tanh | 20 | decay 0.1, label smoothing 0.1 | 1.10 |
| none | tanh | 20 | SGD, Nesterov, 0.1, batches of 64, decay 0.0005, label smoothing 0.1 | 1.26 |
| none | tanh | 20 | 0.003, decay 0.3, label smoothing 0.1 | 1.02 |
| none | ReLU | 20 | 0.003, decay 0.3, label smoothing 0.1 | 0.82 |
| translate | ReLU | 16 | 0.002, decay 0.1, label smoothing 0.1 | 0.70 |
| affine | tanh | 16 | Adam, 0.004 | 1.26 |
| affine | tanh | 16 | 0.004, decay 0.1, label smoothing 0.1 | 0.86 |
| affine | ReLU | 16 | Adam, 0.002 | 0.80 |
| affine | ReLU | 16 | 0.002, decay 0.1, label smoothing 0.1 | 0.61 |
| elastic | tanh | 16 | Adam, 0.004 | 1.29 |
| elastic | tanh | 16 | 0.004, decay 0.01, label smoothing 0.1 | 1.20 |
| elastic | ReLU | 16 | Adam, 0.002 | 0.82 |
| elastic | ReLU | 16 | Adam, 0.002, batches of 64 | 0.75 |
| elastic | ReLU | 16 | 0.004, decay 0.01 | 0.80 |
| elastic | ReLU | 16 | 0.002, decay 0.1, label smoothing 0.1 | 0.75 |
| elastic | ReLU | 40 | 0.002, decay 0.1, label smoothing 0.1 | 0.69 |

Decay is decoupled (AdamW). The activation was worth most. With elastic distortions the network is
right on 98.6% of its training images after 40 epochs: it still learns, so the preset has 60.
Simard and others trained for several hundred.

## What orbit costs

The 25 shifts of up to 2 pixels have little in common: `jaxinv.orbit_cost` counts 23.8 forward
passes' work instead of 25 for the convolutional net, whose strides of 2 and 2 let only every fourth
shift share its second map, and 25 for the MLP, whose first layer shares nothing. Hence the fewer
epochs of the presets. On one processor core an epoch of the convolutional net took 1.8 minutes in
batches of 32, with all shifts evaluated together (`chunk` of the presets); with random translations
it takes 5 seconds on two cores. The 289 shifts of up to 8 pixels on a canvas of 37 cost 154 passes
by that count: 23 minutes an epoch on one core. Three epochs on the first 10,000 images alone gave
98.40% centred, 97.93% at the mean and 95.15% at the lowest shift. On 1,000 images four in five
shifts are within half a point of the centred accuracy; most others are shifts of 8 pixels, where
one digit in five is cut at the upper or lower border. A canvas of 41 would hardly cut any; it costs
1.5 times as much and was not tried.
"""


def page(cells: dict[str, Figures]) -> str:
    """The page, with what has not run left out and named."""
    errors = [
        "| network | training data | epochs | seeds | test error, % | published | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    shifted = [
        "| network | training data | centred, % | mean over shifts | worst case | consistency "
        "| mean within half | worst within half |",
        "|---|---|---|---|---|---|---|---|",
    ]
    missing = []
    for network, title in NAMES.items():
        for augment in AUGMENTS:
            group = f"{network}-{augment}-"
            runs = [figures for name, figures in cells.items() if name.startswith(group)]
            if not runs:
                missing.append(f"{title}, {augment}")
                continue
            error = mean_and_error([100 * run["error"] for run in runs])
            published = PUBLISHED.get((network, augment))
            epochs = sorted({run["epochs"] for run in runs})
            errors.append(
                f"| {title} | {augment} | {', '.join(map(str, epochs))} | {len(runs)} "
                f"| {plus_minus(error)} | {published or ''} "
                f"| {f'{error[0] - published:+.2f}' if published else ''} |"
            )
            keys = ("centred", "mean", "worst", "consistency", "half_mean", "half_worst")
            means = [
                f"{mean_and_error([100 * run['shifted'][key] for run in runs])[0]:.1f}"
                for key in keys
            ]
            shifted.append(f"| {title} | {augment} | {' | '.join(means)} |")
    text = [INTRODUCTION, "## Test error", "", *errors, ""]
    text += ["Mean and standard error over seeds.", ""]
    if cells:
        first = next(iter(cells.values()))["shifted"]
        text += [
            f"## At every shift within {first['max_shift']} pixels",
            "",
            f"The first {first['images']} test images, {(2 * first['max_shift'] + 1) ** 2} shifts "
            "with zeros coming in; means over seeds. MNIST's digits have about 4 pixels around "
            "them, so beyond half of this range part of a digit may leave the canvas.",
            "",
            *shifted,
            "",
        ]
    wide = [figures for name, figures in cells.items() if name.startswith("conv-wide-")]
    if wide:
        text += [*_wide(wide), ""]
    else:
        missing.append("Simard's convolutional net on a canvas of 37 pixels, orbit")
    if missing:
        text += ["## Not run", "", *(f"* {name}" for name in missing), ""]
    return "\n".join([*text, METHOD])


def _wide(runs: list[Figures]) -> list[str]:
    """What training on all shifts of up to 8 pixels gives where they cut nothing off."""
    shifted = [run["shifted"] for run in runs]
    mean = {key: 100 * mean_and_error([run[key] for run in shifted])[0] for key in shifted[0]}
    epochs = ", ".join(map(str, sorted({run["epochs"] for run in runs})))
    shifts = (2 * shifted[0]["max_shift"] + 1) ** 2
    return [
        "## Trained on every shift of up to 8 pixels",
        "",
        "At 29 pixels a shift of 8 cuts off part of most digits, on a canvas of 37 the edge of",
        "some. There the convolutional net was trained with `orbit`, the exact mean over all",
        f"{shifts} shifts of each image (`--networks conv --augments wide`, that is the preset",
        f"`simard2003-conv-wide`; epochs: {epochs}; seeds: {len(runs)}). On the first",
        f"{shifted[0]['images']} test images:",
        "",
        "| shift | accuracy, % | less than centred, points |",
        "|---|---|---|",
        *(
            f"| {name} | {mean[key]:.2f} | {mean['centred'] - mean[key]:.2f} |"
            for name, key in (
                ("centred", "centred"),
                (f"mean over all {shifts} shifts", "mean"),
                ("the one shift with the lowest accuracy", "lowest"),
                ("each image at its own worst shift", "worst"),
            )
        ),
        "",
        f"Consistency is {mean['consistency']:.2f}%.",
    ]


def plus_minus(value: tuple[float, float]) -> str:
    """A mean with its standard error, where there is one."""
    mean, error = value
    return f"{mean:.2f}" if error != error else f"{mean:.2f} ± {error:.2f}"
