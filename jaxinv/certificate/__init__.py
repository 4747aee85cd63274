"""Says which shifts a network commutes with, which line ends that, and what all shifts cost."""

from jaxinv.certificate.certificate import Certificate, OutputCertificate, certify
from jaxinv.certificate.layers import layers_of
from jaxinv.certificate.steps import Step

__all__ = ["Certificate", "OutputCertificate", "Step", "certify", "layers_of"]
