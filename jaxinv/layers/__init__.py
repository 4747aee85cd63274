"""What breaks the translation symmetry of a network and what restores it, as Flax linen modules."""

from jaxinv.layers.activations import ACTIVATIONS as ACTIVATIONS
from jaxinv.layers.activations import Activation as Activation
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
from jaxinv.layers.padding import PADDINGS as PADDINGS
from jaxinv.layers.padding import pad as pad
from jaxinv.layers.pooling import AvgPool as AvgPool
from jaxinv.layers.pooling import MaxPool as MaxPool
from jaxinv.layers.pooling import avg_pool as avg_pool
from jaxinv.layers.pooling import max_pool as max_pool
