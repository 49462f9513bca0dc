"""Where the peers live: a Python environment and a node_modules of their own, installed from lock files."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
LOCK = BENCHMARKS.parent / "requirements" / "bench.txt"
PEERS = BENCHMARKS / ".peers"
BULL_PG = Path(__file__).resolve().parent / "bull_pg"


def python_of_peers() -> Path:
    """Their interpreter; Celery's and SAQ's packages are never mixed with the project's."""
    python = PEERS / "bin" / "python"
    installed = PEERS / ".installed"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if installed.exists() and installed.read_text() == digest:
        return python
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise SystemExit("The Python peers need uv: make bench-messages installs it")
    subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(PEERS)], check=True)
    into = ["--python", str(python), "--require-hashes", "-r", str(LOCK)]
    # Without our pyproject.toml, whose overrides are not theirs.
    subprocess.run([uv, "pip", "install", "-q", "--no-config", *into], check=True)
    installed.write_text(digest)
    return python


def install_bull_pg() -> None:
    if (BULL_PG / "node_modules" / "pg").is_dir():
        return
    if shutil.which("npm") is None:
        raise SystemExit("The comparison with Bull needs node and npm; without them leave it out: --only …")
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=BULL_PG, check=True)
