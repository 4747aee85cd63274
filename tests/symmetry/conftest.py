import pytest

from tests.symmetry.shifted import drawn


@pytest.fixture
def x(x64):
    """Two images of 6x4 positions and 3 channels."""
    return drawn(2, 6, 4, 3)
