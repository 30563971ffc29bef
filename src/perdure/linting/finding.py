"""What the linter found, and where."""

import ast

import msgspec

__all__ = ["Finding", "finding_at"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One finding. Lines count from 1, columns from 1 as editors do; `end_column` is the first one after it.

    `workflow` is the workflow whose code it is, or that calls it.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    code: str
    message: str
    workflow: str = ""


def finding_at(node: ast.expr | ast.stmt | ast.excepthandler | ast.arg, code: str, message: str) -> Finding:
    """Return a finding at a node; whoever knows them fills in path and workflow."""
    return Finding(
        path="",
        line=node.lineno,
        column=node.col_offset + 1,
        end_line=node.end_lineno or node.lineno,
        end_column=(node.end_col_offset or node.col_offset) + 1,
        code=code,
        message=message,
    )
