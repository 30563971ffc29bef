"""What is broken of versions and patches, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect

EVOLUTION: dict[str, tuple[Defect, ...]] = {
    "ctx.deprecate_patch": (
        Defect(
            "authoring.patches", "_NO_OPERATION if deprecated else journal.next_operation()", "journal.next_operation()"
        ),
    ),
    "ctx.start_child.version": (
        Defect("authoring.child_run", "    workflow = registry.at_version(workflow, version)\n", ""),
    ),
    "ctx.continue_as_new.version": (
        Defect("authoring.context", "self._registry.newest(own) if version is None else told", "own"),
    ),
    "history.export": (
        Defect("archiving.event_lines", '"version": EVENT_VERSIONS[kind]', '"version": 99'),
        Defect("testing.history_files", "if not isinstance(created, RunCreated)", "if created is None"),
    ),
    "history.import": (
        Defect(
            "testing.history_files",
            'if isinstance(found, dict) and "perdure_history" in found else None',
            "",
        ),
        Defect("testing.history_files", "if isinstance(number, int) and number > HISTORY_FORMAT:", "if False:"),
    ),
    "start.version": (
        Defect("client.beginning", "    workflow = gateway.registry.at_version(workflow, request.version)\n", ""),
    ),
    "workflow.parked": (
        Defect("execution.claims", "code=worker.code if tries_parked else None", "code=None"),
        Defect(
            "execution.parking",
            "parking.tried_also_by(code, _reason(error))",
            "parking.tried_also_by(code, recorded_failure(error))",
        ),
    ),
    "workflow.without_code": (
        Defect("kernel.messages", "        case TerminateMessage():\n            return at\n", ""),
    ),
    "workflow.without_code.deadline": (
        Defect("kernel.codeless", "    if state.deadline is not None:\n", "    if False:\n"),
    ),
    "workflow.without_code.cancel": (
        Defect("kernel.messages", "return grace_until if has_begun else at", "return None"),
    ),
    "workflow.parked.damaged": (
        Defect("stores.sql.statements", "    AND CASE WHEN json_valid(runs.parked)\n", "    AND CASE WHEN 1\n"),
        Defect("stores.sqlite.sessions", "if run.parked is not None]", "if False]"),
        Defect("kernel.state", "    except Exception as error:", "    except UnicodeError as error:"),
    ),
    "workflow.parked.resume": (
        Defect(
            "kernel.messages",
            "isinstance(message, TerminateMessage | ResumeMessage)",
            "isinstance(message, TerminateMessage)",
        ),
    ),
    "workflow.version": (
        Defect(
            "client.starting",
            "definition_version=workflow.version,\n        ref=ref,\n        input",
            'definition_version="1",\n        ref=ref,\n        input',
        ),
    ),
    "workflow.version.side_by_side": (
        Defect(
            "execution.loading",
            "registry.workflow(*workflow)",
            "registry.workflow(workflow.name)",
        ),
    ),
}
