"""Bad options of the networks."""

import jax
import jax.numpy as jnp

from jaxinv import models
from tests.wrong_calls.given import INF, KEY, NAN


def network(name, shape=(1, 32, 32, 3), **options):
    return jax.eval_shape(models.create(name, **options).init, KEY, jnp.ones(shape))


REFUSED = {
    "a network by an unknown name": (lambda: models.create("lenet6"), "allowed are mlp, simard"),
    "a network with an unknown option": (
        lambda: models.create("mlp", padding="SAME"),
        "model mlp has no option 'padding'; allowed",
    ),
    "a network with an unknown padding of one axis": (
        lambda: models.create("lenet", padding=("SAME", "wrap")),
        "padding is ('SAME', 'wrap'); allowed are SAME",
    ),
    "a network with padding for three axes": (
        lambda: network("lenet", padding=("SAME",) * 3),
        "for 2 spatial axes; give one name, or 2",
    ),
    "a network with no classes": (
        lambda: models.create("lenet", num_classes=0),
        "num_classes is 0; allowed are whole numbers from 1",
    ),
    "a network with 2.5 classes": (
        lambda: models.create("lenet", num_classes=2.5),
        "num_classes is 2.5; allowed",
    ),
    "a network on images that are too small": (
        lambda: network("simard", (1, 8, 8, 1)),
        "Conv 'conv1': filter of 5 positions is larger",
    ),
    "a stem's polynomial without a place": (
        lambda: network("convnext_tiny", stem_polynomial=True),
        "needs another than 'stride'",
    ),
    "weights from a file that is not there": (
        lambda: models.from_torch("nowhere.npz", models.create("resnet20")),
        "nowhere.npz",
    ),
    **{
        f"a network with a dropout of {value!r}": (
            lambda value=value: models.create("lenet", dropout=value),
            f"ConvNet: dropout is {value!r}; allowed are numbers from 0 to below 1",
        )
        for value in (2, 1.0, -0.1, NAN, INF, True, "half", None, 1j)
    },
    **{
        f"{name} with {option} {value!r}": (
            lambda name=name, option=option, value=value: models.create(name, **{option: value}),
            f"{option} is {value!r}; allowed are {allowed}",
        )
        for name, option, value, allowed in (
            ("lenet", "factor", 0, "whole numbers from 1 to 2147483647"),
            ("lenet", "factor", 2.0, "whole numbers from 1"),
            ("lenet", "factor", NAN, "whole numbers from 1"),
            ("lenet", "factor", True, "whole numbers from 1"),
            ("lenet", "stem_stride", 10**10, "whole numbers from 1 to 2147483647"),
            ("lenet", "stem_stride", (2, 2), "whole numbers from 1"),
            ("lenet", "downsamplings", -1, "whole numbers from 0 to 2147483647 or None"),
            ("lenet", "downsamplings", 0.5, "whole numbers from 0"),
            ("lenet", "local", 2, "True and False"),
            ("lenet", "widths", 4, "sequences of sequences of whole numbers from 1"),
            ("lenet", "widths", ((), (4,)), "sequences of sequences of whole numbers from 1"),
            ("lenet", "kernels", 2.5, "whole numbers from 1"),
            ("lenet", "kernels", ((3,), (INF,)), "whole numbers from 1"),
            ("mlp", "dense", (0.5,), "sequences of whole numbers from 1"),
            ("mlp", "dense", (0,), "sequences of whole numbers from 1"),
            ("mlp", "dense", (True,), "sequences of whole numbers from 1"),
            ("mlp", "num_classes", (10,), "whole numbers from 1"),
            ("resnet18", "blocks", (-1, 2), "sequences of whole numbers from 0"),
            ("resnet18", "width", NAN, "whole numbers from 1"),
            ("resnet18", "bottleneck", "no", "True and False"),
            ("convnext_tiny", "layer_scale", NAN, "finite numbers"),
            ("convnext_tiny", "layer_scale", 1e39, "finite numbers"),
            ("convnext_tiny", "patch", 4.0, "whole numbers from 1"),
            ("vit_small", "depth", -1, "whole numbers from 0"),
            ("vit_small", "position_embedding", None, "True and False"),
            ("unet", "widths", (4, -4), "sequences of whole numbers from 1"),
        )
    },
    "a network with kernels for one of two convolutions": (
        lambda: network("lenet", kernels=((3,),)),
        "kernels are given for (1,) convolutions of the stages; allowed are one number, or one for",
    ),
    "a network with kernels for more convolutions than there are": (
        lambda: network("lenet", kernels=((3, 3), (3,))),
        "one for each of (1, 1)",
    ),
    "a network with blocks for one of four stages": (
        lambda: network("convnext_tiny", blocks=(1,)),
        "allowed are those of the same stages",
    ),
    "a transformer whose heads cannot share the features": (
        lambda: network("vit_small", features=8, heads=3, depth=1),
        "TransformerBlock 'block0': heads is 3; allowed are divisors of the 8 features",
    ),
    "a network with a list for a head": (
        lambda: models.create("lenet", head=["gap"]),
        "head is ['gap']; allowed are flatten",
    ),
}
