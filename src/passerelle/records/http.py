"""The routes of records, all for the operator: what is where, and what is to be done about it."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from passerelle.records.care import Care
from passerelle.records.model import CollectionKey, Record, Source


class BroughtRecord(BaseModel):
    """A record as a JSON file has it."""

    model_config = ConfigDict(extra="forbid")

    # Lengths stand beside the patterns: a repetition in one ({1,200}) takes 90 ms of every start to compile.
    id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]  # SQL takes no NUL
    version: Annotated[int, Field(ge=1, le=10**12)]  # Lua counts in doubles
    data: dict[str, Any]


class Brought(BaseModel):
    """Records of one collection, to be imported."""

    model_config = ConfigDict(extra="forbid")

    # It names a folder where there is no Redis.
    client_id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w-]+$")]
    collection: Annotated[str, Field(min_length=1, max_length=50, pattern="^[a-z_]+$")]
    records: Annotated[list[BroughtRecord], Field(max_length=1000)]


def routes(care: Care) -> APIRouter:
    """``/api/database/verify-redis`` and ``/api/records/…``; who may call is the caller's business."""
    router = APIRouter(tags=["records"])

    @router.get("/api/database/verify-redis")
    async def verify_redis() -> dict[str, Any]:
        """Every sort of data, whether all of it is in Redis, and how many there are."""
        source, standings = await care.verify()
        in_redis = care.source is Source.REDIS
        keys = [{"key": one.name, "in_redis": in_redis and one.at_home, "count": one.count} for one in standings]
        return {"all_in_redis": all(key["in_redis"] for key in keys), "source": source, "keys": keys}

    @router.post("/api/records/reload")
    async def reload() -> dict[str, Any]:
        """Forget what is remembered and read everything anew."""
        return _counted(await care.reload())

    @router.post("/api/records/restore")
    async def restore() -> dict[str, Any]:
        """Bring back what Redis lost."""
        return _counted(await care.restore())

    @router.post("/api/records/accept")
    async def accept() -> dict[str, Any]:
        """Believe Redis: forget what it lost."""
        return _counted(await care.accept())

    @router.post("/api/records/import")
    async def import_records(brought: Brought) -> dict[str, Any]:
        """Save records that are not there yet; tell which are there with other data."""
        key = CollectionKey(client_id=brought.client_id, name=brought.collection)
        done = await care.bring(key, [Record(id=r.id, version=r.version, data=r.data) for r in brought.records])
        return {"saved": done.saved, "same": done.same, "different": done.different}

    def _counted(counts: dict[str, int]) -> dict[str, Any]:
        return {"source": care.source, "keys": [{"key": name, "count": count} for name, count in counts.items()]}

    return router
