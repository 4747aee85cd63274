"""The field's published protocols, as sampled and, where it exists, as exact numbers."""

from jaxinv.metrics.protocols.adversarial import (
    AdversarialShift,
    adversarial_accuracy,
    adversarial_shift,
    search_shifts,
    shift_lengths,
)
from jaxinv.metrics.protocols.azulay2019 import (
    OnePixel,
    embed,
    one_pixel_change,
)
from jaxinv.metrics.protocols.biscione2021 import CosineProfile, cosine_profile
from jaxinv.metrics.protocols.chaman2021 import circular_consistency
from jaxinv.metrics.protocols.engstrom2019 import (
    SpatialRobustness,
    expected_worst_of,
    rotate_translate,
    spatial_grid,
    transformation_grid,
    worst_of,
)
from jaxinv.metrics.protocols.gruver2023 import (
    LayerContributions,
    LocalError,
    layer_contributions,
    lie_derivative,
    local_equivariance_error,
    translation_generator,
)
from jaxinv.metrics.protocols.pairs import (
    Sample,
    SampleMean,
    at_crops,
    mean_of_samples,
    sampled_consistency,
)
from jaxinv.metrics.protocols.stylegan3 import (
    decibels,
    eq_t,
    eq_t_frac,
    lanczos_translate,
)
from jaxinv.metrics.protocols.zhang2019 import (
    DiagonalSweep,
    crop_consistency,
    diagonal_sweep,
)

__all__ = [
    "AdversarialShift",
    "CosineProfile",
    "DiagonalSweep",
    "LayerContributions",
    "LocalError",
    "OnePixel",
    "Sample",
    "SampleMean",
    "SpatialRobustness",
    "adversarial_accuracy",
    "adversarial_shift",
    "at_crops",
    "circular_consistency",
    "cosine_profile",
    "crop_consistency",
    "decibels",
    "diagonal_sweep",
    "embed",
    "eq_t",
    "eq_t_frac",
    "expected_worst_of",
    "lanczos_translate",
    "layer_contributions",
    "lie_derivative",
    "local_equivariance_error",
    "mean_of_samples",
    "one_pixel_change",
    "rotate_translate",
    "sampled_consistency",
    "search_shifts",
    "shift_lengths",
    "spatial_grid",
    "transformation_grid",
    "translation_generator",
    "worst_of",
]
