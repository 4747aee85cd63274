"""One batch on several devices: which devices, and the tests that need eight of them."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxinv.devices import data_mesh, padded_to_devices, replicate, spread

ROOT = Path(__file__).parent.parent
EIGHT = sorted((ROOT / "tests" / "eight_devices").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EIGHT, ids=lambda path: path.stem)
def test_on_eight_devices(path):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", "", str(path)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout


def test_one_device_needs_no_mesh(monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    assert data_mesh(8) is None
    assert padded_to_devices(7, None) == 7
    for put in (replicate, spread):
        np.testing.assert_array_equal(put({"x": np.arange(3)}, None)["x"], [0, 1, 2])
