"""Each submission gets the marks and the words that it deserves, whatever the others do."""

from __future__ import annotations

import csv
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from eqflow.course import grade, sandbox
from eqflow.course.__main__ import main
from eqflow.course.grade import Graded, page
from eqflow.course.sandbox import Limits

ROOT = Path(__file__).resolve().parents[2]
SUBMISSIONS = Path(__file__).with_name("submissions")
LIMITS = Limits(seconds=8, memory_mb=700)
DESERVED = {
    "good": "passed",
    "wrong_answer": "wrong",
    "crash": "ended the process",
    "endless_loop": "too slow",
    "memory_hog": "out of memory",
    "hard_coded": "wrong",
}
WORDS = {
    "good": r"Exercise 10\.3: passed",
    "wrong_answer": r"not yet(.|\n)*expected:\* 0 after the first frame(.|\n)*one step, and forwards",
    "crash": r"ended the process(.|\n)*by itself, with exit code 0(.|\n)*os\._exit",
    "endless_loop": r"too slow(.|\n)*within 8 s(.|\n)*still running after 8 s(.|\n)*never ends",
    "memory_hog": r"out of memory(.|\n)*within 700 MB(.|\n)*no room for 256 MB more(.|\n)*largest tensor",
    "hard_coded": r"not yet(.|\n)*moves with Translation(.|\n)*same answer if it is told(.|\n)*not a number",
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The folder of six, graded: (rows by student, folder)."""
    out = tmp_path_factory.mktemp("grades")
    said: list[str] = []
    grade.grade(SUBMISSIONS, out, LIMITS, workers=2, say=said.append)
    assert len(said) == len(DESERVED)
    with open(out / "grades.csv", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}, out


@pytest.mark.parametrize("student", DESERVED)
def test_marks_and_words(graded, student):
    rows, out = graded
    row, text = rows[student], (out / "feedback" / f"{student}.md").read_text()
    assert row["10.3"] == DESERVED[student]
    assert (int(row["marks"]) > 0) == (student == "good")
    assert re.search(WORDS[student], text), text
    assert row["notebook"] == "10_motions" and "/" not in re.sub(r"https?://\S+|\bin f\(.*", "", text)


def test_nobody_is_lost(graded):
    rows, out = graded
    assert set(rows) == {p.stem for p in SUBMISSIONS.glob("*.ipynb")} == set(DESERVED)
    assert {p.stem for p in (out / "feedback").iterdir()} == set(DESERVED)


# --- worse ones ---------------------------------------------------------------------------------------------

GOOD = (SUBMISSIONS / "good.ipynb").read_text()


def submission(folder, *own: str, answer: str | None = None, name="student") -> Path:
    """The good one, with cells of the student's own in front of the answer, or another answer."""
    notebook = nbformat.reads(GOOD, as_version=4)
    place = next(i for i, c in enumerate(notebook.cells) if c.id == "solution-10-3")
    if answer is not None:
        notebook.cells[place].source = answer
    made = [nbformat.v4.new_code_cell(source, id=f"own-{i}") for i, source in enumerate(own)]
    notebook.cells[place:place] = made
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def marked(path: Path, limits=LIMITS) -> Graded:
    return grade.grade_one(path, path.parent, limits)


def test_what_hangs_in_a_cell_of_their_own_costs_no_marks(tmp_path):
    """An endless cell, an exit, a crash, words that look like reports: all before a good answer."""
    noise = "import os, contextlib\nfor fd in range(3, 40):\n    with contextlib.suppress(OSError):\n"
    noise += "        os.write(fd, b'{\"outcome\": 1}\\n')"
    one = marked(submission(tmp_path, "while True: pass", "exit(3)", "1 / 0", noise, "%time x = 1"))
    assert one.outcomes["10.3"].passed
    notes = "\n".join(one.notes)
    assert "Left out: the cell that begins `while True: pass`: still running after 8 s." in notes
    assert "In the cell that begins `exit(3)`: SystemExit: 3" in notes
    assert "In the cell that begins `1 / 0`: ZeroDivisionError" in notes
    assert "In the cell that begins `%time x = 1`: SyntaxError: invalid syntax, in line 1 of it" in notes
    assert "digit" not in notes, "what uses the lesson's values is no fault"


def test_a_cell_is_named_by_what_a_student_sees(tmp_path):
    """The heading above it and its first line; never a number that no notebook shows."""
    path = submission(tmp_path, "\n1 / 0", "print(`")
    notebook = nbformat.reads(path.read_text(), as_version=4)
    place = next(i for i, c in enumerate(notebook.cells) if c.id == "own-0")
    heading = "### Exercise 10.3 (10 min): A difference\n\nText.\n\n```python\n# no heading\n```"
    notebook.cells[place:place] = [nbformat.v4.new_markdown_cell(s) for s in (heading, "no heading")]
    nbformat.write(notebook, path)
    one = marked(path)
    at = 'In the cell under "Exercise 10.3 (10 min): A difference" that begins '
    assert one.notes[0] == at + "`1 / 0`: ZeroDivisionError: division by zero"
    assert one.notes[1].startswith(at + "`print('`: SyntaxError: ")
    assert not re.search(r"cell \d", page(one)) and one.outcomes["10.3"].passed


def test_an_answer_that_crashes_where_it_is_defined(tmp_path):
    one = marked(submission(tmp_path, answer="import ctypes\nctypes.string_at(0)"))
    assert one.outcomes["10.3"].verdict == "ended the process" and "signal" in one.outcomes["10.3"].got
    one = marked(submission(tmp_path, answer="x = undefined\n\ndef moving_difference(video, motion): pass"))
    assert one.outcomes["10.3"].verdict == "missing" and "exercise 10.3 is missing" in page(one)


@pytest.mark.parametrize(
    ("place", "student"), [("ada/10_motions", "ada"), ("10_motions", "10_motions"), ("x/bob", "bob")]
)
def test_a_file_called_as_the_lesson_is_its_folders(tmp_path, place, student):
    path = tmp_path / f"{place}.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text("not json")
    assert grade.grade_one(path, tmp_path, LIMITS).student == student


def test_a_stub_is_not_written(tmp_path):
    stub = 'def moving_difference(video, motion):\n    raise NotImplementedError("Exercise 10.3: write it")'
    one = marked(submission(tmp_path, answer=stub))
    assert one.outcomes["10.3"].verdict == "not written" and "no mark" in page(one)


def test_who_stops_it_for_ever_is_given_up(tmp_path):
    one = marked(submission(tmp_path, *["import os; os._exit(1)"] * 3), Limits(stops=1))
    assert one.outcomes["10.3"].verdict == "not graded" and "stopped 2 times" in page(one)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "can be read"),
        ("{}", "can be read"),
        (nbformat.writes(nbformat.v4.new_notebook()), "of the course"),
        (GOOD.replace("10_motions", "77_other"), "of the course"),
    ],
)
def test_what_is_no_submission_is_said(tmp_path, text, says):
    (tmp_path / "eve.ipynb").write_text(text)
    one = marked(tmp_path / "eve.ipynb")
    assert one.marks == 0 and says in page(one) and "Not graded" in page(one)


def test_ids_that_an_editor_has_lost_do_not_matter(tmp_path):
    notebook = nbformat.reads(GOOD, as_version=4)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"new-{number}"
        cell.metadata = nbformat.from_dict({})
    nbformat.write(notebook, tmp_path / "moved.ipynb")
    assert marked(tmp_path / "moved.ipynb").outcomes["10.3"].passed


# --- the sandbox --------------------------------------------------------------------------------------------

ALONE = pytest.mark.skipif(not sandbox.namespaces(), reason="user namespaces are not permitted here")
REACH = """import socket
s = socket.create_connection(("127.0.0.1", {port}), timeout=5)
s.sendall(b"here")"""


def reached(tmp_path) -> bool:
    """Whether a submission reaches a server of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        came: list[bytes] = []
        server.settimeout(60)

        def wait():
            try:
                with server.accept()[0] as connection:
                    came.append(connection.recv(4))
            except OSError:
                return

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        marked(submission(tmp_path, REACH.format(port=server.getsockname()[1])))
        server.close()
        thread.join(1)
    return bool(came)


@ALONE
def test_no_network(tmp_path):
    assert not reached(tmp_path)


def test_without_namespaces_it_would_be_reached_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "namespaces", lambda: ())
    assert reached(tmp_path)
    assert any("can reach the network" in line for line in sandbox.warnings())


@ALONE
def test_it_neither_sees_nor_ends_other_processes(tmp_path):
    kill = f"import os, signal\nos.kill({os.getpid()}, signal.SIGTERM)"
    one = marked(submission(tmp_path, kill))
    assert one.outcomes["10.3"].passed and any("ProcessLookupError" in note for note in one.notes)


def test_the_environment_stays_outside(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    own = "import os\nassert 'SECRET' not in os.environ and os.environ['HOME'] == os.getcwd()"
    one = marked(submission(tmp_path, own))
    assert one.notes == [] and one.outcomes["10.3"].passed


HOG = """import os, time
for _ in range(4):
    if not os.fork():
        x = bytearray(300 << 20)
        time.sleep(60)
os.wait()"""


def test_the_memory_of_its_children_counts(tmp_path):
    """Where the system's limit is for each process alone."""
    one = marked(submission(tmp_path, HOG), Limits(seconds=45, memory_mb=700))
    assert any("more than 700 MB" in note for note in one.notes) and one.outcomes["10.3"].passed


LONELY = """import sys, time
from pathlib import Path
from eqflow.course import grade
grade.grade_one(Path(sys.argv[1]), Path(sys.argv[1]).parent)"""


@ALONE
def test_a_submission_ends_with_the_grader(tmp_path):
    """Killed, not stopped: nobody is left to end what it has started."""
    mark = tmp_path / "runs"
    loop = f"open({str(mark)!r}, 'w').close()\nwhile True: pass"
    path = submission(tmp_path, loop)
    grader = subprocess.Popen(
        [sys.executable, "-c", LONELY, str(path)], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    deadline = time.monotonic() + 240
    while not mark.exists():
        assert time.monotonic() < deadline and grader.poll() is None
        time.sleep(0.2)
    below = psutil.Process(grader.pid).children(recursive=True)
    assert below
    grader.kill()
    grader.wait()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


# --- the command --------------------------------------------------------------------------------------------


def test_the_command_says_what_is_not_protected(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "eve.ipynb").write_text("not json")
    assert main(["grade", str(folder), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "eve.ipynb: 0 of 0" in said and "Not protected against" in said and "Files: " in said
    assert (tmp_path / "out/grades.csv").read_text() == "student,notebook,marks,of\neve,,0,0\n"


def test_an_empty_folder_is_refused(tmp_path, capsys):
    assert main(["grade", str(tmp_path)]) == 2
    assert "expected students' notebooks" in capsys.readouterr().err
