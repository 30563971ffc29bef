"""Perdure: durable asynchronous workflows in plain Python.

Ordinary ``async`` functions that survive crashes, restarts, deployments and lost machines.
"""

from perdure.authoring.activity import Activity, activity
from perdure.authoring.activity_context import (
    Attempt,
    current_attempt,
    current_connection,
    defer,
    heartbeat,
    is_cancelled,
)
from perdure.authoring.context import ChildRun, Context, RunInfo
from perdure.authoring.locks import HeldLock
from perdure.authoring.signals import Signal
from perdure.authoring.streams import Stream, publish
from perdure.authoring.updates import Query, Update
from perdure.authoring.workflow import OnFailure, Workflow, workflow
from perdure.client.bulk import Bulk, BulkFailure, BulkReport
from perdure.client.handle import Run
from perdure.client.schedule_reports import ScheduleDescription, ScheduledRun, ScheduleHistory
from perdure.client.schedules import ScheduleChanges, ScheduleHandle, Schedules
from perdure.client.start_rules import Debounce, Deduplicate, Singleton, WhenOpen
from perdure.client.starting import IdPolicy
from perdure.client.streaming import Published
from perdure.client.sync_bulk import SyncBulk
from perdure.client.sync_handle import SyncRun
from perdure.client.sync_schedules import SyncScheduleHandle, SyncSchedules
from perdure.client.waiting_starts import WaitingRun
from perdure.client.wishes import ForkOptions
from perdure.configuration import Retention, Settings
from perdure.engine import Engine, SyncEngine
from perdure.errors import (
    ActivityError,
    ActivityFailedError,
    ActivityTimeoutError,
    ChildRunError,
    CircuitOpenError,
    DeadlockError,
    NonDeterminismError,
    NonRetryableError,
    PerdureError,
    ResourcesUnavailableError,
    ResultTimeoutError,
    RunCancelledError,
    RunClosedError,
    RunError,
    RunExistsError,
    RunFailedError,
    RunNotFoundError,
    RunNotRepairableError,
    RunTerminatedError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    StageTimeoutError,
    StaleTokenError,
    StoreError,
    UpdateError,
    UpdateFailedError,
    UpdateRejectedError,
    UsageError,
)
from perdure.kernel.backoff import decorrelated_jitter, exponential, fixed, full_jitter, jitter, linear
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.history import RecordedEvent
from perdure.kernel.isolation import Isolation
from perdure.kernel.limits import CircuitBreaker, RateLimit
from perdure.kernel.locking import LockEntry
from perdure.kernel.options import Executor
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry
from perdure.kernel.transition import RunStatus
from perdure.ports.store import Page, RunQuery, RunSummary, RunTimes
from perdure.ports.verification import DamagedRun, Defect, Verification
from perdure.redaction import register_secret
from perdure.timekeeping.schedules import Overlap
from perdure.timekeeping.specs import Calendar, Cron, Every

__all__ = [
    "Activity",
    "ActivityError",
    "ActivityFailedError",
    "ActivityTimeoutError",
    "Attempt",
    "Bulk",
    "BulkFailure",
    "BulkReport",
    "Calendar",
    "ChildRun",
    "ChildRunError",
    "CircuitBreaker",
    "CircuitOpenError",
    "Context",
    "Cron",
    "DamagedRun",
    "DeadlockError",
    "Debounce",
    "Deduplicate",
    "Defect",
    "Engine",
    "Every",
    "Executor",
    "ForkOptions",
    "HeldLock",
    "IdPolicy",
    "Isolation",
    "LockEntry",
    "NonDeterminismError",
    "NonRetryableError",
    "OnFailure",
    "Overlap",
    "Page",
    "ParentClosePolicy",
    "PerdureError",
    "Priority",
    "Published",
    "Query",
    "RateLimit",
    "RecordedEvent",
    "ResourcesUnavailableError",
    "ResultTimeoutError",
    "Retention",
    "Retry",
    "Run",
    "RunCancelledError",
    "RunClosedError",
    "RunError",
    "RunExistsError",
    "RunFailedError",
    "RunInfo",
    "RunNotFoundError",
    "RunNotRepairableError",
    "RunQuery",
    "RunStatus",
    "RunSummary",
    "RunTerminatedError",
    "RunTimes",
    "ScheduleChanges",
    "ScheduleDescription",
    "ScheduleExistsError",
    "ScheduleHandle",
    "ScheduleHistory",
    "ScheduleNotFoundError",
    "ScheduledRun",
    "Schedules",
    "Settings",
    "Signal",
    "Singleton",
    "StageTimeoutError",
    "StaleTokenError",
    "StoreError",
    "Stream",
    "SyncBulk",
    "SyncEngine",
    "SyncRun",
    "SyncScheduleHandle",
    "SyncSchedules",
    "Update",
    "UpdateError",
    "UpdateFailedError",
    "UpdateRejectedError",
    "UsageError",
    "Verification",
    "WaitingRun",
    "WhenOpen",
    "Workflow",
    "activity",
    "current_attempt",
    "current_connection",
    "decorrelated_jitter",
    "defer",
    "exponential",
    "fixed",
    "full_jitter",
    "heartbeat",
    "is_cancelled",
    "jitter",
    "linear",
    "publish",
    "register_secret",
    "workflow",
]
