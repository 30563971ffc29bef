"""Statements whose conditions depend on what is asked for."""

from typing import Any

__all__ = ["Conditions"]


class Conditions:
    """The conditions of a statement, and its parameters."""

    def __init__(self) -> None:
        """Begin with none."""
        self._texts: list[str] = []
        self.parameters: list[Any] = []  # Any: of all types that the server takes

    def demand(self, condition: str, *values: object) -> None:
        """Add a condition, in which `{}` stands for each value."""
        self._texts.append(condition.format(*map(self.bind, values)))

    def bind(self, value: object) -> str:
        """Return how a text names one more parameter. Texts are escaped: without a word the server takes them as they
        are, whatever they are compared with."""
        self.parameters.append(value)
        cast = ""
        if isinstance(value, str):
            cast = "::varchar"
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            cast = "::varchar[]"
        return f"${len(self.parameters)}{cast}"

    @property
    def where(self) -> str:
        """All conditions."""
        return f"WHERE {' AND '.join(self._texts)}" if self._texts else ""
