"""Every notebook runs (smoke profile, through the real runner) and keeps the rules of the house."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import statistics
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from eqflow.course import cells as course
from eqflow.study.files import project_root, read_json
from eqflow.study.notebooks.reproduce import reproduce
from eqflow.study.notebooks.request import Request
from eqflow.study.verdicts.claims import load_claims

FOLDER = project_root() / "notebooks"
PATHS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
NAMES = [path.stem for path in PATHS] or [pytest.param("", marks=pytest.mark.skip("no notebooks yet"))]
PARAMETERS = {"PROFILE": "quick", "SEED": 0, "DATA": "auto", "DEVICE": "auto", "FRESH": False}
FRAMES = (
    "00",
    "90",
)  # the map and the scoreboard are no lessons: neither long, nor broken, nor with exercises
HEDGES = r"\bif you see\b|\bshould see\b|\byou should\b(?! have seen)"
CLAIMS = load_claims().values()


# --- as they are written ------------------------------------------------------------------------------------


def problems(notebook: nbformat.NotebookNode, name: str) -> list[str]:
    """Which rules of design a notebook's source breaks."""
    code = [c for c in notebook.cells if c.cell_type == "code"]
    lesson = [c for c in notebook.cells if course.part_of(c) is None]  # exercises have rules of their own
    prose = "\n".join(c.source for c in lesson if c.cell_type == "markdown")
    found = _cells(notebook, code) + _source(code, name)
    if name[:2] not in FRAMES:
        said = [text for c in code for text in _notices(c.source)]
        found += _lesson(notebook, code, "\n".join([prose, *said]))
        found += _findings(prose, said)
    return found


def _notices(source: str) -> list[str]:
    """What each `nb.notice` of a cell may say, its f-strings without their numbers."""
    try:
        calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    except SyntaxError:
        return []
    calls = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "notice"]
    said = [[*c.args, *(k.value for k in c.keywords if k.arg == "otherwise")] for c in calls]
    constants = [[n for a in args for n in ast.walk(a) if isinstance(n, ast.Constant)] for args in said]
    return [" ".join(n.value for n in found if isinstance(n.value, str)) for found in constants]


def _code_lines(source: str) -> int:
    """Lines of a cell without blank ones and its notices: `nb.notice(...)`, and `text = ...` before it."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        statements = []
    said = [n for n in statements if re.match(r"nb\.notice\(|text = ", ast.unparse(n))]
    prose = {line for n in said for line in range(n.lineno, n.end_lineno + 1)}
    return sum(bool(text.strip()) and n not in prose for n, text in enumerate(source.splitlines(), 1))


def _findings(prose: str, said: list[str]) -> list[str]:
    """What a figure shows is said by `nb.notice`, whose check it cannot contradict."""
    found = [] if len(said) >= 2 else [f"{len(said)} notices, not 2 or more"]
    if hedge := re.search(HEDGES, "\n".join([prose, *said]), re.IGNORECASE):
        found.append(f"hedges ({hedge[0]!r}) where nb.notice would check")
    if re.search(r"what to notice", prose, re.IGNORECASE):
        found.append('says "what to notice" in prose, with nothing that checks it')
    return found


def _cells(notebook, code) -> list[str]:
    ids = [c.get("id", "") for c in notebook.cells]
    parsed = code and "parameters" in code[0].metadata.get("tags", []) and _constants(code[0].source)
    return [
        *(["has outputs"] if any(c.outputs or c.execution_count for c in code) else []),
        *(["cell ids repeat"] if len(set(ids)) < len(ids) else []),
        *(["cell ids are random"] if any(re.fullmatch(r"[0-9a-f]{8}|", i) for i in ids) else []),
        *([] if parsed == PARAMETERS else [f"the first code cell is not the parameters cell {PARAMETERS}"]),
        *([] if notebook.cells and notebook.cells[0].source.startswith("# ") else ["no title"]),
        *(
            []
            if notebook.metadata.get("kernelspec", {}).get("language") == "python"
            else ["no kernel language"]
        ),
    ]


def _constants(source: str) -> dict | None:
    try:
        nodes = ast.parse(source).body
        return {n.targets[0].id: ast.literal_eval(n.value) for n in nodes}
    except (SyntaxError, ValueError, AttributeError):
        return None


def _source(code, name: str) -> list[str]:
    found, text = [], "\n".join(c.source for c in code)
    for number, cell in enumerate(code):
        if _code_lines(cell.source) > 25:
            found.append(f"code cell {number} has more than 25 lines")
        try:
            ast.parse(cell.source)
        except SyntaxError:
            found.append(f"code cell {number} is not plain Python (magic, shell?)")
    if re.search(r"get_ipython|os\.system|subprocess|requests|urllib|\.backward\(", text):
        found.append("reaches for the shell, the network or a training loop")
    if not re.search(rf'start\(\s*"{name}",\s*PROFILE\b', text):
        found.append(f'no start("{name}", PROFILE, ...)')
    if not code or "nb.finish()" not in code[-1].source:
        found.append("the last code cell does not finish")
    expected = re.findall(r'nb\.expect\(\s*"(\w+)"', text)
    own = {c.id for c in CLAIMS if c.notebook == name[:2]}
    if own != set(expected) or len(expected) > 8:
        found.append(f"expects {sorted(set(expected))}, owns {sorted(own)}")
    return found


def _lesson(notebook, code, prose: str) -> list[str]:
    words = len(re.findall(r"\b[^\W\d_][\w'’-]*", re.sub(r"\$[^$]*\$|`[^`]*`", " ", prose)))
    lengths = [_code_lines(c.source) for c in code] or [99]
    exercises = set(re.findall(r"exercise\s*(\d(?:\d\.\d)?)", prose, re.IGNORECASE))
    exercises |= {p.number for p in course.exercises(notebook)}
    cells = sum(course.part_of(c) is None for c in notebook.cells)
    return [
        *([] if 16 <= cells <= 45 else [f"{cells} cells, not 16-45"]),
        *([] if statistics.median(lengths) < 9 else ["the median code cell has 9 lines or more"]),
        *([] if 600 <= words <= 2500 else [f"{words} words of text, not 600-2,500"]),
        *([] if re.search(r"break it", prose, re.IGNORECASE) else ["nothing is broken on purpose"]),
        *([] if len(exercises) >= 2 else ["fewer than two numbered exercises"]),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_source_keeps_the_rules(name):
    assert problems(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4), name) == []


def good() -> nbformat.NotebookNode:
    """The smallest notebook that keeps all rules, for claim A2."""
    v4 = nbformat.v4
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    parameters = "\n".join(f"{k} = {v!r}" for k, v in PARAMETERS.items())
    prose = ["# Title", "## Break it", "Exercise 1 and exercise 2.", "word " * 569]
    prose += ["text"] * 20
    seen = 'nb.notice(f"It is {1:.2f} here", holds=True)\nnb.notice("It is", holds=2 > 1)'
    code = [parameters, 'nb = start("01_bump", PROFILE)', 'nb.expect("A2", error=0)', f"{seen}\nnb.finish()"]
    cells = [v4.new_markdown_cell(prose[0])]
    cells += [v4.new_code_cell(c) for c in code] + [v4.new_markdown_cell(p) for p in prose[1:]]
    cells[1].metadata["tags"] = ["parameters"]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def test_a_good_notebook_has_no_problems():
    assert problems(good(), "01_bump") == []


def _put(place: int, **changes):
    def change(notebook):
        for name, value in changes.items():
            setattr(notebook.cells[place], name, value)

    return change


BREAKAGES = {
    "has outputs": _put(2, execution_count=3),
    "cell ids repeat": _put(2, id="cell-1"),
    "cell ids are random": _put(2, id="0a1b2c3d"),
    "parameters cell": _put(1, source="PROFILE = 'quick'"),
    "parameters cell {": _put(1, metadata=nbformat.from_dict({})),
    "no title": _put(0, source="Title"),
    "no kernel language": lambda notebook: notebook.metadata.kernelspec.pop("language"),
    "more than 25 lines": _put(2, source='nb = start("01_bump", PROFILE)' + "\n1" * 26),
    "not plain Python": _put(2, source='%time nb = start("01_bump", PROFILE)'),
    "the shell": _put(2, source='nb = start("01_bump", PROFILE)\nloss.backward()'),
    "no start": _put(2, source='nb = start("02_bump", PROFILE)'),
    "does not finish": _put(4, source="1"),
    "expects ['A3']": _put(3, source='nb.expect("A3")'),
    "expects []": _put(3, source="1"),
    "15 cells": lambda notebook: [notebook.cells.pop() for _ in range(len(notebook.cells) - 15)],
    "median": lambda notebook: [
        _put(k, source=notebook.cells[k].source + "\n1" * 8)(notebook) for k in (2, 3, 4)
    ],
    "words of text": _put(7, source="few words"),
    "597 words of text": _put(4, source="nb.notice('is', holds=1)\nnb.notice('is', holds=1)\nnb.finish()"),
    "1 notices": _put(4, source="nb.notice('It is so here', holds=1)\nnb.finish()"),
    "hedges ('If you see')": _put(6, source="Exercise 1 and exercise 2. If you see a dip, it is the torus."),
    "hedges ('you should')": _put(6, source="Exercise 1 and exercise 2. The shares, you should find, fall."),
    "what to notice": _put(6, source="Exercise 1 and exercise 2. What to notice: it falls."),
    "broken on purpose": _put(5, source="## Go on"),
    "two numbered exercises": _put(6, source="Exercise 1."),
}


@pytest.mark.parametrize("problem", BREAKAGES)
def test_every_rule_can_fail(problem):
    notebook = good()
    BREAKAGES[problem](notebook)
    assert any(problem in found for found in problems(notebook, "01_bump"))


# --- as they run --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def smoke(request, tmp_path_factory):
    """The selected notebooks at the smoke profile, from an empty store; then again, where all is found."""
    root = tmp_path_factory.mktemp("smoke")
    asked = {item.callspec.params["name"] for item in request.session.items if "smoke" in item.fixturenames}
    request = Request(
        notebooks=sorted(asked), profile="smoke", source=FOLDER, results=root / "results", engine="serial"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQFLOW_CACHE", str(root / "cache"))
        printed = []
        for fresh in (False, False):
            with contextlib.redirect_stdout(io.StringIO()) as text:
                code = reproduce(replace(request, fresh=fresh))
            printed.append(text.getvalue())
    return SimpleNamespace(folder=root / "results/smoke", printed=printed, code=code)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(smoke, name):
    record = read_json(smoke.folder / "provenance" / f"{name}.json")
    assert record["status"] == "ok", smoke.printed[0][-5000:]
    assert f"{name} kept" in smoke.printed[1]


@pytest.mark.parametrize("name", NAMES)
def test_its_identities_are_verified(smoke, name):
    claims = read_json(smoke.folder / "metrics" / f"{name}.json")["claims"]
    assert set(claims) == {c.id for c in CLAIMS if c.notebook == name[:2]}
    for claim, found in claims.items():
        expected = "verified" if found["kind"] == "identity" else "not comparable"
        assert found["verdict"] == expected, (claim, found["reason"])


@pytest.mark.parametrize("name", NAMES)
def test_what_rests_on_no_training_holds(smoke, name):
    """Notices about trained models are not judged at smoke; all others hold at every profile."""
    found = read_json(smoke.folder / "metrics" / f"{name}.json")["notices"]
    assert not [notice["text"] for notice in found if notice["holds"] is False]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_alt_text(smoke, name):
    notebook = nbformat.read(smoke.folder / "notebooks" / f"{name}.ipynb", as_version=4)
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    assert not any("image/png" in o.get("data", {}) for o in outputs), "shown by something else, without alt"
    texts = [o.data["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {})]
    shown = [text.partition("](data:image/png")[0] for text in texts if "](data:image/png" in text]
    assert all(len(alt.split()) >= 5 for alt in shown)
    kept = list((smoke.folder / "figures" / name).glob("*.json"))
    assert len(shown) == len(kept) and shown, "figures are shown through nb.figure or nb.player only"
    html = [o for c in notebook.cells for o in c.get("outputs", []) if "text/html" in o.get("data", {})]
    assert not any("<img" in o.data["text/html"] for o in html)


@pytest.mark.parametrize("name", NAMES)
def test_no_machine_in_what_is_published(smoke, name):
    notebook: Path = smoke.folder / "notebooks" / f"{name}.ipynb"
    assert str(project_root()) not in notebook.read_text(encoding="utf-8")
    assert notebook.stat().st_size < 3e6
