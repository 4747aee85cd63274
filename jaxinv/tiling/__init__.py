"""A function tile by tile: the halo that makes its tiles equal the whole, and the transform."""

from jaxinv.tiling.contributions import Contribution
from jaxinv.tiling.seams import seam_error
from jaxinv.tiling.statement import Tiling, tiling
from jaxinv.tiling.transform import tiled

__all__ = ["Contribution", "Tiling", "seam_error", "tiled", "tiling"]
