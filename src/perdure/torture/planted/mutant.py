"""What a planted bug is."""

import msgspec

__all__ = ["Mutant"]


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A bug: in `module` of Perdure the text `old`, which stands there once, becomes `new`.

    `breaks` is the promise that no longer holds, by its number in docs/design/promises.md. `workloads` are those in
    which the bug shows soonest; without any all are tried. `tool` must find it.
    """

    name: str
    breaks: str
    module: str
    old: str
    new: str
    workloads: tuple[str, ...] = ()
    tool: str = "sim"

    def __str__(self) -> str:
        """Render as one line."""
        return f"{self.name} (breaks {self.breaks})"
