"""What is recorded of where a result comes from names no folder of this machine."""

import os

from eqflow.study.notebooks.provenance import without_paths


def test_a_home_that_nobody_knows_is_no_reason_to_stop(monkeypatch):
    """HOME unset, for a user without an entry: as in a container."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert without_paths("File /srv/jane/eqflow/x.py") == "File x.py"
