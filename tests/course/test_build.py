"""The three builds: what is in each, what is not, and that a second build has the same bytes."""

from __future__ import annotations

import copy
import hashlib
import os
import subprocess
import sys

import nbclient
import nbformat
import pytest

from eqflow.course import build, cells
from eqflow.study.files import project_root
from tests.course.masters import PATHS, WITH_EXERCISES, bodies, parts

RUN_WHOLE = ("10_motions",)  # of the teacher build: the others run in `make test` as they are
PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("course")
    build.build(out)
    return out


def get(built, kind, name):
    return nbformat.read(built / kind / f"{name}.ipynb", as_version=4)


def leaked(master, student) -> set[str]:
    """Lines of solution bodies in a student's notebook; those that the lesson itself shows do not count."""
    lesson = [c for c in master.cells if cells.part_of(c) != "solution"]
    shown = {line.strip() for c in lesson if c.cell_type == "code" for line in c.source.splitlines()}
    secret = set().union(*(bodies(c.source) for c in master.cells if cells.part_of(c) == "solution"))
    outputs = [str(o) for c in student.cells for o in c.get("outputs", ())]
    text = "\n".join([*(c.source for c in student.cells), *outputs])
    lines = {line.strip() for line in text.splitlines()}
    long = {line for line in secret - shown if len(line) > 20}
    return (secret - shown) & lines | {line for line in long if line in text}


@pytest.mark.parametrize("name", PATHS)
def test_every_notebook_has_three_builds(built, name):
    master = cells.read(PATHS[name])
    for kind in build.BUILDS:
        made = get(built, kind, name)
        ids = [c.id for c in made.cells]
        assert len(ids) == len(set(ids))
        kept = [c.id for c in master.cells if kind == "teacher" or cells.part_of(c) != "teacher"]
        assert [i for i in ids if i in kept] == kept
        assert any(cells.part_of(c) == "teacher" for c in made.cells) <= (kind == "teacher")


@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_student_has_no_line_of_a_solution(built, name):
    assert leaked(cells.read(PATHS[name]), get(built, "student", name)) == set()


def test_a_leak_would_be_seen():
    master = cells.read(PATHS["10_motions"])
    assert leaked(master, master)
    student = build.student(master)
    student.cells[-1].source += "\nmoved = motion.act(video[:, :-1], 1)"
    assert len(leaked(master, student)) == 1


@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_reader_folds_solutions_and_teacher_checks_strictly(built, name):
    for cell in get(built, "reader", name).cells:
        folded = "hide-input" in cells.tags_of(cell) and cell.metadata.get("jupyter", {}).get("source_hidden")
        assert cells.part_of(cell) != "solution" or folded
    teacher = get(built, "teacher", name)
    assert 'os.environ["EQFLOW_CHECKS"] = "strict"' in teacher.cells[2].source
    overview = teacher.cells[1].source
    assert all(f"| {p.number} | {p.title} | {p.minutes} |" in overview for p in parts(name))
    assert all(p.number in get(built, "student", name).cells[1].source for p in parts(name))


def _digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_second_build_is_the_same_to_the_byte(built, tmp_path):
    """In another process, with another hash seed."""
    code = "import sys, pathlib, eqflow.course.build as b; b.build(pathlib.Path(sys.argv[1]))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(project_root())}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    assert _digest(tmp_path) == _digest(built) != {}


def test_a_students_work_is_not_overwritten(tmp_path):
    build.build(tmp_path, ["10"])
    build.build(tmp_path, ["10"])  # untouched: built again
    (mine,) = (tmp_path / "student").glob("10_*.ipynb")
    work = mine.read_text().replace("NotImplementedError", "ValueError")
    mine.write_text(work)
    with pytest.raises(ValueError, match=r"as they were built; got changes in 10_motions\.ipynb: move"):
        build.build(tmp_path, ["10"])
    assert mine.read_text() == work
    assert build.build(tmp_path, ["01"])  # another one is nobody's work


def test_some_notebooks_only(tmp_path):
    build.build(tmp_path, ["10"])
    assert sorted(p.parent.name for p in tmp_path.rglob("*.ipynb")) == sorted(build.BUILDS)
    with pytest.raises(ValueError, match="no notebook 77; there are: 00"):
        build.build(tmp_path, ["77"])


# --- published outputs --------------------------------------------------------------------------------------


@pytest.fixture
def executed():
    """Notebook 10 as if it had been executed: each code cell shows a picture."""
    notebook = copy.deepcopy(cells.read(PATHS["10_motions"]))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            data = {"text/markdown": f"![What {cell.id} shows.]({PNG})", "text/plain": "secret number 42"}
            cell.outputs = [nbformat.v4.new_output("display_data", data)]
    return notebook


def test_targets_are_the_published_figures_of_expected_cells(executed):
    student = build.student(cells.read(PATHS["10_motions"]), executed)
    targets = {c.id: c for c in student.cells if c.id.endswith("-target")}
    expected = {f"{c.id}-target" for p in parts("10_motions") for c in p.cells["expected"]}
    assert set(targets) == expected != set()
    assert f"![What expected-10-3 shows.]({PNG})" in targets["expected-10-3-target"].source
    assert "42" not in targets["expected-10-3-target"].source, "a target is a figure, not a number"
    assert not any(c.get("outputs") for c in student.cells)


def test_no_target_where_the_solution_has_changed_since(executed):
    for cell in executed.cells:
        cell.source += "\n# older" if cells.part_of(cell) == "solution" else ""
    student = build.student(cells.read(PATHS["10_motions"]), executed)
    assert not any(c.id.endswith("-target") for c in student.cells)


@pytest.mark.parametrize("make", [build.reader, build.teacher])
def test_published_outputs_come_along_unless_the_code_has_changed(executed, make):
    def shown(notebook):
        return sum(bool(c.get("outputs")) for c in notebook.cells)

    master = cells.read(PATHS["10_motions"])
    assert shown(make(master, executed)) > 20
    executed.cells[2].source += "\n# older"
    assert shown(make(master, executed)) == 0


# --- as they run --------------------------------------------------------------------------------------------


def run(notebook, tmp_path, monkeypatch):
    """Execute a build at the smoke profile, as it would be in its folder."""
    for name, value in {"CACHE": tmp_path / "cache", "RESULTS": tmp_path / "results"}.items():
        monkeypatch.setenv(f"EQFLOW_{name}", str(value))
    monkeypatch.setenv("PYTHONPATH", str(project_root()))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    (parameters,) = [c for c in notebook.cells if "parameters" in cells.tags_of(c)]
    parameters.source = parameters.source.replace('"quick"', '"smoke"')
    client = nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    return notebook


@pytest.mark.parametrize("name", RUN_WHOLE)
def test_teacher_runs_whole_and_passes_every_check(built, name, tmp_path, monkeypatch):
    notebook = run(get(built, "teacher", name), tmp_path, monkeypatch)
    said = "\n".join(str(o) for c in notebook.cells if cells.part_of(c) == "check" for o in c.outputs)
    checked = [p.number for p in parts(name) if not p.open]
    assert all(f"Exercise {number}: passed" in said for number in checked) and checked


@pytest.mark.parametrize("name", RUN_WHOLE)
def test_student_stops_at_the_first_stub_with_one_sentence(built, name, tmp_path, monkeypatch):
    notebook, first = get(built, "student", name), next(p.number for p in parts(name) if not p.open)
    with pytest.raises(nbclient.exceptions.CellExecutionError, match=rf"Exercise {first}: write"):
        run(notebook, tmp_path, monkeypatch)
    stopped = [c for c in notebook.cells if any(o.output_type == "error" for o in c.get("outputs", ()))]
    assert len(stopped) == 1 and cells.part_of(stopped[0]) == "check"
    (error,) = stopped[0].outputs
    assert error.traceback == [f"Not written yet. {error.evalue}"]
    after = notebook.cells[notebook.cells.index(stopped[0]) + 1 :]
    assert not any(c.get("execution_count") for c in after)


def test_teacher_build_with_a_wrong_solution_does_not_run_whole(built, tmp_path, monkeypatch):
    notebook = get(built, "teacher", "10_motions")
    short = ("course-strict", "parameters", "setup", "first-motions", "solution-10-3", "check-10-3")
    notebook.cells = [c for c in notebook.cells if c.id in short]
    for cell in notebook.cells:
        if cell.id == "solution-10-3":
            cell.source = "def moving_difference(video, motion):\n    return video"
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="0 after the first frame"):
        run(notebook, tmp_path, monkeypatch)
