"""What the site needs beside Sphinx, MyST-NB and the theme; one idea a file."""

from __future__ import annotations


def setup(app) -> dict:
    from . import board, docstrings, figures, mathematics

    app.add_config_value(
        "eqflow_made_by", "", "env", [str]
    )  # another one: every page is read and written anew
    for part in (mathematics, figures, board, docstrings):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
