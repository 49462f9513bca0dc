"""What is shipped works where nothing of ours is: the wheel and the sdist are built, installed and started."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "passerelle"
LIMIT_S = 120.0
Run = Callable[..., str]


def _said(*words: str | Path, cwd: Path, **env: str) -> str:
    ours = ("PASSERELLE_", "REDIS_", "KV_REST_", "DATABASE_URL", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=kept | env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _built(what: str, source: Path, into: Path) -> Path:
    _said(sys.executable, "-m", "hatchling", "build", "--target", what, "--directory", into, cwd=source)
    (made,) = into.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command of an environment that has the wheel, and our dependencies without ourselves."""
    home = tmp_path_factory.mktemp("installed")
    _said(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    _said(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", "--no-deps", wheel, cwd=home)
    (site,) = (home / "venv" / "lib").glob("*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), "utf-8")  # what is named in there is not read

    def run(*words: str) -> str:
        return _said(home / "venv" / "bin" / words[0], *words[1:], cwd=home, PASSERELLE_DATA_DIR=str(home / "data"))

    return run


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    here = {path.relative_to(ROOT / "src").as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {name for name in here if "__pycache__" not in name}
    for needed in ("migrations/versions/0001_pairing.py", "leads/templates/page.css", "py.typed"):
        assert f"passerelle/{needed}" in names


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(_built("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("passerelle-*")
    again = _built("wheel", source, tmp_path / "wheel")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_an_installed_wheel_serves_without_its_sources(installed: Run) -> None:
    assert "venv" in installed("python", "-c", "import passerelle; print(passerelle.__file__)")
    assert installed("passerelle", "--version").startswith("passerelle ")
    assert "upgraded just now" in installed("passerelle", "db", "upgrade")
    assert "The story is told" in installed("passerelle", "demo", "--once", "--port", "0")
