"""What the tests of deploy/ share."""

import os
import pathlib

import pytest


@pytest.fixture
def deeprack_bin():
    """The folder of the programs."""
    return pathlib.Path(os.environ.get("DEEPRACK_BIN", pathlib.Path(__file__).resolve().parents[2] / "build" / "bin"))
