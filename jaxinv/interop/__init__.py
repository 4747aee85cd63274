"""Networks of other frameworks as functions of parameters and inputs."""

from jaxinv.interop.pytorch import from_pytorch

__all__ = ["from_pytorch"]
