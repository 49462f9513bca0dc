"""What an operator types when the key of the gateway changes."""

from pathlib import Path

import pytest

from acceptance.gateway import Gateway, command_line

pytestmark = pytest.mark.mission("Z6")
OLD, NEW = "the-key-of-yesterday-0123456789", "the-key-of-today-0123456789-abcd"


def env(folder: Path, key: str, *earlier: str) -> dict[str, str]:
    own = {"PASSERELLE_DATA_DIR": str(folder), "PASSERELLE_SECRET_KEY": key}
    return own | {"PASSERELLE_SECRET_KEY_FALLBACKS": ",".join(earlier)}


def test_the_key_is_changed_by_the_book(data_dir: Path) -> None:
    with Gateway(data_dir, env={"PASSERELLE_SECRET_KEY": OLD}) as gateway:
        assert gateway.http.post("/api/webhooks", json={"url": "http://127.0.0.1:9/", "events": []}).is_success
        early = command_line("secrets", "rotate", cwd=data_dir, env=env(data_dir, NEW, OLD))
        assert (early.returncode, early.stderr.count("\n")) == (1, 1), early.stderr
        assert "restart it" in early.stderr

    with Gateway(data_dir, env={"PASSERELLE_SECRET_KEY": NEW}):
        lost = command_line("secrets", "rotate", "--dry-run", cwd=data_dir, env=env(data_dir, NEW))
        doctor = command_line("doctor", "--only", "progress", cwd=data_dir, env=env(data_dir, NEW))
    assert (doctor.returncode, "SECRET_KEY_LOST" in doctor.stdout) == (2, True), doctor.stdout
    assert (lost.returncode, "1 cannot be opened with any key" in lost.stdout) == (1, True), lost.stdout

    done = command_line("secrets", "rotate", cwd=data_dir, env=env(data_dir, NEW, OLD))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Secrets of webhooks: 1 current, 0 earlier, 0 lost" in done.stdout
    assert "✅ Nothing is sealed with an earlier key." in done.stdout
    for shown in (early, lost, done):
        assert OLD not in shown.stdout + shown.stderr
        assert NEW not in shown.stdout + shown.stderr
