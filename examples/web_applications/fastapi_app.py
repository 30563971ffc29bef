"""Leave behind FastAPI: the engine works on the event loop that serves, opened and closed by the lifespan."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from examples.web_applications.leave import DATABASE, Decision, LeaveRequest, decide, request_leave
from perdure import Engine, ResultTimeoutError, RunNotFoundError

__all__ = ["application"]


@asynccontextmanager
async def lifespan(served: FastAPI) -> AsyncIterator[None]:
    """Keep an engine open in each process while it serves."""
    async with Engine(os.environ[DATABASE]) as engine:
        served.state.engine = engine
        yield


def engine_of(request: Request) -> Engine:
    """Return the engine of the process that serves."""
    engine: Engine = request.app.state.engine
    return engine


application = FastAPI(lifespan=lifespan)
OpenEngine = Annotated[Engine, Depends(engine_of)]


@application.post("/leaves/{leave}", status_code=HTTPStatus.ACCEPTED)
async def start(leave: str, request: Request, engine: OpenEngine) -> dict[str, str]:
    """Start a run and answer at once; the same request made twice is one run."""
    wanted = msgspec.json.decode(await request.body(), type=LeaveRequest)
    run = await engine.start(request_leave, wanted, id=leave)
    return {"id": run.id}


@application.post("/leaves/{leave}/decision", status_code=HTTPStatus.ACCEPTED)
async def say(leave: str, request: Request, engine: OpenEngine) -> dict[str, str]:
    """Tell the run, wherever it is."""
    decision = msgspec.json.decode(await request.body(), type=Decision)
    await (await engine.get_run(leave)).signal(decide, decision)
    return {"id": leave}


@application.get("/leaves/{leave}")
async def show(leave: str, engine: OpenEngine) -> dict[str, str]:
    """Return where the run stands."""
    row = await (await engine.get_run(leave)).describe()
    return {"id": leave, "status": row.status, "stage": row.stage}


@application.get("/leaves/{leave}/outcome")
async def outcome(leave: str, engine: OpenEngine) -> Any:  # noqa: ANN401 - a body, or a response with another status
    """Return the result, or after a while that there is none yet."""
    try:
        run = await engine.get_run(leave, request_leave)
        return {"id": leave, "outcome": await run.result(timeout=timedelta(seconds=5))}
    except ResultTimeoutError:
        return JSONResponse({"id": leave}, status_code=HTTPStatus.ACCEPTED)


@application.exception_handler(RunNotFoundError)
async def unknown(_request: Request, error: Exception) -> JSONResponse:
    """Answer for ids of which there is no run."""
    return JSONResponse({"error": str(error)}, status_code=HTTPStatus.NOT_FOUND)
