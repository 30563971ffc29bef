"""Leave behind Flask: plain views in the threads of a server, all of which use the process' one engine."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, request

from examples.web_applications.leave import Decision, LeaveRequest, decide, request_leave
from examples.web_applications.process_engine import engine
from perdure import ResultTimeoutError, RunNotFoundError

__all__ = ["application"]

application = Flask(__name__)
Answer = tuple[dict[str, Any], HTTPStatus]


@application.post("/leaves/<leave>")
def start(leave: str) -> Answer:
    """Start a run and answer at once; the same request made twice is one run."""
    wanted = msgspec.json.decode(request.get_data(), type=LeaveRequest)
    run = engine().start(request_leave, wanted, id=leave)
    return {"id": run.id}, HTTPStatus.ACCEPTED


@application.post("/leaves/<leave>/decision")
def say(leave: str) -> Answer:
    """Tell the run, wherever it is."""
    decision = msgspec.json.decode(request.get_data(), type=Decision)
    engine().get_run(leave).signal(decide, decision)
    return {"id": leave}, HTTPStatus.ACCEPTED


@application.get("/leaves/<leave>")
def show(leave: str) -> Answer:
    """Return where the run stands."""
    row = engine().get_run(leave).describe()
    return {"id": leave, "status": row.status, "stage": row.stage}, HTTPStatus.OK


@application.get("/leaves/<leave>/outcome")
def outcome(leave: str) -> Answer:
    """Return the result, or after a while that there is none yet."""
    try:
        text = engine().get_run(leave, request_leave).result(timeout=timedelta(seconds=5))
    except ResultTimeoutError:
        return {"id": leave}, HTTPStatus.ACCEPTED
    return {"id": leave, "outcome": text}, HTTPStatus.OK


@application.errorhandler(RunNotFoundError)
def unknown(error: RunNotFoundError) -> Answer:
    """Answer for ids of which there is no run."""
    return {"error": str(error)}, HTTPStatus.NOT_FOUND
