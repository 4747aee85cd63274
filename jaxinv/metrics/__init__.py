"""Numbers that say how a network responds to translations of its input."""

from jaxinv.metrics import maps, protocols
from jaxinv.metrics.accuracy import accuracy_map, mean_accuracy, worst_case_accuracy
from jaxinv.metrics.change import mean_absolute_change
from jaxinv.metrics.consistency import consistency, consistent_accuracy, top1_change
from jaxinv.metrics.equivariance import (
    cosine_invariance,
    equivariance_error,
    invariance_error,
    invariance_error_map,
    relative_error,
)
from jaxinv.metrics.layers import LayerSymmetry, layer_outputs, layerwise
from jaxinv.metrics.predictions import correct_predictions, predicted_classes
from jaxinv.metrics.sensitivity import radial_profile, sensitivity_map
from jaxinv.metrics.spectrum import energy_above_nyquist
from jaxinv.metrics.statistics import PairedTest, bootstrap_interval, mcnemar, wilson_interval

__all__ = [
    "LayerSymmetry",
    "PairedTest",
    "accuracy_map",
    "bootstrap_interval",
    "consistency",
    "consistent_accuracy",
    "correct_predictions",
    "cosine_invariance",
    "energy_above_nyquist",
    "equivariance_error",
    "invariance_error",
    "invariance_error_map",
    "layer_outputs",
    "layerwise",
    "maps",
    "mcnemar",
    "mean_absolute_change",
    "mean_accuracy",
    "predicted_classes",
    "protocols",
    "radial_profile",
    "relative_error",
    "sensitivity_map",
    "top1_change",
    "wilson_interval",
    "worst_case_accuracy",
]
