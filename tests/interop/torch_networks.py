"""PyTorch networks of several tests, some of which the tests of the commands name."""

from tests.interop.torch_or_skip import nn


class Calls(nn.Module):
    """What a function computes, as a module."""

    def __init__(self, fun):
        super().__init__()
        self.fun = fun

    def forward(self, x):
        return self.fun(x)


class Circular(nn.Module):
    """Invariant to multiples of 2; ten classes."""

    def __init__(self, channels=1, stride=2):
        super().__init__()
        options = {"stride": stride, "padding": 1, "padding_mode": "circular"}
        self.conv, self.norm = nn.Conv2d(channels, 6, 3, **options), nn.BatchNorm2d(6)
        self.drop, self.fc = nn.Dropout(), nn.Linear(6, 10)

    def forward(self, x):
        y = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.fc(self.drop(y))


made = Circular()


def rgb(channels=3):
    """Makes a network of three channels."""
    return Circular(channels)


def needs_one(channels):
    """Cannot be called without an argument."""
    return Circular(channels)


def number():
    """Makes something else."""
    return 3


def ends():
    """Ends the program."""
    raise SystemExit(3)


def prints():
    """Makes a network, and says so."""
    print("made")
    return Circular()


class Edges(nn.Module):
    """Counts edges of several directions and colours; five classes."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 12, 7, 4, 3), nn.Conv2d(12, 16, 3, 2, 1)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        return self.fc(self.conv2(self.conv1(x).relu()).relu().mean((2, 3)))


class Same(nn.Module):
    """Its output is no class."""

    def forward(self, x):
        return x


flat = nn.Linear(64, 10)
dense = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))
