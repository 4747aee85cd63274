"""What a report says of its figures: over which images and shifts, and what columns mean."""

from jaxinv.evaluation.audit import FEW
from jaxinv.evaluation.results import Results, shift_words


def few(results: Results) -> str:
    """The images that layers are measured on."""
    count = min(FEW, results.dataset.get("images", FEW))
    return f"the first {count} images" if count > 1 else "the first image"


def setting(results: Results) -> str:
    """Data set, images and shifts in one line.

    Example:
      >>> setting(Results("", (), dataset={"name": "digits", "split": "test", "images": 2}))
      'digits (test), 2 images'
    """
    data, shifts = results.dataset, results.shifts
    parts = []
    if data:
        split = f" ({data['split']})" * bool(data["split"])
        parts.append(f"{data['name']}{split}, {count_of(results)}")
        if left_out := data.get("left_out"):
            parts.append(f"{len(left_out):,} that cannot be read left out")
    if shifts:
        parts.append(f"{shift_words(shifts)} of each")
    return ", ".join(parts)


def scored(results: Results) -> str:
    """What the curve by the size of the shift shows: accuracy, agreement without labels, change."""
    if results.values:
        return "mean absolute change of the output"
    return "accuracy" if results.labelled else "agreement with the unshifted image"


def curve_column(results: Results) -> str:
    """The column of a curve that is shown."""
    return "change" if results.values else "accuracy"


def probability(results: Results) -> str:
    """What the mean confidence is."""
    whose = "true class" if results.labelled else "unshifted image's class"
    return f"mean probability of the {whose}"


def count_of(results: Results) -> str:
    """The images behind the figures, in words: fewer than the data set's after an interruption."""
    counts = [max(f.count for f in n.figures.values()) for n in results.networks if n.figures]
    total = results.dataset.get("images", max(counts, default=0))
    done = min(counts, default=total)
    words = f"{done:,} of {total:,}" if done < total else f"{total:,}"
    return f"{words} image{'' if total == 1 else 's'}"


def legend(results: Results) -> str:
    """What the columns of the networks' table mean, over how many images and which shifts."""
    over, scale = shift_words(results.shifts), f"Over {count_of(results)}"
    if results.maps:
        return _legend_of_maps(results, over, scale)
    if results.values:
        return _legend_of_values(results, over, scale)
    if results.labelled:
        what = (
            f"{scale}. Centred: accuracy on the images as they are. Mean: over {over}. Worst: "
            "images that are right at every one of these."
        )
    else:
        what = (
            f"{scale}, which have no labels. Mean: images of which the network says what it says "
            f"of them unshifted, over {over}. Worst: images of which it does at every one of these."
        )
    parts = [
        what,
        "Consistent: chance that two random ones of these shifts get the same prediction, exactly.",
    ]
    features = [n.figures.get("equivariance_error") for n in results.networks]
    if counts := {figure.count for figure in features if figure}:
        parts.append(
            "Features: largest relative departure of the last feature map from equivariance, over "
            f"circular shifts by multiples of its stride, of {min(counts)} images."
        )
    parts += [
        "Output: largest relative change of the outputs under any of these shifts.",
        "With each share stands its 95% interval over images.",
    ]
    return " ".join(parts)


def _legend_of_maps(results: Results, over: str, scale: str) -> str:
    parts = [
        f"{scale}, each output moved back by the shift; shares are of positions. Mean: right over "
        f"{over}. Worst: right at every one of these. Consistent: the same class at two random "
        "ones of these shifts, exactly. By class: the same, of the positions with a class, on "
        "average over classes."
    ]
    if results.labelled:
        parts.append("Centred: right without a shift. IoU: without a shift, and at the worst one.")
    else:
        parts.append("Right is what a network says of the unshifted image: there are no labels.")
    parts.append("With shares of positions stands the 95% interval over images.")
    return " ".join(parts)


def _legend_of_values(results: Results, over: str, scale: str) -> str:
    parts = [
        f"{scale}, each output moved back by the shift. Change: mean absolute difference to the "
        f"output of the unshifted image, on average over {over}; worst change: at the worst of "
        "these. PSNR: the same by squares, in decibels; infinite where nothing changes."
    ]
    if any("error" in network.figures for network in results.networks):
        parts.append(
            "Error: mean absolute difference to the target, without a shift, and at the worst one. "
            "Error PSNR: the former by squares."
        )
    return " ".join(parts)
