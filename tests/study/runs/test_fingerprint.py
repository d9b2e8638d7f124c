import pytest

from eqflow.study.runs.fingerprint import code_of, hash_of, without_prose

SOURCE = '''"""Module."""

import math  # why


class A:
    "one line"

    def f(self, x):
        """Docstring.

        Of several lines.
        """
        # a comment
        text = """kept # not a comment

        blank line kept"""
        return f"{x!r} # kept" + text  # cut


def g(): "é doc"; return 'ünï'  # cut
'''
BARE = '''import math
class A:
    def f(self, x):
        text = """kept # not a comment

        blank line kept"""
        return f"{x!r} # kept" + text
def g(): ; return 'ünï'
'''


def test_prose_is_cut_and_nothing_else():
    assert without_prose(SOURCE) == BARE.rstrip()


@pytest.mark.parametrize(
    "old, new",
    [
        ("Of several lines.", "Of some lines."),
        ("# a comment\n", "# another\n\n\n        # and more\n"),
        ("import math  # why", "import math"),
        ('    "one line"\n', ""),
    ],
)
def test_prose_does_not_count(old, new):
    assert old in SOURCE
    assert without_prose(SOURCE.replace(old, new)) == without_prose(SOURCE)


@pytest.mark.parametrize(
    "old, new",
    [
        ("+ text", "- text"),
        ("# not a comment", "# not a remark"),
        ("comment\n\n        blank", "comment\n        blank"),
        ("'ünï'", "'uni'"),
    ],
)
def test_code_counts(old, new):
    assert old in SOURCE
    assert without_prose(SOURCE.replace(old, new)) != without_prose(SOURCE)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """fingerprinted: `start` uses `thing`, through the package `wing`, which has an unused neighbour too."""
    root = tmp_path / "fingerprinted"
    files = {
        "__init__.py": "",
        "start.py": "import math\nfrom .wing import thing\nfrom fingerprinted import plain\n",
        "plain.py": "x = 1\n",
        "wing/__init__.py": "from .thing import thing\nfrom .neighbour import other\n",
        "wing/thing.py": "def thing():\n    from ..late import y\n    return y\n",
        "wing/neighbour.py": "other = 1\n",
        "late.py": "y = 1\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return root


def test_walk_finds_what_is_used_and_no_neighbours(package):
    found = {name.removeprefix("fingerprinted/") for name in code_of(["fingerprinted.start"])}
    assert found == {"start.py", "plain.py", "wing/thing.py", "late.py"}


@pytest.mark.parametrize("name, counts", [("late.py", True), ("wing/neighbour.py", False)])
def test_only_what_is_used_counts(package, name, counts):
    import os

    before = code_of(["fingerprinted.start"])
    (package / name).write_text("y = other = 2\n")
    os.utime(package / name, ns=(1, 1))
    changed = code_of(["fingerprinted.start"]) != before
    assert changed == counts


def test_hash_is_the_same_on_every_python(package):
    # The value was computed on Python 3.11 and holds for 3.10 to 3.13.
    (package / "start.py").write_text(SOURCE)
    assert code_of(["fingerprinted.start"]) == {"fingerprinted/start.py": "f426b094f50441b0"}


def test_a_file_that_is_gone_is_told_from_one_that_changed(package):
    before = hash_of(package / "late.py")
    assert before == code_of(["fingerprinted.late"])["fingerprinted/late.py"] and len(before) == 16
    assert hash_of(package / "no_such_file.py") == "gone"
    (package / "late.py").write_text("y = 2\n")
    assert hash_of(package / "late.py") not in (before, "gone")


def test_presentation_is_not_part_of_a_run():
    code = set(code_of(["eqflow.study.experiments.prediction", "eqflow.training"]))
    assert "eqflow/training.py" in code
    rooms = {name.split("/")[2] for name in code if name.startswith("eqflow/study/")}
    assert rooms == {"experiments"} and not {n for n in code if n.endswith(("profiles.py", "registry.py"))}


def test_unknown_module():
    with pytest.raises(ModuleNotFoundError, match=r"got 'eqflow\.nothing'"):
        code_of(["eqflow.nothing"])
