"""What code a run depends on: a static walk over imports, hashed without prose.

Nothing is imported and comments, docstrings and blank lines do not count, so that a better explanation does
not train anything again. Names are followed through a package's `__init__` to the module that defines them: a
run depends on the files that it uses, not on their neighbours.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def without_prose(source: str) -> str:
    """Python source without comments, docstrings and blank lines; the same on every supported Python.

    The text itself is cut, as the syntax tree and the tokens differ between versions.
    """
    lines = source.splitlines()
    tree = ast.parse(source)
    cuts = []  # (first line, column, last line, column), characters
    literal = set()  # lines inside a string of several lines: their blanks are data
    for node in ast.walk(tree):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno > node.lineno:
            literal |= set(range(node.lineno, node.end_lineno + 1))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                begin = len(lines[first.lineno - 1].encode()[: first.col_offset].decode())
                end = len(lines[first.end_lineno - 1].encode()[: first.end_col_offset].decode())
                cuts.append((first.lineno, begin, first.end_lineno, end))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            cuts.append((*token.start, *token.end))
    for top, begin, bottom, end in sorted(cuts, reverse=True):
        head, tail = lines[top - 1][:begin], lines[bottom - 1][end:]
        lines[top - 1 : bottom] = [head + tail] + [""] * (bottom - top)
        literal -= set(range(top, bottom + 1))
    kept = [
        line if number in literal else line.rstrip()
        for number, line in enumerate(lines, 1)
        if number in literal or line.strip(" \t;")
    ]
    return "\n".join(kept)


def hash_of(path: Path) -> str:
    """Of a file's code; "gone" where there is no such file."""
    if not path.exists():
        return "gone"
    return hashlib.sha256(without_prose(path.read_text(encoding="utf-8")).encode()).hexdigest()[:16]


def _find(module: str) -> Path | None:
    """The file of a module, found without running it (only its top-level package is looked up)."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    if not rest:
        return path
    path = path.parent.joinpath(*rest)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _analysed(
    path: Path, modified: int, module: str
) -> tuple[str, tuple[tuple[str, str | None, str | None], ...]]:
    """(hash, imports) of a file; an import is (module, name or None, name here)."""
    source = path.read_text(encoding="utf-8")
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return hash_of(path), tuple(_imports(source, package))


def _imports(source: str, package: str) -> list[tuple[str, str | None, str | None]]:
    imports = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imports += [(alias.name, None, alias.asname) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            target = ".".join(parents + ([node.module] if node.module else []))
            imports += [(target, alias.name, alias.asname or alias.name) for alias in node.names]
    return imports


def imports_of(source: str, top: str) -> list[str]:
    """The modules of the package `top` that a notebook's cell uses; none if it is not Python (it fails)."""
    from IPython.core.inputtransformer2 import TransformerManager  # late: training needs no IPython

    try:
        imports = _imports(TransformerManager().transform_cell(source), "")
    except SyntaxError:
        return []
    return [_resolve(target, name) for target, name, _ in imports if target.split(".")[0] == top]


def _look(module: str) -> tuple[Path, str, tuple] | None:
    path = _find(module)
    return None if path is None else (path, *_analysed(path, path.stat().st_mtime_ns, module))


def _resolve(module: str, name: str | None) -> str:
    """The module that defines `name` of `module`, followed through re-exports in `__init__` files."""
    if name is None or name == "*":
        return module
    if _find(f"{module}.{name}"):
        return f"{module}.{name}"
    found = _look(module)
    if found and found[0].name == "__init__.py":
        for target, original, here in found[2]:
            if here == name and original is not None and target != module:
                return _resolve(target, original)
    return module


def code_of(modules: Iterable[str]) -> dict[str, str]:
    """Path (from the folder that holds the package) -> hash, of `modules` and all they import of their
    packages."""
    todo, code, seen = list(modules), {}, set()
    tops = {module.split(".")[0] for module in todo}
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        found = _look(module)
        if found is None:
            raise ModuleNotFoundError(f"expected a module of the package; got {module!r}")
        path, digest, imports = found
        root = path.parents[module.count(".") + (path.name == "__init__.py")]
        code[path.relative_to(root).as_posix()] = digest
        todo += [_resolve(target, name) for target, name, _ in imports if target.split(".")[0] in tops]
    return dict(sorted(code.items()))
