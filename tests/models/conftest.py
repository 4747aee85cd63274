import pytest

from tests.layers import generic


@pytest.fixture
def signal():
    """Makes a random signal of any shape."""
    return generic.signal


@pytest.fixture
def weights():
    """Makes random variables for a module and an input."""
    return generic.generic_variables
