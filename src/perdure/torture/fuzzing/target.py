"""What a target is, and what is demanded of it."""

from collections.abc import Callable

import msgspec

__all__ = ["BrokenLawError", "Target", "demand_equal", "text_of"]


class BrokenLawError(Exception):
    """A decoder gave what it must not."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder. `read` decodes, raises BrokenLawError if the value breaks a law, and else only what is `expected`."""

    name: str
    corpus: Callable[[], list[bytes]]
    read: Callable[[bytes], None]
    expected: tuple[type[Exception], ...] = ()


def demand_equal(again: object, value: object) -> None:
    """Demand that what was read, written and read again is what it was."""
    if again != value:
        raise BrokenLawError(f"{value!r:.100} was written and read again as {again!r:.100}")


def text_of(data: bytes) -> str:
    """Return bytes as the text that a command line makes of them: what is no UTF-8 becomes halves of surrogates."""
    return data.decode("utf-8", "surrogateescape")
