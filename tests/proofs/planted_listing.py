"""What is broken of lists of runs and their filters, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect

LISTING: dict[str, tuple[Defect, ...]] = {
    "engine.list_runs": (Defect("client.client", 'cursor=require_text(cursor, "cursor"),', 'cursor="",'),),
    "list_runs.status": (
        Defect(
            "client.client",
            '_only(None if status is None else require_choice(status, RunStatus, "status"))',
            "frozenset()",
        ),
    ),
    "list_runs.workflow": (
        Defect(
            "client.client",
            '_only(None if workflow is None else require_text(workflow, "workflow (a name)"))',
            "frozenset()",
        ),
    ),
    "list_runs.labels": (
        Defect(
            "client.client",
            'labels=require_texts(labels or {}, "labels"),',
            'labels={"none": "such"} if labels else {},',
        ),
    ),
    "list_runs.tenant": (
        Defect("client.client", '_only(None if tenant is None else require_text(tenant, "tenant"))', "frozenset()"),
    ),
    "list_runs.priority": (
        Defect(
            "client.client",
            '_only(None if priority is None else require_choice(priority, Priority, "priority"))',
            "frozenset()",
        ),
    ),
    "list_runs.id_prefix": (
        Defect("client.client", 'id_prefix=require_text(id_prefix, "id_prefix"),', 'id_prefix="",'),
    ),
    "list_runs.created_from": (
        Defect(
            "client.client",
            'created_from=None if created_from is None else require_moment(created_from, "created_from"),',
            "created_from=None,",
        ),
    ),
    "list_runs.created_until": (
        Defect(
            "client.client",
            'created_until=None if created_until is None else require_moment(created_until, "created_until"),',
            "created_until=None,",
        ),
    ),
    "list_runs.oldest_first": (
        Defect(
            "client.client", "RunOrder.OLDEST_FIRST if oldest_first else RunOrder.NEWEST_FIRST", "RunOrder.NEWEST_FIRST"
        ),
    ),
    "list_runs.limit": (Defect("client.client", 'limit=require_integer(limit, "limit"),', "limit=100,"),),
    "list_runs.cursor": (Defect("client.client", 'cursor=require_text(cursor, "cursor"),', 'cursor="",'),),
    "count_runs.most": (
        Defect("client.client", "count_runs(self._own(query), most=most)", "count_runs(self._own(query), most=None)"),
    ),
}
