"""Workflows by name, and their arguments, as a command line gives them."""

from typing import Any

import msgspec

from perdure.authoring.registry import default_registry
from perdure.authoring.workflow import Workflow
from perdure.cli.code import import_module
from perdure.cli.json_values import read_json
from perdure.errors import InvalidArgumentError, PayloadDecodeError, UsageError
from perdure.kernel.payload import Payload

__all__ = ["arguments_of", "find_workflow", "labels_of"]


def find_workflow(name: str, *, apps: tuple[str, ...]) -> Workflow[*tuple[Any, ...], Any]:
    """Import modules and return the workflow of this name. Raises UsageError."""
    for app in apps:
        import_module(app, asked_by=f"--app {app}")
    if not apps and default_registry.find_newest(name) is None:
        message = f"--app names the module that defines the workflow {name!r}; for example --app orders.workflows"
        raise UsageError(message)
    return default_registry.workflow(name)


def arguments_of(workflow: Workflow[*tuple[Any, ...], Any], texts: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the arguments of a workflow, given in JSON, as its annotations say. Raises UsageError."""
    values = [read_json(text, "the argument") for text in texts]
    try:
        args, _ = workflow.signature.decode_arguments(Payload(msgspec.json.encode(values)))
    except PayloadDecodeError as error:
        raise InvalidArgumentError(str(error).replace("recorded ", "")) from error
    return args


def labels_of(texts: tuple[str, ...]) -> dict[str, str]:
    """Return labels that are given as ``NAME=VALUE``. Raises InvalidArgumentError."""
    pairs = [(text, *text.partition("=")) for text in texts]
    for text, name, equals, _ in pairs:
        if not name or not equals:
            message = f"--label {text!r} is not of the form NAME=VALUE"
            raise InvalidArgumentError(message)
    return {name: value for _, name, _, value in pairs}
