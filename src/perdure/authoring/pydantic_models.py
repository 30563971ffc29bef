"""pydantic models at the boundary: the only file that knows pydantic, which is never imported from here.

A class can only be a model when the user's code has imported pydantic already, so it is looked up among the loaded
modules. A model is recorded as pydantic's own JSON (its serializers and aliases hold) and read back by its own
validation in JSON mode, so that a strict model accepts what it wrote.
"""

# pydantic is not a dependency, so its classes have no type here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import sys
from typing import Any, Final

__all__ = [
    "ASTERISKS",
    "ModelMisfitError",
    "dump_model",
    "is_model",
    "is_model_class",
    "is_secret",
    "load_model",
    "model_fields",
    "set_field",
]


ASTERISKS: Final = b'"**********"'
"""As which pydantic writes a secret."""


class ModelMisfitError(ValueError):
    """JSON does not fit a model. `path` leads from the model to the field (``.address.zip``), `what` is wrong there."""

    def __init__(self, *, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


def is_model_class(cls: type) -> bool:
    """Tell whether a class is a pydantic model."""
    main = sys.modules.get("pydantic.main")
    return main is not None and issubclass(cls, main.BaseModel)


def is_model(value: object) -> bool:
    """Tell whether a value is an instance of a pydantic model."""
    return is_model_class(type(value))


def is_secret(value: object) -> bool:
    """Tell whether a value is one of pydantic's secrets, which say asterisks instead of themselves."""
    types = sys.modules.get("pydantic.types")
    return types is not None and isinstance(value, types.SecretStr | types.SecretBytes)


def dump_model(model: Any) -> bytes:  # noqa: ANN401 - pydantic is not a dependency, so its classes have no name here
    """Write a model as JSON by its own serializers. Raises what they raise."""
    serializer = type(model).__pydantic_serializer__
    # Sets stand as sorted lists here, of which the serializer would warn; the reading back proves the result.
    encoded: bytes = serializer.to_json(model, by_alias=True, round_trip=True, warnings="none")
    return encoded


def load_model(cls: Any, encoded: bytes) -> object:  # noqa: ANN401 - as above
    """Read a model of class `cls` from JSON. Raises ModelMisfitError naming the first field that does not fit."""
    error_class = sys.modules["pydantic_core"].ValidationError
    try:
        model: object = cls.model_validate_json(encoded)
    except error_class as error:
        faults = error.errors(include_url=False)
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in faults[0]["loc"])
        raise ModelMisfitError(path=path, what=_describe_fault(faults)) from error
    return model


def model_fields(model: Any) -> dict[str, object]:  # noqa: ANN401 - as above
    """Give a model's fields, declared and extra, with their values."""
    return {**model.__dict__, **(model.__pydantic_extra__ or {})}


def set_field(model: Any, name: str, value: object) -> None:  # noqa: ANN401 - as above
    """Set a field of a private copy of a model, frozen or not, without validation."""
    target = model.__dict__ if name in model.__dict__ else model.__pydantic_extra__
    target[name] = value


def _describe_fault(faults: list[dict[str, Any]]) -> str:
    first = faults[0]
    what: str = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] != "missing":
        what = f"{what}, got {type(first['input']).__name__}"
    return what if len(faults) == 1 else f"{what} (and {len(faults) - 1} more)"
