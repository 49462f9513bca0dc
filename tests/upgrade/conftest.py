"""The version before this one, and gateways of both."""

import os
from pathlib import Path

import pytest

from upgrade.previous import unpacked
from upgrade.story import Maker


@pytest.fixture(scope="session")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before, once for all processes of a parallel run."""
    own = tmp_path_factory.getbasetemp()
    return unpacked(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture
def make(tmp_path: Path, old_code: Path) -> Maker:
    """Makes processes of both versions that share one data directory and one simulated WhatsApp."""
    return Maker(tmp_path, old_code)
