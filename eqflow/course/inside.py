"""What runs inside a submission's process: its cells, then the checks; every step is reported as it begins.

    python -m eqflow.course.inside 5 < job.json      # reports go to file descriptor 5, one JSON object a line

The parent (`grade`) knows from the last report what was going on when the process ended or had to be stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable

_KEPT_FILE = 64 << 20  # bytes that a submission may write into one file
_LONGEST = 4 * 3600  # seconds of computing, whoever has forgotten it


def main(descriptor: int) -> None:
    """Carry out the job on standard input; the process ends with it."""
    job = json.load(sys.stdin)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # what a submission prints is nobody's
        os.dup2(nothing, standard)
    out = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")

    def report(**what) -> None:
        out.write(json.dumps({"job": job["id"], **what}) + "\n")
        out.flush()

    import torch

    from . import cells, feedback
    from .exercise import find

    torch.set_num_threads(1)
    for number in job["answers"]:
        find(number)
    namespace: dict = {"__name__": "answers"}
    for cell in job["cells"]:  # of the lesson first: imports may take long, which is nobody's fault
        if cell["untouched"]:
            with _told(report, cell["id"]):
                _run_cell(cells, cell, namespace)
    _limit(job["memory_mb"])
    report(ready=True)
    for cell in job["cells"]:
        if not cell["untouched"] and cell["id"] not in job["skip"]:
            report(begin=cell["id"])
            with _told(report, cell["id"]):
                _run_cell(cells, cell, namespace)
    for number, answers in job["answers"].items():
        if number not in job["skip"]:
            report(begin=number)
            report(outcome=_judged(feedback, number, answers, namespace, job["cohorts"]))
    report(done=True)
    os._exit(0)  # threads and exit hooks of a submission do not keep it


def _limit(memory_mb: int) -> None:
    """Of memory, beyond what the libraries take; of files; no core dumps. As far as this system has them."""
    try:
        import resource
    except ImportError:  # Windows: the parent watches the memory alone
        return
    used = 0
    with contextlib.suppress(OSError):
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": _KEPT_FILE, "RLIMIT_CPU": _LONGEST}
    limits |= {"RLIMIT_AS": used + (memory_mb << 20)} if used else {}
    for name, value in limits.items():
        with contextlib.suppress(OSError, ValueError):  # a lower limit stands already
            resource.setrlimit(getattr(resource, name), (value, value))


@contextlib.contextmanager
def _told(report: Callable[..., None], cell: str):
    """A cell that fails is reported; the others still run."""
    try:
        yield
    except (Exception, SystemExit) as error:
        said = str(error)
        if isinstance(error, SyntaxError) and error.lineno:  # its own words name a file that nobody knows
            said = f"{error.msg}, in line {error.lineno} of it"
        lines = said.strip().splitlines() or [""]
        report(cell=cell, error=f"{type(error).__name__}: {lines[0][:300]}")


def _run_cell(cells, cell: dict, namespace: dict) -> None:
    """All of a cell that is the student's; imports and definitions of one of the lesson."""
    import ast

    name, source = f"<cell {cell['id']}>", cell["source"]
    if cell["whole"]:
        cells.run(source, ast.parse(source, name).body, namespace, name)
        return
    for node in cells.statements(source, cells.IMPORTS + cells.DEFINITIONS):
        with contextlib.suppress(NameError):  # it needs what was not run
            cells.run(source, [node], namespace, name)


def _judged(feedback, number: str, answers: list[str], namespace: dict, cohorts: list[str]) -> dict:
    from dataclasses import asdict

    from .exercise import find

    found = []
    for answer in answers:
        try:
            found.append(eval(answer, namespace))
        except Exception:
            title, here = find(number).title, f"no {answer} that could be defined"
            missing = feedback.Outcome(number, title, "missing", f"a definition of {answer}", here)
            return asdict(missing)
    return asdict(feedback.judge(number, found, cohorts))


if __name__ == "__main__":
    main(int(sys.argv[1]))
