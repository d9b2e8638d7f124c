"""Models by the names that the figures give them; the board's files have the shorter ones of the code."""

from __future__ import annotations

import functools
import re


@functools.cache
def _names() -> re.Pattern:
    from eqflow.study.notebooks.figures import STYLE

    longest = sorted(STYLE, key=len, reverse=True)
    return re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, longest))})(?=_|\b)")


def called(text: str) -> str:
    """ "fernn_v2_seen 0.006" as "FERNN-V2 seen 0.006"; other names lose their underscores only."""
    from eqflow.study.notebooks.figures import STYLE

    text = _names().sub(lambda m: str(STYLE[m[1]]["label"]), text)
    return re.sub(r"(?<=[^\W_])_(?=[^\W_])", " ", text)


def said(reason: str) -> str:
    """A verdict's reason with models by name, and without bounds that bound nothing."""
    return called(re.sub(r"(?<=above )-(?=0\b(?!\.))", "", re.sub(r"-inf < | < inf\b", "", reason)))
