"""The rules, each with what is wrong, what to do instead, and an example of both. Codes are for ever.

PDR0xx are about suppressions, PDR1xx about the world that workflow code must not ask, PDR2xx about order and identity,
PDR3xx about state that is not in the history, PDR4xx about the engine's own calls, PDR5xx about control flow.
"""

from typing import Final

import msgspec

__all__ = ["RULES", "Rule"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule. `bad` and `good` are modules, but for the imports of `HEADER`."""

    code: str
    name: str
    why: str
    instead: str
    bad: str
    good: str


def _body(*lines: str) -> str:
    indented = "\n".join(f"    {line}" for line in lines)
    return f"@workflow\nasync def example(ctx: Context) -> object:\n{indented}\n"


def _rule(code: str, name: str, why: str, instead: str, *, bad: str, good: str) -> Rule:
    return Rule(code=code, name=name, why=why, instead=instead, bad=bad, good=good)


_ACTIVITY: Final = "@activity\nasync def step(number: int) -> int:\n    return number\n\n\n"
_CHILD: Final = "@workflow\nasync def child(ctx: Context) -> int:\n    return 1\n\n\n"

RULES: Final[dict[str, Rule]] = {
    rule.code: rule
    for rule in (
        _rule(
            "PDR001", "suppression-without-effect",
            "A suppression that names no rule, or gives no reason, hides nothing.",
            "Write `# perdure: allow PDR101 because ...` with a code that exists and a reason.",
            bad=_body("return ctx.now()  # perdure: allow PDR999 why not"),
            good="import time\n\n\n" + _body("return time.time()  # perdure: allow PDR101 an example of a suppression"),
        ),
        _rule(
            "PDR002", "unused-suppression",
            "Nothing is found on this line any more: the suppression would hide what comes later.",
            "Remove it.",
            bad=_body("return ctx.now()  # perdure: allow PDR101 no longer needed"),
            good=_body("return ctx.now()"),
        ),
        _rule(
            "PDR101", "wall-clock",
            "The clock shows another time when the run is replayed.",
            "Use `ctx.now()`: the time of the event that let the code go on.",
            bad="import time\n\n\n" + _body("return time.time()"),
            good=_body("return ctx.now().timestamp()"),
        ),
        _rule(
            "PDR102", "random-number",
            "Chance gives another number when the run is replayed.",
            "Use `ctx.random`, which is seeded by the run, or an activity.",
            bad="import random\n\n\n" + _body("return random.randint(1, 6)"),
            good=_body("return ctx.random.randint(1, 6)"),
        ),
        _rule(
            "PDR103", "secret-number",
            "The system's randomness gives other bytes when the run is replayed.",
            "Make it in an activity, or by `await ctx.side_effect(...)`.",
            bad="import secrets\n\n\n" + _body("return secrets.token_hex(8)"),
            good="import secrets\n\n\n" + _body("return await ctx.side_effect(lambda: secrets.token_hex(8), str)"),
        ),
        _rule(
            "PDR104", "new-uuid",
            "A new UUID is another one when the run is replayed.",
            "Use `ctx.uuid4()`.",
            bad="from uuid import uuid4\n\n\n" + _body("return uuid4()"),
            good=_body("return ctx.uuid4()"),
        ),
        _rule(
            "PDR105", "environment",
            "Environment and command line are another process' when the run is replayed.",
            "Read them before the start and pass them as arguments, or read them in an activity.",
            bad="import os\n\n\n" + _body('return os.environ["REGION"]'),
            good="@workflow\nasync def example(ctx: Context, region: str) -> object:\n    return region\n",
        ),
        _rule(
            "PDR106", "file-access",
            "Files change between two replays, and an effect on them would be repeated.",
            "Read and write in an activity.",
            bad=_body('with open("orders.txt") as file:', "    return file.read()"),
            good='@activity\ndef read() -> str:\n    with open("orders.txt") as file:\n        return file.read()\n\n\n'
            + _body("return await read()"),
        ),
        _rule(
            "PDR107", "network-access",
            "A request would be made again at each replay, and answered otherwise.",
            "Make it in an activity.",
            bad="import urllib.request\n\n\n" + _body('return urllib.request.urlopen("https://example.org").read()'),
            good=_ACTIVITY + _body("return await step(1)"),
        ),
        _rule(
            "PDR108", "database-access",
            "A database answers otherwise at the next replay, and a write would be repeated.",
            "Use an activity.",
            bad="import sqlite3\n\n\n" + _body('return sqlite3.connect("shop.db")'),
            good=_ACTIVITY + _body("return await step(1)"),
        ),
        _rule(
            "PDR109", "subprocess",
            "A program would be started again at each replay.",
            "Start it in an activity.",
            bad="import subprocess\n\n\n" + _body('return subprocess.run(["ls"]).returncode'),
            good=_ACTIVITY + _body("return await step(1)"),
        ),
        _rule(
            "PDR110", "thread",
            "Threads and pools run at their own time, outside of the history.",
            "Use a `def` activity: it runs in a thread, or in a process with `executor='process'`.",
            bad=_body("return await asyncio.to_thread(sum, [1, 2])"),
            good="@activity\ndef add(numbers: list[int]) -> int:\n    return sum(numbers)\n\n\n"
            + _body("return await add([1, 2])"),
        ),
        _rule(
            "PDR111", "blocking-call",
            "It holds up every run of the process, and nothing of the wait is durable.",
            "Use `await asyncio.sleep(...)`, which is a durable timer here, or an activity.",
            bad="import time\n\n\n" + _body("time.sleep(60)", "return None"),
            good=_body("await asyncio.sleep(60)", "return None"),
        ),
        _rule(
            "PDR112", "event-loop",
            "Workflow code runs on a loop of its own; what is given to a loop by hand is not in the history.",
            "Use tasks, `asyncio.sleep`, `TaskGroup` and the like; they are durable.",
            bad=_body("asyncio.get_running_loop().call_later(5, print)", "return None"),
            good=_body("await asyncio.sleep(5)", "return None"),
        ),
        _rule(
            "PDR113", "host",
            "Another machine or process says something else.",
            "Ask in an activity.",
            bad="import platform\n\n\n" + _body("return platform.node()"),
            good=_ACTIVITY + _body("return await step(1)"),
        ),
        _rule(
            "PDR114", "print",
            "It is printed again at each replay.",
            "Use `ctx.logger`, which is silent while the run is replayed.",
            bad=_body('print("paid")', "return None"),
            good=_body('ctx.logger.info("paid")', "return None"),
        ),
        _rule(
            "PDR115", "logging",
            "It is logged again at each replay.",
            "Use `ctx.logger`, which is silent while the run is replayed.",
            bad='import logging\n\nlog = logging.getLogger("shop")\n\n\n' + _body('log.info("paid")', "return None"),
            good=_body('ctx.logger.info("paid")', "return None"),
        ),
        _rule(
            "PDR116", "local-time",
            "The result depends on the time zone or the language of the machine.",
            "Give a time zone: `datetime.fromtimestamp(at, tz=UTC)`.",
            bad="import datetime\n\n\n" + _body("return datetime.datetime.fromtimestamp(0)"),
            good="import datetime\n\n\n" + _body("return datetime.datetime.fromtimestamp(0, tz=datetime.UTC)"),
        ),
        _rule(
            "PDR201", "set-order",
            "The order of a set of texts is another one in another process.",
            "Use `sorted(...)`, a list, or a dict.",
            bad=_ACTIVITY + _body("return [await step(number) for number in {1, 2, 3}]"),
            good=_ACTIVITY + _body("return [await step(number) for number in sorted({1, 2, 3})]"),
        ),
        _rule(
            "PDR202", "identity",
            "`id` and `hash` are other numbers in another process.",
            "Use a value that is the same everywhere, such as a key or a digest.",
            bad=_body('return hash("order")'),
            good="import hashlib\n\n\n" + _body('return hashlib.sha256(b"order").hexdigest()'),
        ),
        _rule(
            "PDR203", "garbage",
            "When an object is collected is another time at each replay.",
            "Keep what you need; end what you began.",
            bad="import weakref\n\n\n" + _body("return weakref.ref(ctx)"),
            good=_body("return None"),
        ),
        _rule(
            "PDR301", "global-state",
            "Module variables are shared by all runs and lost with the process.",
            "Keep it in local variables or in `ctx.set(...)`.",
            bad="count = 0\n\n\n" + _body("global count", "count += 1", "return count"),
            good=_body("count = 1", "return count"),
        ),
        _rule(
            "PDR302", "mutated-global",
            "What is put into a module's list or dict is seen by other runs, and lost with the process.",
            "Keep it in local variables or in `ctx.set(...)`.",
            bad="seen: list[int] = []\n\n\n" + _body("seen.append(1)", "return len(seen)"),
            good=_body("seen: list[int] = []", "seen.append(1)", "return len(seen)"),
        ),
        _rule(
            "PDR303", "mutable-default",
            "A default list or dict is one for all runs of the process.",
            "Use None or a tuple, and make the list within.",
            bad="@workflow\nasync def example(ctx: Context, seen: list[int] = []) -> object:\n    return seen\n",
            good="@workflow\nasync def example(ctx: Context, seen: tuple[int, ...] = ()) -> object:\n    return seen\n",
        ),
        _rule(
            "PDR304", "code-from-text",
            "What is loaded or compiled at run time may be other code at the next replay.",
            "Import it at the top of the module.",
            bad=_body('return eval("1 + 1")'),
            good=_body("return 1 + 1"),
        ),
        _rule(
            "PDR401", "not-awaited",
            "The call is never made: nothing awaits it.",
            "Write `await` before it, or `asyncio.create_task(...)` around it and await that.",
            bad=_ACTIVITY + _body("step(1)", "return None"),
            good=_ACTIVITY + _body("await step(1)", "return None"),
        ),
        _rule(
            "PDR402", "wrong-arguments",
            "The activity does not take these arguments: the run would fail here.",
            "Give what its function takes.",
            bad=_ACTIVITY + _body("return await step(1, 2)"),
            good=_ACTIVITY + _body("return await step(1)"),
        ),
        _rule(
            "PDR403", "workflow-called",
            "A workflow is started, not called.",
            "Use `await ctx.run_child(workflow, ...)`.",
            bad=_CHILD + _body("return await child(ctx)"),
            good=_CHILD + _body("return await ctx.run_child(child)"),
        ),
        _rule(
            "PDR404", "engine-in-workflow",
            "An engine within a workflow acts again at each replay.",
            "Use the context: `ctx.run_child`, `ctx.signal`.",
            bad="from perdure import Engine\n\n\n" + _body('return Engine("memory:")'),
            good=_body("return ctx.info.id"),
        ),
        _rule(
            "PDR405", "attempt-in-workflow",
            "Attempts and heartbeats are an activity's; here they raise or do nothing.",
            "Call it within the activity.",
            bad="from perdure import heartbeat\n\n\n" + _body("heartbeat(1)", "return None"),
            good="from perdure import heartbeat\n\n\n@activity\ndef work() -> None:\n    heartbeat(1)\n\n\n"
            + _body("return await work()"),
        ),
        _rule(
            "PDR406", "not-a-coroutine",
            "A workflow is an `async def` function: only it can wait durably.",
            "Write `async def`.",
            bad="@workflow\ndef example(ctx: Context) -> object:\n    return 1\n",
            good=_body("return 1"),
        ),
        _rule(
            "PDR407", "no-context",
            "The engine passes the context as the first argument.",
            "Take it: `async def example(ctx: Context, ...)`.",
            bad="@workflow\nasync def example() -> object:\n    return 1\n",
            good=_body("return 1"),
        ),
        _rule(
            "PDR501", "swallowed-cancellation",
            "The run could not be cancelled here.",
            "Catch `Exception`, or raise again after the clean-up.",
            bad=_ACTIVITY + _body("try:", "    return await step(1)", "except BaseException:", "    return None"),
            good=_ACTIVITY + _body("try:", "    return await step(1)", "except Exception:", "    return None"),
        ),
        _rule(
            "PDR502", "endless-loop",
            "A loop without an `await` or an end holds up every run of the process.",
            "Wait in it: for a signal, a timer or an activity.",
            bad=_body("number = 0", "while True:", "    number += 1"),
            good=_body("number = 0", "while number < 9:", "    number += 1", "return number"),
        ),
        _rule(
            "PDR503", "exit",
            "It would end the process with all its runs, at each replay.",
            "Raise an exception: the run fails, and the others go on.",
            bad="import sys\n\n\n" + _body("sys.exit(1)", "return None"),
            good=_body('raise ValueError("no such order")'),
        ),
    )
}  # fmt: skip
"""Every rule by its code."""
