"""A whole gateway whose Redis is reached over its REST interface."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from apps import gateway, linked
from rest_double import TOKEN, RestDouble
from servers import RedisServer, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E3")]


async def test_a_gateway_over_rest_keeps_its_records_there_and_works_its_jobs_over_sql(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RestDouble(redis_server) as double:
        monkeypatch.setenv("UPSTASH_REDIS_REST_URL", double.url)
        monkeypatch.setenv("UPSTASH_REDIS_REST_TOKEN", TOKEN)
        with capture_logs() as lines:
            async with gateway(tmp_path) as app:
                assert app.link.is_up
                assert app.queue is None
                assert "REDIS_REST_ONLY" in [finding.id for finding in app.findings]
                await linked(app)
                await eventually(lambda: "records:sessions" in redis_server.ask("KEYS", "*"))
    told = [line for line in lines if line.get("finding") == "REDIS_REST_ONLY"]
    assert [line["log_level"] for line in told] == ["info"]
    assert TOKEN not in repr(lines)
    assert "bull" not in redis_server.ask("KEYS", "*")
