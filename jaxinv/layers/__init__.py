"""What breaks the translation symmetry of a network and what restores it, as Flax linen modules.

What has no weights is a pure function; in a `flax.linen.Sequential` use `functools.partial` of it,
or `Downsample` by name.
"""

from jaxinv.layers.activations import ACTIVATIONS as ACTIVATIONS
from jaxinv.layers.activations import Activation as Activation
from jaxinv.layers.activations import Polynomial as Polynomial
from jaxinv.layers.activations import polynomial as polynomial
from jaxinv.layers.adaptive import AdaptivePolyphaseSampling as AdaptivePolyphaseSampling
from jaxinv.layers.adaptive import LearnablePolyphaseSampling as LearnablePolyphaseSampling
from jaxinv.layers.adaptive import adaptive_polyphase_sample as adaptive_polyphase_sample
from jaxinv.layers.blur import FILTERS as FILTERS
from jaxinv.layers.blur import blur_filter as blur_filter
from jaxinv.layers.blur import blur_pool as blur_pool
from jaxinv.layers.blur import max_blur_pool as max_blur_pool
from jaxinv.layers.convolution import Conv as Conv
from jaxinv.layers.convolution import convolve as convolve
from jaxinv.layers.downsample import DOWNSAMPLES as DOWNSAMPLES
from jaxinv.layers.downsample import Downsample as Downsample
from jaxinv.layers.downsample import subsample as subsample
from jaxinv.layers.heads import HEADS as HEADS
from jaxinv.layers.heads import Head as Head
from jaxinv.layers.heads import attention_pool as attention_pool
from jaxinv.layers.heads import flatten as flatten
from jaxinv.layers.heads import global_average as global_average
from jaxinv.layers.heads import global_max as global_max
from jaxinv.layers.local import LocallyConnected as LocallyConnected
from jaxinv.layers.local import locally_connected as locally_connected
from jaxinv.layers.lowpass import filtered_nonlinearity as filtered_nonlinearity
from jaxinv.layers.lowpass import ideal_lowpass as ideal_lowpass
from jaxinv.layers.lowpass import ideal_upsample as ideal_upsample
from jaxinv.layers.normalisation import NORMS as NORMS
from jaxinv.layers.normalisation import Norm as Norm
from jaxinv.layers.normalisation import alias_free_norm as alias_free_norm
from jaxinv.layers.padding import PADDINGS as PADDINGS
from jaxinv.layers.padding import crop_or_pad as crop_or_pad
from jaxinv.layers.padding import pad as pad
from jaxinv.layers.polyphase import CRITERIA as CRITERIA
from jaxinv.layers.polyphase import polyphase_components as polyphase_components
from jaxinv.layers.polyphase import polyphase_norms as polyphase_norms
from jaxinv.layers.polyphase import polyphase_upsample as polyphase_upsample
from jaxinv.layers.polyphase import select_phase as select_phase
from jaxinv.layers.polyphase import tie_margin as tie_margin
from jaxinv.layers.pooling import avg_pool as avg_pool
from jaxinv.layers.pooling import max_pool as max_pool
from jaxinv.layers.transformer import WARPS as WARPS
from jaxinv.layers.transformer import SpatialTransformer as SpatialTransformer
from jaxinv.layers.transpose import ConvTranspose as ConvTranspose
from jaxinv.layers.transpose import convolve_transposed as convolve_transposed
from jaxinv.layers.warps import BORDERS as BORDERS
from jaxinv.layers.warps import affine_warp as affine_warp
from jaxinv.layers.warps import identity_grid as identity_grid
from jaxinv.layers.warps import read_at as read_at
from jaxinv.layers.warps import thin_plate_spline_warp as thin_plate_spline_warp
from jaxinv.layers.warps import translation_warp as translation_warp
