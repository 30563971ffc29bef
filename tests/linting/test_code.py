"""What counts as workflow code, what names mean in it, and what is left alone."""

import textwrap

import pytest

from perdure.linting import Finding, Source, lint

HEADER = "import asyncio\n\nfrom perdure import Context, activity, workflow\n\n\n"


def found(text: str, **others: str) -> list[Finding]:
    """Lint a module, with others of the project."""
    sources = [Source(path="example.py", module="shop.example", text=HEADER + textwrap.dedent(text))]
    sources += [
        Source(path=f"{name}.py", module=f"shop.{name}", text=HEADER + textwrap.dedent(other))
        for name, other in others.items()
    ]
    return lint(sources)


def codes(text: str, **others: str) -> list[str]:
    return [finding.code for finding in found(text, **others)]


def test_only_workflow_code_is_looked_at() -> None:
    text = """
        import time

        @activity
        async def step() -> float:
            return time.time()

        def unrelated() -> float:
            return time.time()

        @workflow
        async def example(ctx: Context) -> float:
            @activity(name="inner")
            def inner() -> float:
                return time.time()

            return await step() + await ctx.side_effect(lambda: time.time(), float) + await ctx.side_effect(time.time)
        """
    assert codes(text) == []


@pytest.mark.parametrize(
    "decorator",
    ["import perdure\n@perdure.workflow", "@workflow(name='other')", "from perdure import workflow as flow\n@flow"],
)
def test_workflows_are_known_however_they_are_decorated(decorator: str) -> None:
    assert codes(f"import time\n{decorator}\nasync def example(ctx):\n    return time.time()\n") == ["PDR101"]


def test_helpers_are_followed_through_the_modules_of_the_project() -> None:
    workflow = """
        from .prices import price as price_of
        from shop import prices

        @workflow
        async def example(ctx: Context) -> float:
            return price_of("a") + prices.tax() + local()

        def local() -> float:
            return 0.0
        """
    prices = """
        import time

        def price(name: str) -> float:
            return _rate() * len(name)

        def tax() -> float:
            return 0.2

        def _rate() -> float:
            return time.time()

        def unused() -> float:
            return time.time()
        """
    [finding] = found(workflow, prices=prices)
    assert (finding.path, finding.line, finding.code, finding.workflow) == ("prices.py", 16, "PDR101", "example")


def test_a_helper_of_two_workflows_is_reported_once() -> None:
    text = """
        import time

        def helper() -> float:
            return time.time() + helper()

        @workflow
        async def one(ctx: Context) -> float:
            return helper()

        @workflow
        async def two(ctx: Context) -> float:
            return helper()
        """
    assert codes(text) == ["PDR101"]


def test_local_names_hide_modules() -> None:
    text = """
        import random
        import time

        @workflow
        async def example(ctx: Context, time: object) -> object:
            random = ctx.random
            open = ctx.get("open", bool)
            return [time.time(), random.random(), open]
        """
    assert codes(text) == []


def test_a_seeded_generator_is_no_chance() -> None:
    text = """
        import random

        @workflow
        async def example(ctx: Context) -> float:
            generator = random.Random(ctx.info.id)
            return generator.random()
        """
    assert codes(text) == []


def test_variables_mean_what_made_them() -> None:
    text = """
        from pathlib import Path

        @workflow
        async def example(ctx: Context, given: Path, text: str) -> str:
            made = Path("a")
            return made.read_text() + given.read_text() + made.name + Path(text).stem
        """
    assert codes(text) == ["PDR106", "PDR106"]


def test_an_error_of_a_package_may_be_named() -> None:
    text = """
        import requests

        @workflow
        async def example(ctx: Context) -> None:
            try:
                await asyncio.sleep(1)
            except requests.HTTPError:
                raise requests.RequestException("again")
        """
    assert codes(text) == []


def test_annotations_are_no_use() -> None:
    text = """
        import random
        import datetime

        @workflow
        async def example(ctx: Context, at: datetime.datetime, seed: "random.Random") -> datetime.date:
            later: datetime.datetime = at + datetime.timedelta(days=1)
            return later.date()
        """
    assert codes(text) == []


@pytest.mark.parametrize(
    "body",
    [
        "names = {1, 2}\n    for name in names: await asyncio.sleep(name)",
        "names = set(given)\n    return list(names)",
        "return [*{1, 2}]",
        "return ','.join({'a', 'b'})",
        "return [name for name in set(given) | {3}]",
        "return {name: 1 for name in frozenset(given)}",
        "names = {1}\n    return names.pop()",
        "return next(iter(set(given)))",
        "return tuple(name for name in {1, 2})",
        "await asyncio.gather(*{asyncio.sleep(1), asyncio.sleep(2)})",
        "return list(set(given).union([1]))",
    ],
)
def test_the_order_of_a_set_is_found(body: str) -> None:
    text = f"@workflow\nasync def example(ctx: Context, given: list[int]):\n    {body}\n"
    assert set(codes(text)) == {"PDR201"}


@pytest.mark.parametrize(
    "body",
    [
        "names = {1, 2}\n    for name in sorted(names): await asyncio.sleep(name)",
        "return len({1, 2}) + max(set(given)) + sum(n for n in {1, 2})",
        "return {name for name in set(given)}",
        "names = {1, 2}\n    names = [1]\n    return list(names)",
        "return 1 in {1, 2} and {1} <= set(given)",
        "return list({1: 2})",
        "names = given\n    return list(names)",
        "given.pop()",
    ],
)
def test_what_does_not_depend_on_the_order_of_a_set_is_not(body: str) -> None:
    assert codes(f"@workflow\nasync def example(ctx: Context, given: list[int]):\n    {body}\n") == []


@pytest.mark.parametrize(
    "call",
    [
        "ctx.sleep(1)",
        "ctx.wait_for(go)",
        "ctx.run_child(example)",
        "asyncio.sleep(1)",
        "step.options(retry=None)(1)",
        "help()",
    ],
)
def test_coroutines_that_nobody_awaits_are_found(call: str) -> None:
    text = f"""
        go = object()

        @activity
        async def step(number: int) -> int:
            return number

        async def help() -> None: ...

        @workflow
        async def example(ctx: Context) -> None:
            {call}
        """
    assert codes(text) == ["PDR401"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("step()", "lacks 'one'"),
        ("step(1, 2, 3, key=4)", "takes 2 arguments, 3 are given"),
        ("step(1)", "lacks 'key'"),
        ("step(1, key=2, other=3)", "has no parameter 'other'"),
        ("step.options(priority='high')(key=1)", "lacks 'one'"),
    ],
)
def test_arguments_that_an_activity_does_not_take_are_named(call: str, says: str) -> None:
    text = f"""
        @activity
        async def step(one: int, two: int = 2, *, key: int) -> int:
            return one

        @workflow
        async def example(ctx: Context, *numbers: int, **named: int) -> None:
            await step(1, key=2)
            await step(1, 2, key=2)
            await step(*numbers, key=1)
            await step(1, **named)
            await {call}
        """
    [finding] = found(text)
    assert (finding.code, finding.message) == ("PDR402", f"step() {says}")


def test_cleaning_up_is_not_swallowing() -> None:
    text = """
        @workflow
        async def example(ctx: Context) -> None:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                await asyncio.sleep(2)
                raise
            try:
                await asyncio.sleep(1)
            except (ValueError, asyncio.CancelledError):
                pass
            try:
                await asyncio.sleep(1)
            except:
                pass
        """
    assert codes(text) == ["PDR501", "PDR501"]


def test_module_variables_that_are_only_read_are_fine() -> None:
    text = """
        LIMITS = {"a": 1}

        @workflow
        async def example(ctx: Context) -> int:
            own = dict(LIMITS)
            own.update(b=2)
            own["c"] = 3
            return LIMITS["a"] + LIMITS.get("b", 0)

        @workflow
        async def changing(ctx: Context) -> None:
            LIMITS["b"] = 2
            LIMITS.update(c=3)
            del LIMITS["a"]
        """
    assert codes(text) == ["PDR302", "PDR302", "PDR302"]


def test_suppressions_need_a_code_and_a_reason_and_must_be_of_use() -> None:
    text = """
        import time

        @workflow
        async def example(ctx: Context) -> float:
            # perdure: allow PDR101 the line below
            one = time.time()
            two = time.time()  # perdure: allow PDR101, PDR102 for a reason
            three = time.time()  # perdure: allow PDR101
            four = time.time()  # noqa: PDR101
            five = time.time()  # noqa: F401, PDR101
            return one + two + three + four + five  # perdure: allow PDR777 no such rule
        """
    assert [(each.code, each.message) for each in found(text)] == [
        ("PDR002", "PDR102"),
        ("PDR101", "time.time"),
        ("PDR001", "no reason is given for PDR101"),
        ("PDR001", "there is no rule PDR777"),
    ]


def test_what_cannot_be_parsed_is_said_and_the_others_are_checked() -> None:
    findings = found("def broken(:\n", other="import time\n@workflow\nasync def w(ctx):\n    return time.time()\n")
    assert [(each.path, each.code) for each in findings] == [("example.py", "PDR000"), ("other.py", "PDR101")]


def test_places_are_those_that_editors_count() -> None:
    [finding] = lint(
        [
            Source(
                path="example.py",
                module="example",
                text="import time, perdure\n\n\n\n@perdure.workflow\nasync def w(ctx):\n    return time.time()\n",
            )
        ]
    )
    assert (finding.line, finding.column, finding.end_line, finding.end_column) == (7, 12, 7, 21)


def test_an_allowance_that_hides_nothing_is_found_in_either_form() -> None:
    text = """
        @workflow
        async def example(ctx: Context) -> object:
            one = ctx.now()  # noqa: PDR101
            two = ctx.now()  # noqa: F841, PDR102
            three = ctx.now()  # noqa: E501
            four = ctx.now()  # noqa: PDR999
            return one, two, three, four
        """
    assert [(each.code, each.line) for each in found(text)] == [("PDR002", 9), ("PDR002", 10), ("PDR001", 12)]


@pytest.mark.parametrize(
    "given", ["workflow(example)", "workflow(version='2')(example)", "workflow(name='x')(example)"]
)
def test_a_workflow_may_be_given_to_its_decorator_by_name(given: str) -> None:
    text = f"import time\n\nasync def example(ctx):\n    return time.time()\n\nmade = {given}\n"
    assert codes(text) == ["PDR101"]
    assert codes(text.replace("workflow(", "print(", 1)) == []


def test_the_context_is_no_part_of_arguments_that_are_taken_together() -> None:
    assert codes("@workflow\nasync def example(*args):\n    pass\n") == ["PDR407"]
    assert codes("@workflow\nasync def example(ctx, *args):\n    pass\n") == []
