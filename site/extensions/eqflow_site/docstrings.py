"""Docstrings are written for a terminal; here what reStructuredText would misread is escaped.

|V| and |G| are sizes, not substitutions; *args is an argument, not emphasis.
"""

from __future__ import annotations

import functools
import inspect
import re

from docutils import nodes
from sphinx_codeautolink.extension.backref import SummaryNode

BAR = re.compile(r"(?<!\\)\|")
STAR = re.compile(r"(?<![\w*\\])(\*{1,2})(?=[a-zA-Z_]\w*[,:)\s]|[a-zA-Z_]\w*$)")
LETTER = re.compile(r"(?<=: )([A-Za-z])\.(?=$| )")  # "channels: C." is no list


NAME = re.compile(r"(?<![`:\w])`(\w+)`(?!_)")


def linked(line: str, public: dict[str, str]) -> str:
    """`GCoupling` leads to its page from any package: ``public`` is name -> full name."""
    return NAME.sub(lambda m: f":py:obj:`{m[1]} <{public[m[1]]}>`" if m[1] in public else m[0], line)


def escaped(lines: list[str]) -> list[str]:
    """Lines of a docstring with bars and lone stars escaped; literal and math blocks stay as they are."""
    done, literal = [], None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None:
            parts = re.split(r"(``.*?``|`[^`]*`)", line)
            parts[::2] = [STAR.sub(_star(line), BAR.sub(r"\\|", p)) for p in parts[::2]]
            changed = LETTER.sub(r"\1\\.", "".join(parts))
            if line.rstrip().endswith("::") or line.lstrip().startswith(".. math::"):
                literal = indent
            done.append(changed)
        else:
            done.append(line)
    return done


def _star(line: str):
    """A star that another closes on its line is emphasis; a lone one is an argument."""

    def replaced(match: re.Match) -> str:
        rest = line[line.find(match[0]) + len(match[0]) :]
        return match[0] if re.search(r"\w\*(?!\w)", rest) else match[0].replace("*", r"\*")

    return replaced


def _process(app, what, name, thing, options, lines) -> None:
    public = {short: full for short, full in _public().items() if short != name.rpartition(".")[2]}
    lines[:] = [linked(line, public) for line in escaped(lines)]


@functools.cache
def _public() -> dict[str, str]:
    """Public name -> full name; a name that two packages have is left to Sphinx."""
    from api_pages import PACKAGES, examples

    found: dict[str, str] = {}
    for package in PACKAGES:
        for name in examples(package):
            found[name] = "" if name in found else f"eqflow.{package}.{name}"
    return {name: full for name, full in found.items() if full}


def _borrowed(app, what, name, thing, skip, options) -> bool | None:
    """A member that is another library's compiled function (`bend = torch.sin`) is documented there."""
    return True if inspect.isbuiltin(thing) else None


def _uses(app, doctree, docname) -> None:
    """What opens the list of a symbol's uses is a word: a link inside it is no use to the keyboard."""
    for summary in doctree.findall(SummaryNode):
        summary.children = [nodes.Text("Used in")]


def setup(app) -> None:
    app.connect("doctree-resolved", _uses, priority=600)  # after sphinx-codeautolink's 500
    app.connect("autodoc-skip-member", _borrowed)
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon's 500
