"""Docstrings are written for a terminal; here what reStructuredText would misread is escaped.

|V| and |G| are sizes, not substitutions; *args is an argument, not emphasis.
"""

from __future__ import annotations

import re

BAR = re.compile(r"(?<!\\)\|")
STAR = re.compile(r"(?<![\w*\\])(\*{1,2})(?=[a-zA-Z_]\w*[,:)\s]|[a-zA-Z_]\w*$)")
LETTER = re.compile(r"(?<=: )([A-Za-z])\.(?=$| )")  # "channels: C." is no list


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
    lines[:] = escaped(lines)


def setup(app) -> None:
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon's 500
