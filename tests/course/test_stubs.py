"""A stub has its solution's signature and docstring, and nothing of its body."""

from __future__ import annotations

import ast
import inspect

import pytest

from eqflow.course import cells
from eqflow.course.stubs import stub
from tests.course.masters import PATHS, WITH_EXERCISES, bodies, parts

SOURCES = {
    "plain": '''
def f(x, y=2):
    """Of x (B, C)."""
    return x + y  # the secret
''',
    "over several lines": '''
def f(
    x,
    *,
    y={"a": lambda v: v},  # why
):
    """D."""

    # how
    return x
''',
    "annotated": '''
def f(x: dict[str, int]) -> tuple[int, ...]:
    """D.

    More.
    """
    z = x
    return z
''',
    "on one line": "def f(x): return x * 17",
    "docstring on the line": 'def f(x): "D."; return x * 17',
    "decorated": '''
import functools


@functools.cache
def f(x):
    """D."""
    return x * 17
''',
    "class": '''
class F:
    """D."""

    a: int = 3
    b = 17

    def __init__(self, x):
        """D."""
        self.x = x

    @property
    def y(self) -> int:
        return self.x * 17
''',
    "nested": '''
def f(x):
    """D."""

    def g(y: int = 4):
        """Secret."""
        return y

    return g(x)
''',
}


def signatures(source: str) -> dict:
    """Name -> (arguments, returns, decorators, docstring) of every function outside of functions."""
    found = {}

    def visit(nodes, prefix):
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                found[prefix + node.name] = ([*map(ast.unparse, node.bases)], ast.get_docstring(node))
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                about = [ast.unparse(node.args), node.returns and ast.unparse(node.returns)]
                about += [[*map(ast.unparse, node.decorator_list)], ast.get_docstring(node)]
                found[prefix + node.name] = about

    visit(ast.parse(source).body, "")
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_signature_and_docstring_stay_and_the_body_goes(name):
    source = SOURCES[name]
    made = stub(source, "12.2")
    assert signatures(made) == signatures(source)
    assert "secret" not in made.lower() and "17" not in made and "# " not in made.replace("# why", "")
    assert not bodies(source) & {line.strip() for line in made.splitlines()}


def test_a_stub_says_which_exercise_it_is():
    namespace: dict = {}
    exec(stub(SOURCES["plain"], "12.2"), namespace)
    with pytest.raises(NotImplementedError, match=r"Exercise 12\.2: write f"):
        namespace["f"](1)
    exec(stub(SOURCES["class"], "12.2"), namespace)
    with pytest.raises(NotImplementedError, match=r"write F\.__init__"):
        namespace["F"](1)
    assert list(inspect.signature(namespace["F"]).parameters) == ["x"]


def test_what_does_more_than_define_has_no_stub():
    with pytest.raises(ValueError, match="x = 3"):
        stub("x = 3\n\n\ndef f():\n    return x", "12.2")


@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_stubs_of_all_solutions(name):
    for part in parts(name):
        for cell in part.cells["solution"]:
            made = stub(cell.source, part.number)
            assert signatures(made) == signatures(cell.source) != {}
            assert not bodies(cell.source) & {line.strip() for line in made.splitlines()}
    assert cells.read(PATHS[name]).cells
