"""Settings: read once, every wrong one named in one line, never with its value."""

from datetime import timedelta
from pathlib import Path

import pytest

from passerelle.errors import Misconfigured
from passerelle.settings import SECRETS, Settings, examine_settings, read_settings
from passerelle.values import FOREVER


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90", timedelta(seconds=90)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("2h", timedelta(hours=2)),
        ("250ms", timedelta(milliseconds=250)),
        ("PT1M30S", timedelta(seconds=90)),
        (" 1.5 s ", timedelta(seconds=1.5)),
    ],
)
def test_durations_are_written_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, text: str, span: timedelta
) -> None:
    monkeypatch.setenv("PASSERELLE_LOCK_TTL", text)
    assert read_settings().lock_ttl == span


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PASSERELLE_LOCK_TTL", "soon"),
        ("PASSERELLE_PORT", "http"),
        ("PASSERELLE_ENV", "prod"),
        ("PASSERELLE_PROVIDER", "carrier-pigeon"),
        ("PASSERELLE_LANG", "de"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=name) as wrong:
        read_settings()
    assert value not in str(wrong.value).replace("'production'", "")


def test_blank_is_not_set_but_for_the_url_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERELLE_PORT", "")
    monkeypatch.setenv("REDIS_URL", "")
    assert read_settings().port == 8000
    assert read_settings().secret("redis_url") == ""


def test_port_is_understood_too_and_ours_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9001")
    assert read_settings().port == 9001
    monkeypatch.setenv("PASSERELLE_PORT", "9002")
    assert read_settings().port == 9002
    assert read_settings(port=9003).port == 9003


def test_secrets_may_come_from_files_and_are_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hidden-key\n")
    monkeypatch.setenv("PASSERELLE_ADMIN_KEY_FILE", str(tmp_path / "key"))
    settings = read_settings()
    assert settings.secret("admin_key") == "hidden-key"
    assert "hidden-key" not in repr(settings)
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "latin").write_bytes("clé-secrète".encode("latin-1"))
    for useless in ("missing", "empty", "latin"):
        monkeypatch.setenv("PASSERELLE_ADMIN_KEY_FILE", str(tmp_path / useless))
        with pytest.raises(Misconfigured, match="PASSERELLE_ADMIN_KEY_FILE"):
            read_settings()


def test_every_secret_may_come_from_a_file() -> None:
    """A name without a field of its own would be ignored without a word."""
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert [name for name in SECRETS if not any(f"'{name}_FILE'" in one for one in known)] == []
    secret = {
        str(field.validation_alias) for field in Settings.model_fields.values() if "Secret" in str(field.annotation)
    }
    assert len(secret) == len(SECRETS)


def test_a_secrets_file_may_be_named_in_dotenv_and_a_blank_key_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("hidden-key")
    (tmp_path / ".env").write_text(f"PASSERELLE_ADMIN_KEY_FILE={tmp_path / 'key'}\n")
    assert read_settings().secret("admin_key") == "hidden-key"
    (tmp_path / ".env").unlink()
    monkeypatch.setenv("PASSERELLE_ADMIN_KEY", "  ")
    assert read_settings().secret("admin_key") is None


def test_a_dotenv_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PASSERELLE_PORT=9100\nUNKNOWN=1\n")
    assert read_settings().port == 9100


def test_a_dotenv_file_that_is_no_text_is_named_and_the_rest_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes("# clé\nPASSERELLE_PORT=9100\n".encode("latin-1"))
    monkeypatch.setenv("PASSERELLE_HOST", "::1")
    with pytest.raises(Misconfigured, match=r"^\.env .*UTF-8"):
        read_settings()
    settings, wrong = examine_settings()
    assert (settings.host, settings.port, len(wrong)) == ("::1", 8000, 1)


def test_the_usual_data_directory_is_below_the_folder_that_a_command_is_started_in(tmp_path: Path) -> None:
    assert read_settings().data_dir == tmp_path / "data"


def test_production_wants_its_provider_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERELLE_ENV", "production")
    with pytest.raises(Misconfigured, match="PASSERELLE_PROVIDER"):
        read_settings()


@pytest.mark.parametrize(("text", "kept"), [("forever", FOREVER), (" Forever ", FOREVER), ("30d", timedelta(days=30))])
def test_how_long_something_is_kept_is_a_time_or_forever(
    monkeypatch: pytest.MonkeyPatch, text: str, kept: timedelta
) -> None:
    monkeypatch.setenv("PASSERELLE_MESSAGE_RETENTION", text)
    assert read_settings().message_retention == kept


@pytest.mark.parametrize("name", ["MESSAGE", "LEAD", "AUDIT"])
@pytest.mark.parametrize("text", ["0", "23h", "36501d", "never", "-1d"])
def test_nothing_is_kept_for_less_than_a_day_or_for_longer_than_a_time_can_be(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"PASSERELLE_{name}_RETENTION", text)
    with pytest.raises(Misconfigured, match=f"PASSERELLE_{name}_RETENTION"):
        read_settings()
