"""A process for code that nobody has read: limits on time and memory, no network, and what is not protected.

With Linux' user namespaces (``unshare``) the process has no network, sees no other process, and all that it
has started ends with it. Without them only the limits are left, and `warnings` says so.
"""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from ..study.files import project_root

_ALONE = ["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
_MOST_BYTES = 4 << 20  # of reports
_STEP = 0.1  # seconds between two looks at the memory
ALWAYS = (
    "Files: a submission can read and change whatever this account can, the solutions too. Grade in a "
    "container, or as a user who owns nothing.",
    "Cheating: a submission shares its process with the check and could replace it. Read what passes.",
)


@dataclass(frozen=True)
class Limits:
    """Of one step (a cell, a check): seconds, and MB beyond what the libraries take. Of a submission: seconds
    to start, and how often it may be stopped."""

    seconds: float = 60.0
    memory_mb: int = 2048
    start: float = 300.0
    stops: int = 5


@functools.cache
def namespaces() -> tuple[str, ...]:
    """The command that cuts a process off, () where this system permits none."""
    if shutil.which("unshare") is None:
        return ()
    dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    for extra in (["--mount-proc"], []):
        command = [*dies_with_us, "unshare", *_ALONE, *extra]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            tried = subprocess.run([*command, sys.executable, "-c", ""], capture_output=True, timeout=60)
            if tried.returncode == 0:
                return tuple(command)
    return ()


def warnings() -> list[str]:
    """What submissions are not kept from, here."""
    found = list(ALWAYS)
    if not namespaces():
        found.append(
            "Network and processes: user namespaces (unshare) are not permitted here, so a submission can "
            "reach the network, and end other processes of this account."
        )
    if not os.path.exists("/proc/self/statm"):
        found.append("Memory: it is looked at ten times a second, and not limited by the system.")
    return found


class Stopped(Exception):
    """The process was stopped, or ended by itself; `why` is "too slow", "out of memory" or "ended"."""

    def __init__(self, why: str, detail: str):
        super().__init__(detail)
        self.why, self.detail = why, detail


def lines(module: str, job: bytes, limits: Limits) -> Iterator[bytes]:
    """Start ``python -m module`` with a job on its standard input, and give the lines that it reports.

    Every line gives it another `limits.seconds`. It has a folder of its own, which goes when it ends, and
    none of this process' environment.

    Raises:
        Stopped: it took too long or too much memory, or ended before the consumer had enough.
    """
    with tempfile.TemporaryDirectory(prefix="eqflow-grade-", ignore_cleanup_errors=True) as folder:
        read, write = os.pipe()
        command = [*namespaces(), sys.executable, "-m", module, str(write)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[write],
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        os.close(write)
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(job)
                process.stdin.close()
            yield from _watch(process, read, limits)
        finally:
            os.close(read)
            _end(process)


def _environment(folder: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    places = {"HOME": folder, "TMPDIR": folder, "EQFLOW_CACHE": folder, "MPLBACKEND": "Agg"}
    return kept | threads | places | {"PYTHONPATH": str(project_root()), "MPLCONFIGDIR": folder}


def _watch(process: subprocess.Popen, read: int, limits: Limits) -> Iterator[bytes]:
    """Lines from the pipe until it closes, under the limits."""
    usual, waiting, seen = None, b"", 0
    deadline = time.monotonic() + limits.start
    with selectors.DefaultSelector() as selector:
        selector.register(read, selectors.EVENT_READ)
        while True:
            if selector.select(_STEP):
                if not (came := os.read(read, 1 << 16)):
                    break
                seen += len(came)
                if seen > _MOST_BYTES:
                    raise Stopped("ended", "it reported without end")
                *whole, waiting = (waiting + came).split(b"\n")
                for line in whole:
                    yield line
                    usual = _memory(process) if usual is None else usual  # at the first line: libraries alone
                    deadline = time.monotonic() + limits.seconds
            if usual is not None and _memory(process) - usual > limits.memory_mb << 20:
                raise Stopped("out of memory", f"more than {limits.memory_mb} MB")
            if time.monotonic() > deadline:
                allowed = limits.start if usual is None else limits.seconds
                raise Stopped("too slow", f"still running after {allowed:g} s")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    code = process.returncode
    number = -code if code and code < 0 else (code or 0) - 128  # unshare passes a signal on in the code
    if number in set(signal.Signals):
        raise Stopped("ended", f"ended by the signal {signal.Signals(number).name}")
    raise Stopped("ended", f"the process ended by itself, with exit code {code}")


def _memory(process: subprocess.Popen) -> int:
    """Bytes that a process and all below it hold."""
    total = 0
    for one in _tree(process):
        with contextlib.suppress(psutil.Error):
            total += one.memory_info().rss
    return total


def _end(process: subprocess.Popen) -> None:
    """A process, its group and what it has started; with namespaces, whatever it has started."""
    tree = _tree(process)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in tree:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.kill()
    process.wait()


def _tree(process: subprocess.Popen) -> list[psutil.Process]:
    """A process and all below it, as far as they still are."""
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    return []
