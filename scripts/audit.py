"""Ask a public service for known vulnerabilities of the locked packages: found ones fail, silence is only told."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LOCK = Path("requirements/run.txt")
ASKED = Path(sys.prefix) / ".audited"
FRESH_S = 86_400


def main() -> int:
    """0: nothing is known against them, or nobody answered; 1: something is (or, with ``--or-fail``, nobody did)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--within", type=float, default=8.0, help="seconds to wait for the service")
    parser.add_argument("--or-fail", action="store_true", help="no answer is a failure, and one of today is not enough")
    given = parser.parse_args()
    if not given.or_fail and _is_fresh():
        return 0
    try:
        packages, why_not = _ask(given.within), ""
    except subprocess.TimeoutExpired:
        packages, why_not = [], f"no answer within {given.within:g} s"
    except (OSError, ValueError) as error:
        packages, why_not = [], str(error)
    bad = [one for one in packages if one.get("vulns")]
    for one in bad:
        print(f"audit: {one['name']} {one['version']}: {', '.join(known['id'] for known in one['vulns'])}")
    unknown = sum("skip_reason" in one for one in packages)
    if not packages or unknown:
        why_not = why_not or "the index does not say"
        print(f"audit: left out for {unknown or 'all'} packages ({why_not}); make audit asks again")
    if not bad:
        ASKED.touch()
    return int(bool(bad) or (given.or_fail and (not packages or unknown > 0)))


def _is_fresh() -> bool:
    """Whether these very packages were asked about within a day."""
    if not ASKED.exists() or ASKED.stat().st_mtime < LOCK.stat().st_mtime:
        return False
    return time.time() - ASKED.stat().st_mtime < FRESH_S


def _ask(within_s: float) -> list[dict[str, Any]]:
    """What is known of each package. Raises where nobody says it in time."""
    tool = [str(Path(sys.executable).parent / "pip-audit"), "--format", "json", "--progress-spinner", "off"]
    limits = ["--timeout", "3", "--require-hashes", "--disable-pip", "--requirement", str(LOCK)]
    done = subprocess.run([*tool, *limits], capture_output=True, text=True, timeout=within_s, check=False)  # noqa: S603 -- ours
    if not done.stdout.strip():
        raise ValueError((done.stderr.strip().splitlines() or ["no answer"])[-1][:200])
    found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return found


if __name__ == "__main__":
    sys.exit(main())
