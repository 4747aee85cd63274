"""Pictures that look like photographs to a resize: structure at several scales, any size."""

import numpy as np
from PIL import Image


def photograph(seed, height, width):
    """A picture of Pillow in three colours."""
    numbers = np.random.default_rng(seed)
    whole = np.zeros((height, width, 3))
    for scale in (4, 16, 64):
        coarse = numbers.uniform(0, 255, (2 + height // scale, 2 + width // scale, 3))
        small = Image.fromarray(coarse.astype(np.uint8))
        whole += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) / 3
    return Image.fromarray(whole.astype(np.uint8))


def write(root, sizes, kinds=("ant", "bee"), ending="jpg"):
    """A folder for each kind, which take turns; returns the files in the order of ImageFolder."""
    for number, size in enumerate(sizes):
        path = root / kinds[number % len(kinds)] / f"{number:03}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(number, *size).save(path)
    return sorted(root.rglob(f"*.{ending}"))
