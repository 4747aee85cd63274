"""A data set of TFDS small enough to be written, and damaged, by each test."""

import contextlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = {"train": 40, "test": 30}


def images_of(split: str) -> np.ndarray:
    """The images (n, 6, 5, 1), uint8, that `write` stores."""
    seed = list(SIZES).index(split)
    return np.random.default_rng(seed).integers(0, 256, (SIZES[split], 6, 5, 1)).astype(np.uint8)


def write(data_dir: Path) -> Path:
    """Store the data set `tiny` of 3 classes, image i with label i mod 3; returns its folder."""
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():  # it is read as data sets of others are

        class Tiny(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            pkg_dir_path = data_dir

            def _info(self):
                features = tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(shape=(6, 5, 1)),
                        "label": tfds.features.ClassLabel(num_classes=3),
                    }
                )
                return tfds.core.DatasetInfo(builder=self, features=features)

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(split) for split in SIZES}

            def _generate_examples(self, split):
                for index, image in enumerate(images_of(split)):
                    png = io.BytesIO()
                    Image.fromarray(image[..., 0]).save(png, format="PNG")
                    yield index, {"image": png.getvalue(), "label": index % 3}

    tfds.disable_progress_bar()
    builder = Tiny(data_dir=data_dir, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    return Path(builder.data_path)
