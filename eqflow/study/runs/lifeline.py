"""A process that must not outlive the one that started it: a worker, a notebook's kernel.

Else a killed ``make reproduce`` goes on: a kernel without its parent trains, writes and publishes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """From now on this process ends as soon as `parent`, the one that started it, has: at once on Linux,
    which sends the signal itself, within half a second elsewhere. It ends here if that has happened already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=watch, name="lifeline", daemon=True).start()
