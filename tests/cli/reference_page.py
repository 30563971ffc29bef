"""The part of docs/reference/cli.md that says what each command takes, as the parser knows it.

``uv run python -m tests.cli.reference_page`` writes it after a change; a test compares.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App
from cyclopts.argument import Argument

from perdure.cli.application import make_application

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
BEGINNING = "\n## `perdure demo`\n"


def commands_as_markdown() -> str:
    """Return a section for each command."""
    return "\n".join(line for section in _sections() for line in section) + "\n"


def whole_page() -> str:
    """Return the page with its prose as it is and its sections as they should be."""
    prose = PAGE.read_text(encoding="utf-8").partition(BEGINNING)[0]
    return prose.rstrip("\n") + "\n\n" + commands_as_markdown()


def _sections() -> Iterator[list[str]]:
    for name, command in _commands(make_application()):
        shown = [argument for argument in command.assemble_argument_collection() if argument.show]
        positional = [argument for argument in shown if not argument.names[0].startswith("--")]
        options = [argument for argument in shown if argument.names[0].startswith("--")]
        usage = " ".join(["perdure", name, *(_usage(argument) for argument in positional), "[OPTIONS]"])
        yield [f"## `perdure {name}`", "", inspect.getdoc(command.default_command) or "", "", f"`{usage}`", ""]
        yield ["| argument | default | meaning |", "|---|---|---|"]
        yield [_row(argument) for argument in (*positional, *options)]
        yield [""]


def _commands(application: App, prefix: str = "") -> Iterator[tuple[str, App]]:
    """Yield every command with its whole name, those of a group in the group's place."""
    for name in (name for name in application if not name.startswith("-")):
        command = application[name]
        if command.default_command is None:
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _usage(argument: Argument) -> str:
    name = argument.names[0]
    return name if argument.required else f"[{name}]"


def _row(argument: Argument) -> str:
    default = argument.field_info.default
    shown = f"`{default}`" if isinstance(default, int | str) and not isinstance(default, bool) and default else ""
    environment = "".join(f" Environment: `{name}`." for name in argument.parameter.env_var or ())
    return f"| `{argument.names[0]}` | {shown} | {argument.parameter.help}{environment} |"


if __name__ == "__main__":
    PAGE.write_text(whole_page(), encoding="utf-8")
