"""What is written to the terminal: text made harmless, tables, progress bars, JSON."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from perdure.kernel.decoding import UNDECODABLE
from perdure.redaction import has_secrets, masked, redacted
from perdure.texts import indented, json_escaped
from perdure.texts import printable as escaped

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "answer_line",
    "complain",
    "json_text",
    "leniently_read",
    "make_console",
    "make_table",
    "print_for_people",
    "print_json",
    "print_json_line",
    "printable",
    "progress_bar",
    "progress_shown",
    "shortened",
    "sized_progress_shown",
    "status_text",
    "verbatim",
    "words",
]

_STATUS_STYLES: Final = {
    "completed": "green",
    "failed": "bold red",
    "terminated": "red",
    "cancelled": "yellow",
    "suspended": "magenta",
    "parked": "bold red",
    "running": "cyan",
    "created": "dim",
    "continued": "blue",
}
_PIPED_WIDTH_COLUMNS: Final = 4_000
"""Lines for a program or a file are not cut to the width of a screen that is not there."""


def printable(text: str) -> str:
    """Return text of unknown origin on one line, with nothing that a terminal would obey, and no secrets."""
    return escaped(redacted(text))


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`, an ellipsis in place of the rest."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def words(text: str, style: str = "") -> "Text":
    """Return text of unknown origin for a table: printable, and never read as markup."""
    from rich.text import Text

    return Text(printable(text), style=style)


def status_text(status: str) -> "Text":
    """Return a status in its colour."""
    return words(status, _STATUS_STYLES.get(status, ""))


def progress_bar(progress: float, *, width: int = 10) -> str:
    """Return progress (0 to 1) as a bar of `width` characters and a percentage."""
    full = int(progress * width)
    try:
        "█░".encode(sys.stdout.encoding or "ascii")
        bar = "█" * full + "░" * (width - full)
    except UnicodeEncodeError:
        bar = "#" * full + "." * (width - full)
    return f"{bar} {progress:4.0%}"


def make_console(*, stderr: bool = False) -> "Console":
    """Return where to print: as wide as the terminal, or as wide as it takes where there is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPED_WIDTH_COLUMNS
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=not stream.isatty())


def verbatim(text: str) -> "Text":
    """Return a line that is to be copied: the terminal may wrap it, we do not."""
    from rich.text import Text

    return Text(printable(text), no_wrap=True)


def make_table(*headings: str, title: str | None = None) -> "Table":
    """Return an empty table with these columns; numbers are set to the right by their heading's leading ``>``."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD if sys.stdout.isatty() else None,
        title=title,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        show_edge=False,
        collapse_padding=sys.stdout.isatty(),
    )
    for heading in headings:
        table.add_column(
            heading.lstrip(">"),
            justify="right" if heading.startswith(">") else "left",
            overflow="fold",
        )
    return table


def print_for_people(*parts: "RenderableType") -> None:
    """Print to standard output; where it is no terminal, without the blanks that fill up lines."""
    console = make_console()
    if console.is_terminal:
        _print_all(console, parts)
        return
    with console.capture() as capture:
        _print_all(console, parts)
    print("\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines()))


def _print_all(console: "Console", parts: "tuple[RenderableType, ...]") -> None:
    for part in parts:
        console.print(part, soft_wrap=getattr(part, "no_wrap", None) is True)


@contextmanager
def progress_shown(title: str, total: int, *, after_seconds: float = 0.5) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far something is that takes longer; yields what is told the number done so far."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=make_console(stderr=True), transient=True)
    task, begun_at = progress.add_task(title, total=total), time.monotonic()

    def tell(done: int) -> None:
        progress.update(task, completed=done)
        if not progress.live.is_started and time.monotonic() - begun_at >= after_seconds:
            progress.start()

    try:
        yield tell
    finally:
        if progress.live.is_started:
            progress.stop()


@contextmanager
def sized_progress_shown(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far something is whose size is known only when it has begun."""
    with ExitStack() as stack:
        shown: list[Callable[[int], None]] = []

        def tell(done: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(progress_shown(title, total)))
            shown[0](done)
            if done >= total:
                shown.clear()
                stack.close()

        yield tell


def print_json(value: object, *, is_answer: bool = False) -> None:
    """Print one value for programs: without secrets, unless it is the answer to the question for just this value."""
    print(json_text(value, is_answer=is_answer))


def json_text(value: object, *, is_answer: bool = False) -> str:
    """Return one value as programs read it; see `print_json`."""
    return json_escaped(msgspec.json.format(_shown_json(value, is_answer=is_answer), indent=2))


def _shown_json(value: object, *, is_answer: bool) -> str:
    text = _json(value)
    return text if is_answer or not has_secrets(text) else _json(masked(leniently_read(text.encode())))


def _json(value: object) -> str:
    """Return JSON in which nothing is no text, as it may be in a payload that was damaged."""
    return msgspec.json.encode(value).decode("utf-8", "replace")


def answer_line(value: object) -> str:
    """Return the answer to a question for just this value as JSON on one line: nothing in it is hidden."""
    return escaped(_json(value))


def leniently_read(encoded: bytes) -> Any:  # noqa: ANN401 - any value of JSON
    """Return the value of JSON; in what nobody of ours has written, what is no text or too large a number as it is."""
    try:
        return msgspec.json.decode(encoded)
    except UNDECODABLE:
        import json

        text = encoded.decode("utf-8", "replace")
        return json.loads(text, parse_float=_number, parse_int=_number)


def _number(digits: str) -> msgspec.Raw:
    return msgspec.Raw(digits.encode())


def print_json_line(value: object, *, is_answer: bool = False) -> None:
    """Print one value for programs on one line; see `print_json`. An answer can be read back as it was."""
    print(json_escaped(_shown_json(value, is_answer=is_answer)))


def complain(message: str, *, command: str = "") -> None:
    """Print an error. Its lines after the first are indented: none of them can pass for another message."""
    prefix = f"perdure {command}".strip()
    print(f"{printable(prefix)}: {indented(redacted(message))}", file=sys.stderr)
