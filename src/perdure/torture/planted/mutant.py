"""What a planted bug is."""

import msgspec

__all__ = ["Mutant", "Patch"]


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a text: in `module` of Perdure `old`, which stands there once, becomes `new`."""

    module: str
    old: str
    new: str


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A bug: in `module` of Perdure the text `old`, which stands there once, becomes `new`.

    `breaks` is the promise that no longer holds, by its number in docs/design/promises.md. `workloads` are those in
    which the bug shows soonest; without any all are tried. `tool` must find it. `also`: what is changed besides, such
    as the other store, so that it is not found by the difference between the two. `on_postgres`: the tool is to
    try a server.
    """

    name: str
    breaks: str
    module: str
    old: str
    new: str
    workloads: tuple[str, ...] = ()
    tool: str = "sim"
    on_postgres: bool = False
    also: tuple[Patch, ...] = ()

    @property
    def patches(self) -> tuple[Patch, ...]:
        """All that is changed."""
        return (Patch(module=self.module, old=self.old, new=self.new), *self.also)

    def __str__(self) -> str:
        """Render as one line."""
        return f"{self.name} (breaks {self.breaks})"
