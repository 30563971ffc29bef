"""Orders as engines hand them to clusters, and reports as those hand them back."""

from datetime import UTC, datetime
from typing import Any

from perdure.authoring.activity import Activity
from perdure.authoring.activity_context import Attempt
from perdure.execution.process_messages import Frames, Perform, Report, decode_report, encode_order

__all__ = ["order_of", "reports_of"]


def order_of(activity: Activity[..., Any], *arguments: object) -> bytes:
    attempt = Attempt(
        run_id="run",
        namespace="default",
        workflow="workflow",
        activity=activity.name,
        operation=1,
        attempt=1,
        idempotency_key="key",
        fencing_token=1,
        scheduled_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    given = activity.signature.encode_arguments(arguments, {})
    module = activity.function.__module__
    return encode_order(Perform(number=1, module=module, input=given, attempt=attempt, maximum_bytes=1_000))


def reports_of(frames: bytes) -> list[Report]:
    return [decode_report(body) for body in Frames().feed(frames)]
