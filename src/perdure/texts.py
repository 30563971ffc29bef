r"""Texts of unknown origin, made harmless before anybody reads them: in a terminal, a log, an error.

`printable` is for one line of a terminal or a log, `indented` for a text of several lines, `json_escaped`
for JSON that may be shown by a terminal. They escape what a terminal would obey instead of show, and what would make
one line look like two: control characters, overrides of direction, invisible and unassigned characters, ends of lines.
Secrets are another matter: `perdure.redaction`.
"""

from typing import Final

__all__ = ["indented", "json_escaped", "printable"]


def printable(text: str) -> str:
    r"""Return `text` on one line, with everything escaped that a terminal would obey instead of show.

    >>> printable("order\x1b[2J\u202e1")
    'order\\x1b[2J\\u202e1'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def indented(text: str) -> str:
    r"""Return a text of several lines, each printable, all but the first indented: none can pass for a new beginning.

    Lines that are indented already stay as they are.

    >>> indented("it failed\n  File \"a.py\", line 1\nERROR forged\r")
    'it failed\n  File "a.py", line 1\n    ERROR forged\\r'
    """
    if text.isprintable():
        return text
    first, *others = text.split("\n")
    return "\n".join([printable(first), *(_indented_line(printable(line)) for line in others)])


def _indented_line(line: str) -> str:
    return line if not line or line.startswith(" ") else f"{_INDENT}{line}"


_INDENT: Final = "    "


def json_escaped(text: str) -> str:
    r"""Return JSON of the same value, in which every character is printable; ends of lines between tokens stay.

    >>> json_escaped('{"id":"\u202e\x9b1m \U000e0041"}')
    '{"id":"\\u202e\\u009b1m \\udb40\\udc41"}'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else _in_json(c) for c in text)


def _in_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
