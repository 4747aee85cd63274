"""The networks that are timed."""

from typing import Any, Literal

from benchmarks.case import Case

# The prototype's LeNet: 32 and 64 maps of 5 x 5, max pooling, 128 hidden units or none.
_LENET: dict[str, Any] = {"widths": ((32,), (64,))}
_POOLED: dict[str, Any] = {**_LENET, "head": "gap", "dense": ()}
# Convolutions of 3 x 3 with zeros at the border, then the mean of the map.
_ZEROS: dict[str, Any] = {"kernels": 3, "dense": (), "head": "gap", "padding": "SAME"}


def _two_convolutions(size: int, images: int, at_least: float) -> Case:
    return Case(
        f"two-convolutions-zeros-{size}",
        "Two convolutions zero-padded, mean",
        "lenet",
        {**_ZEROS, "widths": ((16,), (32,)), "downsample": "none"},
        (images, size, size, 1),
        aims={"ratio": at_least, "difference": 1e-5},
        sample=784,
    )


def _six_convolutions(kind: Literal["forward", "gradient"], aims: dict[str, float]) -> Case:
    gradient = kind == "gradient"
    return Case(
        "six-convolutions-zeros-64" + "-gradient" * gradient,
        "Six convolutions zero-padded, mean" + ", gradient of the mean loss" * gradient,
        "lenet",
        {**_ZEROS, "widths": ((16,) * 6,), "downsample": "none"},
        (1, 64, 64, 1),
        aims={**aims, "difference": 1e-5},
        sample=49 if gradient else 784,
        kind=kind,
    )


def _up_to(max_shift: int | None) -> str:
    return "" if max_shift is None else f", shifts up to {max_shift}"


def _vgg11(size: int, max_shift: int | None, at_least: float) -> Case:
    return Case(
        f"vgg11-zeros-{size}",
        "VGG-11 at a quarter of its width, zero-padded" + _up_to(max_shift),
        "vgg11",
        {"widths": ((16,), (32,), (64, 64), (128, 128), (128, 128)), "dense": (1024, 1024)},
        (1, size, size, 3),
        aims={"ratio": at_least, "difference": 1e-5},
        sample=784 if max_shift is None else 98,
        max_shift=max_shift,
    )


def _unet(size: int, at_least: float) -> Case:
    return Case(
        f"unet-zeros-{size}",
        "U-Net of two levels zero-padded, mean of its maps",
        "unet",
        {"widths": (8, 16)},
        (1, size, size, 1),
        aims={"ratio": at_least, "difference": 1e-5},
        sample=784,
        averaged=True,
    )


def _resnet18(downsample: str, size: int) -> Case:
    large = size == 224
    aims: dict[str, float] = {"compile_seconds": 30.0, "difference": 1e-5}
    return Case(
        f"resnet18-{downsample}-{size}",
        f"ResNet-18 circular, {downsample} downsampling",
        "resnet18",
        {"padding": "CIRCULAR", "downsample": downsample},
        (1, size, size, 3),
        1000,
        {**aims, "passes": 350.0} if large else aims,
        sample=49 if large else 196,
    )


CASES = (
    Case(
        "lenet-circular-dense",
        "LeNet circular, flatten + Dense",
        "lenet",
        {**_LENET, "padding": "CIRCULAR"},
        (8, 28, 28, 1),
        aims={"ratio": 45, "difference": 1e-5},
    ),
    Case(
        "lenet-circular-pooled",
        "LeNet circular, global pooling",
        "lenet",
        {**_POOLED, "padding": "CIRCULAR"},
        (8, 28, 28, 1),
        aims={"ratio": 140, "difference": 1e-5},
    ),
    Case(
        "lenet-valid-dense",
        "LeNet VALID, flatten + Dense",
        "lenet",
        {**_LENET, "padding": "VALID"},
        (8, 28, 28, 1),
        aims={"ratio": 17, "difference": 1e-5},
    ),
    Case(
        "lenet-valid-pooled",
        "LeNet VALID, global pooling",
        "lenet",
        {**_POOLED, "padding": "VALID"},
        (8, 28, 28, 1),
        aims={"difference": 1e-5},
    ),
    Case(
        "lenet-valid-gradient",
        "LeNet VALID, gradient of the mean loss",
        "lenet",
        {**_LENET, "padding": "VALID"},
        (32, 28, 28, 1),
        aims={"gradients": 18, "difference": 1e-5, "difference_float64": 1e-12},
        sample=49,
        kind="gradient",
    ),
    Case(
        "resnet20-circular-32",
        "ResNet-20 circular",
        "resnet20",
        {"padding": "CIRCULAR"},
        (4, 32, 32, 3),
        aims={"ratio": 200, "difference": 1e-5},
    ),
    Case(
        "resnet20-circular-64",
        "ResNet-20 circular",
        "resnet20",
        {"padding": "CIRCULAR"},
        (1, 64, 64, 3),
        aims={"ratio": 800, "difference": 1e-5},
        sample=784,
    ),
    Case(
        "resnet20-zeros-32",
        "ResNet-20 zero-padded",
        "resnet20",
        {"padding": "SAME"},
        (4, 32, 32, 3),
        aims={
            "ratio": 1.4,
            "ratio_to_torch": 0.9,
            "compile_seconds": 10,
            "difference": 1e-5,
        },
    ),
    Case(
        "resnet20-zeros-64",
        "ResNet-20 zero-padded",
        "resnet20",
        {"padding": "SAME"},
        (1, 64, 64, 3),
        aims={"ratio": 2.9, "compile_seconds": 10, "difference": 1e-5},
        sample=784,
    ),
    Case(
        "lenet-zeros-dense",
        "LeNet zero-padded, flatten + Dense",
        "lenet",
        {**_LENET, "padding": "SAME", "dense": ()},
        (8, 28, 28, 1),
        aims={"ratio": 5, "ratio_to_torch": 2, "difference": 1e-5},
    ),
    Case(
        "lenet-zeros-dense-64",
        "LeNet zero-padded, flatten + Dense",
        "lenet",
        {**_LENET, "padding": "SAME", "dense": ()},
        (2, 64, 64, 1),
        aims={"ratio": 15, "difference": 1e-5},
        sample=784,
    ),
    _two_convolutions(28, 8, 8),
    _two_convolutions(64, 2, 50),
    _six_convolutions("forward", {"ratio": 33}),
    _six_convolutions("gradient", {"ratio_to_unshared": 60}),
    Case(
        "vgg-zeros-48",
        "Six convolutions zero-padded, pools of 2 and 2, mean",
        "lenet",
        {**_ZEROS, "widths": ((16, 16), (32, 32), (64, 64)), "downsamplings": 2},
        (1, 48, 48, 3),
        aims={"ratio_to_torch": 2, "difference": 1e-5},
        sample=784,
    ),
    _unet(64, 17),
    _unet(128, 60),
    _vgg11(64, None, 1.4),
    _vgg11(128, 8, 2),
    Case(
        "resnet18-zeros-224",
        "ResNet-18 zero-padded, zeros entering" + _up_to(8),
        "resnet18",
        {"padding": "SAME"},
        (1, 224, 224, 3),
        1000,
        {"ratio": 1.2, "difference": 1e-5},
        sample=17,
        mode="constant",
        max_shift=8,
    ),
    *(_resnet18(kind, size) for size in (64, 224) for kind in ("stride", "max", "blur")),
    Case(
        "mobilenet-64",
        "MobileNetV2 circular",
        "mobilenet_v2",
        {"padding": "CIRCULAR"},
        (1, 64, 64, 3),
        1000,
        {"ratio": 25, "compile_seconds": 30, "difference": 1e-5},
        sample=196,
    ),
    Case(
        "audio1d",
        "M5 on raw audio, VALID",
        "audio1d",
        {"padding": "VALID"},
        (1, 16_000, 1),
        aims={"difference": 1e-5},
        sample=196,
    ),
    Case(
        "resnet50-224",
        "ResNet-50 circular",
        "resnet50",
        {"padding": "CIRCULAR"},
        (1, 224, 224, 3),
        1000,
        {"seconds_per_image": 0.25},
        sample=196,
        device="gpu",
    ),
    Case(
        "resnet18-cifar",
        "ResNet-18 circular, CIFAR's stem",
        "resnet18",
        {"padding": "CIRCULAR", "stem": "cifar"},
        (100, 32, 32, 3),
        aims={"seconds_per_image": 0.006},
        sample=196,
        device="gpu",
    ),
    Case(
        "resnet20-zeros-gpu",
        "ResNet-20 zero-padded",
        "resnet20",
        {"padding": "SAME"},
        (4, 32, 32, 3),
        aims={"unshared_to_torch": 1.0},
        device="gpu",
    ),
    Case(
        "resnet18-zeros-gpu",
        "ResNet-18 zero-padded, CIFAR's stem",
        "resnet18",
        {"padding": "SAME", "stem": "cifar"},
        (4, 32, 32, 3),
        aims={"unshared_to_torch": 1.0},
        device="gpu",
    ),
)


def named(name: str) -> Case:
    """The case of `CASES` that has this name."""
    return next(case for case in CASES if case.name == name)
