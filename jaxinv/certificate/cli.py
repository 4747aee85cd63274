"""The command line of `jaxinv certify`: the certificate of a network, without data or weights."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import numpy as np
import tyro

from jaxinv.certificate.certificate import Certificate, certify
from jaxinv.certificate.expectation import expectation
from jaxinv.certificate.networks import called
from jaxinv.command_line import read_options, run
from jaxinv.config_files import settings_of, without_config, words_of
from jaxinv.interop.named import module_named
from jaxinv.shift_options import OrbitMode
from jaxinv.tiling import Tiling, tiling
from jaxinv.user_code import imported, said

# How the command ends when the network is not what was expected.
UNEXPECTED = 2


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Prove which shifts a network commutes with, and name the line that ends that.

    The network is traced on shapes: no data, no weights, a few seconds. Example:

        jaxinv certify my_models:net --shape 1,224,224,3 --expect "invariant to multiples of 32"

    Exit status: 0 done, and as expected; 2 not as expected; 1 an error that the last line names.
    --config FILE reads options from TOML or JSON; the network is the option network there.
    """

    network: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODULE:NAME")]
    """A function of an image, a Flax (linen or nnx), Equinox or Keras module, or a function that
    makes one of these with its defaults; imported from the current folder or what is installed."""
    shape: Annotated[str, tyro.conf.arg(metavar="N,N,...")]
    """Shape of the image, with all its dimensions: 1,224,224,3."""
    axes: Annotated[str | None, tyro.conf.arg(metavar="N,...")] = None
    """Its spatial dimensions, by default 1,2: 2,3 for images with channels first, which is the
    default with torch, and 1 for a signal."""
    torch: bool = False
    """The network is a PyTorch module, or a function that makes one with its defaults."""
    mode: OrbitMode = "wrap"
    """What enters at the border; wrap is circular."""
    dtype: str = "float32"
    """Type of its numbers."""
    call: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """Keyword arguments of the network, such as scale=2; train=False, training=False and
    deterministic=True are given where it has such a parameter."""
    expect: Annotated[str | None, tyro.conf.arg(metavar="WORDS")] = None
    """What shall hold: 'invariant to every shift', 'equivariant to multiples of 4', or of '(4, 2)'
    for one number an axis."""
    all_equations: bool = False
    """A row for each equation instead of one for each layer."""
    tiling: bool = False
    """Say as well how large images can be cut into tiles, or which line forbids it."""
    json: bool = False
    """Print the certificate as JSON."""


def whole_numbers(text: str, *, option: str) -> tuple[int, ...]:
    """Numbers with commas between them.

    Raises:
      ValueError: if they are none.

    Example:
      >>> whole_numbers("1,28,28,3", option="shape")
      (1, 28, 28, 3)
    """
    try:
        return tuple(int(part) for part in text.strip("()[] ").rstrip(",").split(","))
    except ValueError:
        raise ValueError(
            f"{option} is {text!r}; it is whole numbers with commas between them, such as 1,28,28,3"
        ) from None


def keywords(words: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments from NAME=VALUE; a value that is no JSON is a word.

    Raises:
      ValueError: if one has another form.

    Example:
      >>> keywords(["train=False", "scale=2", "kind=mean"])
      {'train': False, 'scale': 2, 'kind': 'mean'}
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"call is {word!r}; it has the form NAME=VALUE")
        try:
            found[name] = {"True": True, "False": False, "None": None}[value]
        except KeyError:
            try:
                found[name] = json.loads(value)
            except ValueError:
                found[name] = value
    return found


def _image(arguments: Arguments) -> jax.ShapeDtypeStruct:
    shape = whole_numbers(arguments.shape, option="shape")
    if min(shape) < 1:
        raise ValueError(f"shape is {arguments.shape}; each dimension has at least one position")
    try:
        dtype = np.dtype(jax.numpy.dtype(arguments.dtype))
    except TypeError:
        raise ValueError(
            f"dtype is {arguments.dtype!r}; allowed are float32, bfloat16, uint8 and their like"
        ) from None
    return jax.ShapeDtypeStruct(shape, dtype)


def _analysed(
    arguments: Arguments, options: Mapping[str, Any]
) -> tuple[Certificate, Tiling | str | None]:
    """The certificate and, if it is asked for, the tiling or why there is none."""
    image = _image(arguments)
    default = "2,3" if arguments.torch else "1,2"
    axes = whole_numbers(default if arguments.axes is None else arguments.axes, option="axes")
    if arguments.torch:
        network = module_named(arguments.network)
    else:
        network = imported(arguments.network, option="the network")
    if not callable(network) and not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise ValueError(f"{arguments.network} is of type {kind}; needed is a function or a module")
    try:
        fun, args, argnums = called(network, image, options)
        jax.eval_shape(fun, *args)
    except (Exception, SystemExit) as error:  # the network is the user's own
        raise ValueError(
            f"{arguments.network} cannot be applied to an image of shape {image.shape}: "
            f"{said(error)}"
        ) from error
    certificate = certify(fun, *args, argnums=argnums, axes=axes, mode=arguments.mode)
    if not arguments.tiling:
        return certificate, None
    try:
        return certificate, tiling(fun, *args, argnums=argnums, axes=axes)
    except ValueError as error:
        return certificate, f"no tiles: {error}"


def main(argv: Sequence[str] | None = None, *, name: str = "jaxinv certify") -> int:
    """The command; returns its exit status."""
    status = 0

    def body() -> None:
        nonlocal status
        file, words = without_config(sys.argv[1:] if argv is None else argv)
        settings = settings_of(file) if file else {}
        network = [settings.pop("network")] if "network" in settings else []
        words = [*network, *words_of(Arguments, settings), *words]
        arguments = read_options(Arguments, words, prog=name)
        expected = expectation(arguments.expect) if arguments.expect is not None else None
        with contextlib.redirect_stdout(sys.stderr):  # what the network's own code prints
            certificate, tiles = _analysed(arguments, keywords(arguments.call))
        if arguments.all_equations:
            certificate = dataclasses.replace(certificate, layers=certificate.equations)
        holds = expected is None or expected.holds(certificate)
        if arguments.json:
            told: dict[str, Any] = {}
            if expected is not None:
                told |= {"expected": arguments.expect, "holds": holds}
            if tiles is not None:
                told["tiling"] = tiles if isinstance(tiles, str) else tiles.to_dict()
            print(json.dumps(certificate.to_dict() | told, indent=1))
        else:
            print(*filter(None, [certificate, tiles]), sep="\n\n")
        if not holds:
            status = UNEXPECTED
            print(f"{name}: expected {arguments.expect}, which is not proved", file=sys.stderr)

    return run(body, name=name) or status
