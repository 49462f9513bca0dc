"""The least that FastAPI can do: two routes behind a key that keep nothing, for `load_http.py` to compare with."""

import argparse
import hmac
import itertools
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel

KEY = "the-key"
api = FastAPI()
numbers = itertools.count(1)


class Wish(BaseModel):
    """A message, as Passerelle takes it, and no word more."""

    user_id: str
    to: str
    type: Literal["text"]
    text: str
    send_at: str


async def holder(x_api_key: Annotated[str, Header()]) -> str:
    """Who asks."""
    if not hmac.compare_digest(x_api_key.encode(), KEY.encode()):
        raise HTTPException(401)
    return "client"


@api.get("/healthz")
async def process_lives() -> dict[str, str]:
    return {"status": "ok"}


@api.get("/things")
async def things(_who: Annotated[str, Depends(holder)]) -> dict[str, Any]:
    return {"items": [], "next_cursor": None}


@api.post("/things")
async def take(wish: Wish, _who: Annotated[str, Depends(holder)]) -> JSONResponse:
    return JSONResponse(wish.model_dump() | {"id": f"msg_{next(numbers)}", "status": "pending"}, 202)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    uvicorn.run(api, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="error")


if __name__ == "__main__":
    main()
