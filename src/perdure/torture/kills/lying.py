"""Controls: stores that lie. Each is another store, but for what it lies about."""

from typing import Any, Final, cast

from perdure.ports.store import RunStore

__all__ = ["LyingStore"]


class LyingStore:
    """Whatever a store has, without naming it; its subclasses say what is not so."""

    def __init__(self, store: RunStore) -> None:
        """Lie about `store`."""
        self.truth: Final = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has under the name
        return getattr(self.truth, name)

    def as_store(self) -> RunStore:
        """Return this as the engine takes it."""
        return cast("RunStore", self)
