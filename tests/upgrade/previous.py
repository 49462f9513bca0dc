"""The version before this one, as it was released: its code, out of the repository's history."""

import fcntl
import io
import subprocess
import tarfile
from pathlib import Path

from servers import missing

VERSION, COMMIT = "0.1.0", "c8cccc39a9a391c25c39db5be4080d9d39371876"
TABLES_AT = "0012"
"""Its newest migration."""
ROOT = Path(__file__).parents[2]


def unpacked(folder: Path) -> Path:
    """What to put into PYTHONPATH for the version before: below `folder`, once for all who share that.

    It stands before the installed version there, and its bytecode is kept between its processes.
    """
    program = folder / f"passerelle-{VERSION}"
    with (folder / f"{program.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            begun = folder / f"{program.name}.begun"
            with tarfile.open(fileobj=io.BytesIO(_archive())) as archive:
                archive.extractall(begun, filter="data")
            begun.rename(program)
    return program / "src"


def _archive() -> bytes:
    """Its `src`; needs the whole history, as a plain clone has it (tags are not asked for)."""
    git = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}"]
    done = subprocess.run([*git, "archive", COMMIT, "src"], capture_output=True, check=False)
    if done.returncode:
        missing(f"commit {COMMIT[:7]} (version {VERSION}) of the repository's history")
    return done.stdout
