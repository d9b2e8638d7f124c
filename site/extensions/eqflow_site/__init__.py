"""What the site needs beside Sphinx, MyST-NB and the theme; one idea a file."""

from __future__ import annotations

from . import board, docstrings, figures, mathematics


def setup(app) -> dict:
    mathematics.setup(app)
    figures.setup(app)
    board.setup(app)
    docstrings.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
