"""Where the built site and a browser are, or why these tests cannot run here."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def site() -> Path | None:
    """The built site that `EQFLOW_SITE` names; None where it is not set."""
    named = os.environ.get("EQFLOW_SITE")
    return Path(named).resolve() if named else None


def browser_path() -> str | None:
    """`EQFLOW_BROWSER`, or the first Chromium on the path."""
    return os.environ.get("EQFLOW_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


def lacking() -> str:
    """Why these tests cannot run here; "" if they can."""
    if site() is None:
        return "these tests open the built site in a browser: `make test-site` runs them"
    if not (site() / "index.html").exists():
        return f"no site in {site()}: `make site` builds it"
    if importlib.util.find_spec("playwright") is None:
        return "the extra `site-test` (playwright) is not installed: `make test-site` installs it"
    if not browser_path():
        return (
            f"no browser ({', '.join(NAMES)}): Debian's package is `chromium`; EQFLOW_BROWSER names another"
        )
    return ""


def pages() -> list[str]:
    """Every page, as an address below the site's root; EQFLOW_PAGES=01_bump,index asks for some alone."""
    if lacking():
        return []
    every = (p.relative_to(site()) for p in site().rglob("*.html"))
    found = sorted(p.as_posix() for p in every if "_static" not in p.parts)
    wanted = [w for w in os.environ.get("EQFLOW_PAGES", "").split(",") if w]
    return [p for p in found if not wanted or any(w in p for w in wanted)]
