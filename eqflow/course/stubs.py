"""A solution without its bodies: what a student fills in."""

from __future__ import annotations

import ast
import io
import tokenize

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def stub(source: str, number: str) -> str:
    """A solution cell with every body replaced by ``raise NotImplementedError("Exercise 12.2: ...")``.

    Imports, decorators, signatures, docstrings and the annotated fields of classes stay, as they are written;
    comments go.

    Raises:
        ValueError: the cell does more than import and define.
    """
    parts, lines = [], source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            parts.append(ast.unparse(node))
        elif isinstance(node, _FUNCTIONS):
            parts.append("\n\n" + _function(lines, node, number, node.name))
        elif isinstance(node, ast.ClassDef):
            parts.append("\n\n" + _class(lines, node, number))
        else:
            raise ValueError(f"expected imports and definitions in a solution; got {ast.unparse(node)!r}")
    return "\n".join(parts).strip("\n")


def _function(lines: list[str], node, number: str, name: str) -> str:
    indent = " " * (node.col_offset + 4)
    text = f'raise NotImplementedError("Exercise {number}: write {name}")'
    return "\n".join([*_header(lines, node), *_docstring(lines, node, indent), indent + text])


def _class(lines: list[str], node: ast.ClassDef, number: str) -> str:
    kept = [*_header(lines, node), *_docstring(lines, node, "    ")]
    inside = node.body[1:] if ast.get_docstring(node) else node.body
    fields = [lines[n.lineno - 1 : n.end_lineno] for n in inside if isinstance(n, ast.AnnAssign)]
    kept += [line for field in fields for line in field]
    for method in inside:
        if isinstance(method, _FUNCTIONS):
            kept += ["", _function(lines, method, number, f"{node.name}.{method.name}")]
    return "\n".join(kept)


def _header(lines: list[str], node) -> list[str]:
    """From the first decorator to the colon that ends the signature."""
    begin = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
    text = "\n".join(lines[begin : node.end_lineno]) + "\n"
    depth, defined = 0, False
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        defined |= token.type == tokenize.NAME and token.string in ("def", "class") and not depth
        if defined and token.type == tokenize.OP and token.string == ":" and not depth:
            row, column = token.end
            header = text.splitlines()[:row]
            return [*header[:-1], header[-1][:column]]
    raise AssertionError(f"no colon ends {node.name}")  # ast.parse has seen one


def _docstring(lines: list[str], node, indent: str) -> list[str]:
    if ast.get_docstring(node) is None:
        return []
    first = node.body[0]
    if not lines[first.lineno - 1][: first.col_offset].strip():
        return lines[first.lineno - 1 : first.end_lineno]
    return [f"{indent}{ast.unparse(first)}"]  # on the line of the signature
