"""What the theme ships and no page uses is left out: 1.5 MB of icons a page, and source maps."""

from __future__ import annotations

import re
from pathlib import Path

ICON = re.compile(
    r'"?(?P<name>[a-z0-9-]+)"?:\[\d+,\d+,\[(?P<others>[^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?'
)
USED = re.compile(r"\bfa-([a-z0-9-]+)")


def icons(script: str, used: set[str]) -> str:
    """Font Awesome's script with the icons in ``used`` alone, by name or by another of their names.

    Raises:
        ValueError: none of them is in it.
    """
    kept = 0

    def keep(match: re.Match) -> str:
        nonlocal kept
        if not {match["name"], *re.findall(r'"([^"]+)"', match["others"])} & used:
            return ""
        kept += 1
        return match[0]

    script = ICON.sub(keep, script)
    if not kept:
        raise ValueError(f"expected some of the icons {', '.join(sorted(used))}; found none")
    return script


def slim(output: Path) -> None:
    """Take from a built site what no page uses; a second call changes nothing."""
    for path in (output / "_static").rglob("*.map"):
        path.unlink()
    scripts = output / "_static" / "scripts"
    pages = [p for p in output.rglob("*.html") if "_static" not in p.parts]
    sources = [*pages, *(p for p in scripts.glob("*.js") if p.name != "fontawesome.js")]
    used = {name for p in sources for name in USED.findall(p.read_text(encoding="utf-8"))}
    script = scripts / "fontawesome.js"
    script.write_text(icons(script.read_text(encoding="utf-8"), used), encoding="utf-8")
