"""Every knob, typed, read once by the command line; docs/settings.md tells of each."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval
from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from passerelle.clients.rate import Rate
from passerelle.errors import Misconfigured
from passerelle.values import (
    MediaLimits,
    Proxies,
    RateLimit,
    Retention,
    Size,
    Span,
    UnreadableFile,
    read_secret,
    why_unreadable,
)

SECRETS = (
    *("DATABASE_URL", "REDIS_URL", "REDIS_PASSWORD", "KV_REST_API_URL", "KV_REST_API_TOKEN"),
    *("PASSERELLE_ADMIN_KEY", "PASSERELLE_METRICS_KEY", "PASSERELLE_SECRET_KEY", "PASSERELLE_SECRET_KEY_FALLBACKS"),
    *("CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET", "SUPABASE_SERVICE_KEY"),
    *("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "PASSERELLE_PROXY"),
    *("WHATSAPP_CLOUD_TOKEN", "WHATSAPP_CLOUD_APP_SECRET", "WHATSAPP_CLOUD_VERIFY_TOKEN"),
)
# Blank, these are a finding: somebody meant to fill them in.
KEPT_BLANK = frozenset({"REDIS_URL", "KV_REST_API_URL", "UPSTASH_REDIS_REST_URL"})


def _named(name: str, *others: str, default: Any) -> Any:
    return Field(default=default, validation_alias=AliasChoices(name, *others))


class Settings(BaseSettings):
    """What the environment and ``.env`` say; blank is the same as not set (but for an address of Redis: a finding)."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    env: Literal["local", "production"] = _named("PASSERELLE_ENV", default="local")
    host: str = _named("PASSERELLE_HOST", default="127.0.0.1")
    allowed_hosts: str | None = _named("PASSERELLE_ALLOWED_HOSTS", default=None)
    trusted_proxies: Proxies = _named("PASSERELLE_TRUSTED_PROXIES", default="127.0.0.1,::1")
    max_connections: Annotated[int, Interval(ge=10)] = _named("PASSERELLE_MAX_CONNECTIONS", default=2000)
    port: Annotated[int, Interval(ge=0, le=65535)] = _named("PASSERELLE_PORT", "PORT", default=8000)
    data_dir: Annotated[Path, AfterValidator(Path.absolute)] = _named("PASSERELLE_DATA_DIR", default=Path("data"))
    database_url: SecretStr | None = _named("DATABASE_URL", default=None)
    redis_url: SecretStr | None = _named("REDIS_URL", default=None)
    redis_host: str | None = _named("REDIS_HOST", default=None)
    redis_port: str | None = _named("REDIS_PORT", default=None)
    redis_password: SecretStr | None = _named("REDIS_PASSWORD", default=None)
    kv_rest_api_url: SecretStr | None = _named("KV_REST_API_URL", "UPSTASH_REDIS_REST_URL", default=None)
    kv_rest_api_token: SecretStr | None = _named("KV_REST_API_TOKEN", "UPSTASH_REDIS_REST_TOKEN", default=None)
    provider: Literal["sandbox", "multidevice", "cloud_api"] | None = _named("PASSERELLE_PROVIDER", default=None)
    whatsapp_cloud_token: SecretStr | None = _named("WHATSAPP_CLOUD_TOKEN", default=None)
    whatsapp_cloud_phone_number_id: str | None = _named("WHATSAPP_CLOUD_PHONE_NUMBER_ID", default=None)
    whatsapp_cloud_app_secret: SecretStr | None = _named("WHATSAPP_CLOUD_APP_SECRET", default=None)
    whatsapp_cloud_verify_token: SecretStr | None = _named("WHATSAPP_CLOUD_VERIFY_TOKEN", default=None)
    whatsapp_cloud_base_url: str | None = _named("WHATSAPP_CLOUD_BASE_URL", default=None)
    whatsapp_cloud_account_id: str | None = _named("WHATSAPP_CLOUD_ACCOUNT_ID", default=None)
    whatsapp_cloud_coexistence: bool = _named("WHATSAPP_CLOUD_COEXISTENCE", default=False)
    proxy: SecretStr | None = _named("PASSERELLE_PROXY", default=None)
    sandbox_url: str | None = _named("PASSERELLE_SANDBOX_URL", default=None)
    sandbox_latency: Span = _named("PASSERELLE_SANDBOX_LATENCY", default=timedelta(milliseconds=300))
    url: str | None = _named("PASSERELLE_URL", default=None)
    admin_key: SecretStr | None = _named("PASSERELLE_ADMIN_KEY", default=None)
    metrics_key: SecretStr | None = _named("PASSERELLE_METRICS_KEY", default=None)
    metrics_port: Annotated[int, Interval(ge=1, le=65535)] | None = _named("PASSERELLE_METRICS_PORT", default=None)
    metrics_public: bool = _named("PASSERELLE_METRICS_PUBLIC", default=False)
    rate_limit: RateLimit = _named("PASSERELLE_RATE_LIMIT", default=Rate(600, 60, 600))
    message_quota: Annotated[int, Interval(ge=1)] | None = _named("PASSERELLE_MESSAGE_QUOTA", default=None)
    secret_key: SecretStr | None = _named("PASSERELLE_SECRET_KEY", default=None)
    secret_key_fallbacks: SecretStr | None = _named("PASSERELLE_SECRET_KEY_FALLBACKS", default=None)
    max_attempts: Annotated[int, Interval(ge=1, le=20)] = _named("PASSERELLE_MAX_ATTEMPTS", default=2)
    retry_delay: Span = _named("PASSERELLE_RETRY_DELAY", default=timedelta(seconds=30))
    lease: Span = _named("PASSERELLE_LEASE", default=timedelta(seconds=90))
    allow_private_urls: bool | None = _named("PASSERELLE_ALLOW_PRIVATE_URLS", default=None)
    pacing: bool | None = _named("PASSERELLE_PACING", default=None)
    pace: Annotated[float, Interval(gt=0, le=6000)] = _named("PASSERELLE_PACE", default=20.0)
    first_contacts: Annotated[int, Interval(ge=1)] = _named("PASSERELLE_FIRST_CONTACTS", default=40)
    warm_up: Span = _named("PASSERELLE_WARM_UP", default=timedelta(days=7))
    late_limit: Span = _named("PASSERELLE_LATE_LIMIT", default=timedelta(hours=1))
    resend_unknown: bool = _named("PASSERELLE_RESEND_UNKNOWN", default=False)
    notify_user: str | None = _named("PASSERELLE_NOTIFY_USER", default=None)
    public_url: str | None = _named("PASSERELLE_PUBLIC_URL", default=None)
    link_ttl: Span = _named("PASSERELLE_LINK_TTL", default=timedelta(days=7))
    media_limit: Size = _named("PASSERELLE_MEDIA_LIMIT", default=2_000_000_000)
    media_limits: MediaLimits = _named("PASSERELLE_MEDIA_LIMITS", default={})
    media_quota: Size | None = _named("PASSERELLE_MEDIA_QUOTA", default=None)
    cloudinary_cloud_name: str | None = _named("CLOUDINARY_CLOUD_NAME", default=None)
    cloudinary_api_key: SecretStr | None = _named("CLOUDINARY_API_KEY", default=None)
    cloudinary_api_secret: SecretStr | None = _named("CLOUDINARY_API_SECRET", default=None)
    cloudinary_upload_prefix: str | None = _named("CLOUDINARY_UPLOAD_PREFIX", default=None)
    supabase_url: str | None = _named("SUPABASE_URL", default=None)
    supabase_service_key: SecretStr | None = _named("SUPABASE_SERVICE_KEY", default=None)
    supabase_bucket: str | None = _named("SUPABASE_BUCKET", default=None)
    s3_endpoint_url: str | None = _named("S3_ENDPOINT_URL", default=None)
    s3_bucket: str | None = _named("S3_BUCKET", default=None)
    s3_access_key_id: SecretStr | None = _named("S3_ACCESS_KEY_ID", default=None)
    s3_secret_access_key: SecretStr | None = _named("S3_SECRET_ACCESS_KEY", default=None)
    s3_region: str = _named("S3_REGION", default="us-east-1")
    attempt_limit: Span = _named("PASSERELLE_ATTEMPT_LIMIT", default=timedelta(seconds=20))
    lock_ttl: Span = _named("PASSERELLE_LOCK_TTL", default=timedelta(minutes=5))
    job_timeout: Span = _named("PASSERELLE_JOB_TIMEOUT", default=timedelta(minutes=5))
    message_retention: Retention = _named("PASSERELLE_MESSAGE_RETENTION", default=timedelta(days=365))
    lead_retention: Retention = _named("PASSERELLE_LEAD_RETENTION", default=timedelta(days=365))
    audit_retention: Retention = _named("PASSERELLE_AUDIT_RETENTION", default=timedelta(days=365))
    probation: Span = _named("PASSERELLE_PROBATION", default=timedelta(seconds=2))
    lang: Literal["en", "fr"] = _named("PASSERELLE_LANG", default="en")
    log: Literal["console", "json"] | None = _named("PASSERELLE_LOG", default=None)

    database_url_file: str | None = _named("DATABASE_URL_FILE", default=None)
    redis_url_file: str | None = _named("REDIS_URL_FILE", default=None)
    redis_password_file: str | None = _named("REDIS_PASSWORD_FILE", default=None)
    kv_rest_api_url_file: str | None = _named("KV_REST_API_URL_FILE", default=None)
    kv_rest_api_token_file: str | None = _named("KV_REST_API_TOKEN_FILE", default=None)
    admin_key_file: str | None = _named("PASSERELLE_ADMIN_KEY_FILE", default=None)
    metrics_key_file: str | None = _named("PASSERELLE_METRICS_KEY_FILE", default=None)
    secret_key_file: str | None = _named("PASSERELLE_SECRET_KEY_FILE", default=None)
    secret_key_fallbacks_file: str | None = _named("PASSERELLE_SECRET_KEY_FALLBACKS_FILE", default=None)
    cloudinary_api_key_file: str | None = _named("CLOUDINARY_API_KEY_FILE", default=None)
    cloudinary_api_secret_file: str | None = _named("CLOUDINARY_API_SECRET_FILE", default=None)
    supabase_service_key_file: str | None = _named("SUPABASE_SERVICE_KEY_FILE", default=None)
    s3_access_key_id_file: str | None = _named("S3_ACCESS_KEY_ID_FILE", default=None)
    s3_secret_access_key_file: str | None = _named("S3_SECRET_ACCESS_KEY_FILE", default=None)
    proxy_file: str | None = _named("PASSERELLE_PROXY_FILE", default=None)
    cloud_token_file: str | None = _named("WHATSAPP_CLOUD_TOKEN_FILE", default=None)
    cloud_app_secret_file: str | None = _named("WHATSAPP_CLOUD_APP_SECRET_FILE", default=None)
    cloud_verify_token_file: str | None = _named("WHATSAPP_CLOUD_VERIFY_TOKEN_FILE", default=None)

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, values: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in values.items() if not _is_blank(value) or name in KEPT_BLANK}
        for name in SECRETS:
            path = kept.pop(f"{name}_FILE", None)
            if path is not None and name not in kept:
                kept[name] = read_secret(f"{name}_FILE", Path(path))
        return kept

    @property
    def provider_name(self) -> str:
        """The provider in use."""
        return self.provider or "sandbox"

    @property
    def json_logs(self) -> bool:
        """Whether logs are for machines."""
        return (self.log or ("json" if self.env == "production" else "console")) == "json"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of ``PASSERELLE_ALLOWED_HOSTS``, between commas."""
        return tuple(part.strip() for part in (self.allowed_hosts or "").split(",") if part.strip())

    @property
    def earlier_keys(self) -> tuple[str, ...]:
        """The keys of ``PASSERELLE_SECRET_KEY_FALLBACKS``, between commas."""
        parts = (self.secret("secret_key_fallbacks") or "").split(",")
        return tuple(part.strip() for part in parts if part.strip())

    def secret(self, name: str) -> str | None:
        """The plain value of a secret, for the adapter that needs it."""
        value: SecretStr | None = getattr(self, name)
        return None if value is None else value.get_secret_value()

    def text(self, name: str) -> str:
        """The plain value of a setting that may be a secret; empty where it is not set."""
        value: SecretStr | str | None = getattr(self, name)
        return (value.get_secret_value() if isinstance(value, SecretStr) else value or "").strip()


_VARIABLES = {
    name: str(field.validation_alias.choices[0])
    for name, field in Settings.model_fields.items()
    if isinstance(field.validation_alias, AliasChoices)
}


def read_settings(**given: Any) -> Settings:
    """The settings, with what was `given` on the command line winning.

    Raises:
        Misconfigured: one line per setting that is wrong; never its value.
    """
    settings, wrong = examine_settings(**given)
    if wrong:
        raise Misconfigured("\n".join(wrong))
    return settings


def examine_settings(**given: Any) -> tuple[Settings, list[str]]:
    """The settings, with the default in place of every wrong one, and one line for each of these; never a value."""
    chosen = {_VARIABLES[name]: value for name, value in given.items() if value is not None}
    wrong = list[str]()
    while True:
        try:
            settings = Settings(**chosen)
        except ValidationError as error:
            for one in error.errors(include_input=False):
                name = str(one["loc"][0])
                wrong.append(f"{name}: {one['msg']}")
                chosen |= _default_of(name)
        except UnreadableFile as error:
            wrong.append(str(error))
            chosen[error.name] = ""
        except (OSError, UnicodeDecodeError) as error:
            if "_env_file" in chosen:
                raise
            wrong.append(f".env cannot be read: {why_unreadable(error)}.")
            chosen["_env_file"] = None
        else:
            named = tuple(line.partition(":")[0] for line in wrong)
            return settings, wrong + [line for line in _at_odds(settings) if not line.startswith(named)]


def _default_of(name: str) -> dict[str, Any]:
    """What gives a setting its default, whichever of its names was used."""
    for field, variable in _VARIABLES.items():
        info = Settings.model_fields[field]
        if isinstance(info.validation_alias, AliasChoices) and name in info.validation_alias.choices:
            return {variable: info.default}
    raise Misconfigured(f"{name} is no setting of Passerelle.")


def _at_odds(settings: Settings) -> list[str]:
    """Settings that are right alone and wrong together."""
    wrong = []
    if settings.attempt_limit >= settings.lease:
        wrong.append("PASSERELLE_ATTEMPT_LIMIT must be shorter than PASSERELLE_LEASE.")
    if settings.env == "production" and settings.provider is None:
        wrong.append("PASSERELLE_PROVIDER must be set in production (sandbox, multidevice or cloud_api).")
    return wrong


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()
