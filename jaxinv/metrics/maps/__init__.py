"""Numbers from label maps and real-valued maps at shifts, moved back onto one another.

The outputs are those of `jaxinv.orbit(..., align=True)`: at every shift, one position shows one
place of the image. The axes of shifts lead, then come the images and `spatial` axes of positions.
"""

from jaxinv.metrics.maps.labels import (
    accuracy,
    class_consistency,
    consistency,
    flicker,
    iou,
    worst_case_accuracy,
)
from jaxinv.metrics.maps.values import deviation, mean_absolute_change, psnr

__all__ = [
    "accuracy",
    "class_consistency",
    "consistency",
    "deviation",
    "flicker",
    "iou",
    "mean_absolute_change",
    "psnr",
    "worst_case_accuracy",
]
