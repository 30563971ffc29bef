"""Leave behind Django, in one file: plain views in the threads of a server, which use the process' one engine."""

from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

import django
import msgspec
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from examples.web_applications.leave import Decision, LeaveRequest, decide, request_leave
from examples.web_applications.process_engine import engine
from perdure import ResultTimeoutError, RunNotFoundError

__all__ = ["application", "urlpatterns"]

View = Callable[[HttpRequest], HttpResponseBase]


def leave_at(request: HttpRequest, leave: str) -> HttpResponseBase:
    """Start a run and answer at once, or show where it stands."""
    return start(request, leave) if request.method == "POST" else show(request, leave)


@require_POST
def start(request: HttpRequest, leave: str) -> HttpResponseBase:
    """Start a run; the same request made twice is one run."""
    wanted = msgspec.json.decode(request.body, type=LeaveRequest)
    run = engine().start(request_leave, wanted, id=leave)
    return JsonResponse({"id": run.id}, status=HTTPStatus.ACCEPTED)


@require_GET
def show(_request: HttpRequest, leave: str) -> HttpResponseBase:
    """Return where the run stands."""
    row = engine().get_run(leave).describe()
    return JsonResponse({"id": leave, "status": row.status, "stage": row.stage})


@require_POST
def say(request: HttpRequest, leave: str) -> HttpResponseBase:
    """Tell the run, wherever it is."""
    decision = msgspec.json.decode(request.body, type=Decision)
    engine().get_run(leave).signal(decide, decision)
    return JsonResponse({"id": leave}, status=HTTPStatus.ACCEPTED)


@require_GET
def outcome(_request: HttpRequest, leave: str) -> HttpResponseBase:
    """Return the result, or after a while that there is none yet."""
    try:
        text = engine().get_run(leave, request_leave).result(timeout=timedelta(seconds=5))
    except ResultTimeoutError:
        return JsonResponse({"id": leave}, status=HTTPStatus.ACCEPTED)
    return JsonResponse({"id": leave, "outcome": text})


class UnknownRuns:
    """Answers for ids of which there is no run."""

    def __init__(self, get_response: View) -> None:
        """Stand before the views."""
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass on what comes."""
        return self._get_response(request)

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Answer for a view that raised."""
        if isinstance(error, RunNotFoundError):
            return JsonResponse({"error": str(error)}, status=HTTPStatus.NOT_FOUND)
        return None


urlpatterns = [
    path("leaves/<str:leave>", leave_at),
    path("leaves/<str:leave>/decision", say),
    path("leaves/<str:leave>/outcome", outcome),
]

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    MIDDLEWARE=[f"{__name__}.UnknownRuns"],
    ROOT_URLCONF=__name__,
)
django.setup()
application = get_wsgi_application()
