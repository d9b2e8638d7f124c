"""The page "API": `site/api/PACKAGE.md` names each public symbol once, under ### with its tested example.

Here the examples are read (for the tests), and put under what autodoc says (for the site).
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "api"
PACKAGES = ("symmetry", "motion", "density", "data")
START = {"density": ("NormalizingFlow", "GCoupling", "fit")}  # of a long list, what to read first
SYMBOL = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"```pycon\n(.*?)```", re.DOTALL)


def examples(package: str) -> dict[str, str]:
    """Symbol -> its example, as a doctest.

    Raises:
        ValueError: a symbol comes twice, or without an example.
    """
    found = {}
    for name, body in SYMBOL.findall((FOLDER / f"{package}.md").read_text(encoding="utf-8")):
        text = "\n".join(FENCE.findall(body))
        if name in found or ">>>" not in text:
            raise ValueError(f"expected one section with an example for {name} in site/api/{package}.md")
        found[name] = text
    return found


def page(package: str) -> str:
    """The package's page for Sphinx: signature, docstring, example, and the notebooks that use it."""
    text = (FOLDER / f"{package}.md").read_text(encoding="utf-8")
    module = importlib.import_module(f"eqflow.{package}")

    def section(match: re.Match) -> str:
        name, body = match.groups()
        full = f"eqflow.{package}.{name}"
        return (
            f"### {name}\n\n{_documented(full, getattr(module, name))}\n**Example**\n{body}\n{_uses(full)}\n"
        )

    return SYMBOL.sub(section, text)


def _documented(full: str, thing: object) -> str:
    if inspect.isclass(thing):
        lines = [f".. autoclass:: {full}", "   :members:"]
    elif callable(thing):
        lines = [f".. autofunction:: {full}"]
    else:
        lines = [f".. py:data:: {full}", f"   :value: {thing!r}"]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```\n"


def _uses(full: str) -> str:
    lines = [f".. autolink-examples:: {full}", "   :collapse:"]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```\n"


def index() -> str:
    """The page that lists all."""
    text = (
        "# API\n\nThe public surface, from the docstrings. Every example is run by the tests; names in the "
    )
    text += "code of the notebooks lead here, and from here back to the pages that use them.\n\n"
    for package in PACKAGES:
        module = importlib.import_module(f"eqflow.{package}")
        summary = inspect.getdoc(module).splitlines()[0].replace("`", "")
        text += f"## [eqflow.{package}]({package}.md)\n\n{summary}\n\n"
        names = (f"{{py:obj}}`{name} <eqflow.{package}.{name}>`" for name in examples(package))
        first = (f"{{py:obj}}`{name} <eqflow.{package}.{name}>`" for name in START.get(package, ()))
        text += f"Start here: {', '.join(first)}.\n\n" if package in START else ""
        text += " · ".join(names) + "\n\n"
    return text + "```{toctree}\n:hidden:\n\n" + "\n".join(PACKAGES) + "\n```\n"
