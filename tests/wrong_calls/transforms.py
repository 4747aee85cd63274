"""Bad calls of the assertions, `certify`, `orbit` and `symmetrize`."""

import jax
import jax.numpy as jnp

import jaxinv
from tests.wrong_calls.given import IMAGES, NAN, net, same


def equivariant(fun=same, x=IMAGES, **options):
    jaxinv.assert_translation_equivariant(fun, x, **options)


def invariant(fun=net, x=IMAGES, **options):
    jaxinv.assert_translation_invariant(fun, x, **options)


_ASSERTIONS = {
    "a module's name": (lambda: equivariant("relu"), "which cannot be called; give a function"),
    "no images": (lambda: invariant(x=IMAGES[:0]), "allowed are those that hold something"),
    "an output of nothing": (
        lambda: invariant(lambda x: x[:, :0]),
        "allowed are those that hold something",
    ),
    "no outputs": (lambda: invariant(lambda x: ()), "returns no arrays"),
    "a tolerance of 1": (lambda: invariant(rtol=1), "from 0 to below 1"),
    "an infinite tolerance": (lambda: equivariant(atol=float("inf")), "from 0 to below 1"),
    "a tolerance that is NaN": (lambda: equivariant(rtol=NAN), "from 0 to below 1"),
    "a tolerance in words": (lambda: equivariant(rtol="1e-5"), "from 0 to below 1"),
    "a stride of 0": (lambda: equivariant(stride=0), "allowed are whole numbers from 1"),
    "a stride of 1.5": (lambda: equivariant(stride=1.5), "allowed are a whole number"),
    "a stride that the output has not": (
        lambda: equivariant(stride=2),
        "it must be size / s",
    ),
    "an unknown method": (
        lambda: equivariant(method="guess"),
        "allowed are 'measure', 'proof', 'both'",
    ),
    "no shifts": (lambda: invariant(shifts=[]), "needs at least one shift"),
    "shifts by half a pixel": (lambda: invariant(shifts=[(0.5, 0)]), "allowed are a whole number"),
    "a shift between strides": (
        lambda: invariant(stride=2, shifts=[(1, 0)]),
        "no multiple of the stride",
    ),
    "traced images": (
        lambda: jax.jit(lambda x: equivariant(x=x))(IMAGES),
        "call assertions outside of jit, vmap and grad, or ask for method='proof'",
    ),
    "traced images, mapped": (
        lambda: jax.vmap(lambda x: invariant(x=x))(IMAGES[:, None]),
        "call assertions outside of jit, vmap and grad",
    ),
    "an axis that is not there": (lambda: invariant(axes=(1, 7)), "axis 7"),
    "a scalar output": (lambda: equivariant(jnp.sum), "an output is a scalar"),
    "tolerance of no depth": (
        lambda: jaxinv.tolerance("float32", depth=0),
        "allowed are numbers from 1",
    ),
    "tolerance of words": (lambda: jaxinv.tolerance("S3"), "allowed are numbers and booleans"),
}

_TRANSFORMS = {
    "orbit of no function": (lambda: jaxinv.orbit("net")(IMAGES), "cannot be called"),
    "orbit, unknown mode": (
        lambda: jaxinv.orbit(net, mode="zeros")(IMAGES),
        "allowed are 'wrap'",
    ),
    "orbit, zeros without a limit": (
        lambda: jaxinv.orbit(net, mode="constant")(IMAGES),
        "needs max_shift or shifts",
    ),
    "orbit up to -1": (
        lambda: jaxinv.orbit(net, max_shift=-1)(IMAGES),
        "allowed are numbers from 0",
    ),
    "orbit up to half a pixel": (
        lambda: jaxinv.orbit(net, max_shift=0.5)(IMAGES),
        "allowed are a whole number",
    ),
    "orbit at no shifts": (
        lambda: jaxinv.orbit(net, shifts=[])(IMAGES),
        "needs at least one shift",
    ),
    "orbit of an argument that is not there": (
        lambda: jaxinv.orbit(net, argnums=1)(IMAGES),
        "names argument 1",
    ),
    "orbit in chunks and a half": (
        lambda: jaxinv.orbit(net, chunk=1.5)(IMAGES),
        "chunk is 1.5; allowed are whole numbers from 1",
    ),
    "orbit beyond 32 bits": (
        lambda: jaxinv.orbit(net, shifts=[(10**12, 0)])(IMAGES),
        "allowed are whole numbers from -2147483647 to 2147483647",
    ),
    "orbit in chunks of 0": (
        lambda: jaxinv.orbit(net, chunk=0)(IMAGES),
        "chunk is 0",
    ),
    "orbit of crops of nothing": (
        lambda: jaxinv.orbit(net, mode="crop", max_shift=4)(IMAGES),
        "leaves no window",
    ),
    "symmetrize by the median": (
        lambda: jaxinv.symmetrize(net, reduce="median")(IMAGES),
        "allowed are 'mean' and 'max'",
    ),
    "symmetrize an argmax": (
        lambda: jaxinv.symmetrize(lambda x: jnp.argmax(net(x), -1))(IMAGES),
        "take the argmax of the symmetrized logits",
    ),
    "symmetrize a comparison": (
        lambda: jaxinv.symmetrize(lambda x: net(x) > 0)(IMAGES),
        "dtype bool",
    ),
    "certify along an axis that is not there": (
        lambda: jaxinv.certify(net, IMAGES, axes=(1, 9)),
        "axis 9",
    ),
    "certify along no axis": (lambda: jaxinv.certify(net, IMAGES, axes=()), "axes is empty"),
    "certify no function": (lambda: jaxinv.certify("net", IMAGES), "cannot be called"),
    "distinct_orbit of an argument twice": (
        lambda: jaxinv.distinct_orbit(net, argnums=(0, 0))(IMAGES),
        "names an argument twice",
    ),
    "orbit_cost along an axis that is not there": (
        lambda: jaxinv.orbit_cost(net, IMAGES, axes=(8,)),
        "axis 8",
    ),
}

REFUSED = {
    **{f"assertion: {call}": row for call, row in _ASSERTIONS.items()},
    **_TRANSFORMS,
}

FAILED = {
    "invariant to nothing, and NaN": (
        lambda: invariant(lambda x: x[:, 0, 0] * NAN, shifts=[(0, 1)]),
        "is not finite for 2 of 2 images, first at shift (0, 0)",
    ),
    "a border of NaN": (
        lambda: equivariant(lambda x: x.at[0, 0].set(NAN), shifts=[(1, 0)]),
        "is not finite for 1 of 2 images",
    ),
    "a pixel reader far around the torus": (
        lambda: invariant(shifts=[(10**12 * 8 + 1, -(10**20) * 8)]),
        "output differs most at shift (1, 0)",
    ),
    "a pixel reader": (
        lambda: invariant(shifts=[(0, 1)]),
        "not translation invariant",
    ),
    "a proof of what is not so": (
        lambda: invariant(method="proof"),
        "not proved translation invariant",
    ),
}

ANSWERED = {
    "a proof of what is traced": (
        lambda: jax.jit(lambda x: equivariant(x=x, method="proof"))(IMAGES),
        None,
    ),
    "shifts far around the torus": (lambda: equivariant(shifts=[(10**12, -(10**30))]), None),
    "tolerance of whole numbers": (lambda: jaxinv.tolerance("uint8"), (0.0, 0.0)),
}
