"""Certifies torchvision's classification networks with random weights, and holds each to PyTorch.

python -m benchmarks.architectures                     # those below 100 million parameters
python -m benchmarks.architectures resnet18 swin_t     # some of them
python -m benchmarks.architectures --most 1000         # up to a billion parameters

For each network a line of JSON: parameters, seconds to certify it at 224 x 224, rows, verdict,
where the symmetry first ends, and the largest difference from PyTorch's logits of one random image,
in shares of the largest logit.
Needs `pip install '.[torch]' torchvision`.
"""

import argparse
import json
import time

import jax
import numpy as np
import torch
import torchvision

import jaxinv


def made(name: str) -> torch.nn.Module:
    """A network with the random weights that a seed gives, in evaluation mode."""
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None, **_OPTIONS.get(name, {})).eval()


# Weights drawn one by one from a truncated normal distribution take minutes.
_OPTIONS = {name: {"init_weights": False} for name in ("inception_v3", "googlenet")}


def counted(name: str) -> int:
    """The number of a network's parameters, as published."""
    return torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]


def measured(name: str, size: int) -> dict[str, object]:
    """The figures of one network."""
    module = made(name)
    params, apply = jaxinv.from_pytorch(module)
    x = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
    start = time.perf_counter()
    certificate = jaxinv.certify(apply, params, x, argnums=1, axes=(2, 3))
    seconds = time.perf_counter() - start
    with torch.no_grad():
        theirs = module(torch.from_numpy(x)).numpy()
    difference = np.abs(np.asarray(apply(params, x)) - theirs).max() / np.abs(theirs).max()
    end = certificate.first_end
    return {
        "rows": len(certificate.steps),
        "verdict": str(certificate.only.state),
        "first_end": f"{end.place}: {end.reason}" if end else "",
        "seconds": round(seconds, 2),
        "difference": float(difference),
    }


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("networks", nargs="*", help="names; by default all")
    parser.add_argument("--most", type=float, default=100, help="millions of parameters")
    parser.add_argument("--size", type=int, default=224, help="pixels")
    arguments = parser.parse_args()
    names = arguments.networks or torchvision.models.list_models(module=torchvision.models)
    counts = {name: counted(name) for name in names}
    for name in sorted(names, key=counts.__getitem__):
        if counts[name] > arguments.most * 1e6:
            continue
        row: dict[str, object] = {"network": name, "parameters": counts[name]}
        try:
            row |= measured(name, arguments.size)
        except Exception as error:
            row |= {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(row), flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    main()
