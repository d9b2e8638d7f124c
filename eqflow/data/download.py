"""A file from the network: whole and found right, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

SECONDS = (10, 60)  # to connect, and between two packets


class DataError(RuntimeError):
    """Data cannot be had: one line that says what, where and what to do about it."""


def first_there(paths: Iterable[Path]) -> Path | None:
    """The first of some paths at which there is something, contents unchecked; None: at none.

    Raises:
        DataError: It cannot be told, since a folder must not be searched.
    """
    for path in paths:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # Path.exists raises it too, or hides it: that depends on Python
            raise DataError(
                f"cannot look for {path} ({error.strerror or error}): make its folder searchable "
                "(chmod u+rx), or set EQFLOW_DATA to another"
            ) from None
        return path
    return None


def download(
    path: Path,
    urls: Sequence[str],
    fault: Callable[[Path], str | None],
    *,
    megabytes: float,
    remedy: str,
    progress: bool,
) -> None:
    """Fetch `path` from the first address that delivers it right. A second process waits, and finds it.

    Args:
        urls: Addresses of the file, in the order in which they are tried.
        fault: What is wrong with a file, or None.
        megabytes, remedy: What errors say that it needs, and what else can be done ("or put ...").
        progress: Show a progress bar.

    Raises:
        DataError: No address delivers it, or it cannot be written: one line with the path, the reasons and
            the remedy.
    """
    from filelock import FileLock
    from pooch import HTTPDownloader
    from requests.exceptions import RequestException
    from tqdm.auto import tqdm

    part, failures = path.with_name(path.name + ".part"), []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / ".download.lock"), ExitStack() as stack:

            def close_later(response, **_) -> None:  # pooch leaves the sockets of failed responses open
                stack.callback(response.close)

            if path.exists() and not fault(path):
                return
            for url in urls:
                try:
                    # The total is a placeholder: pooch puts the true one in its place.
                    with tqdm(
                        total=1, unit="B", unit_scale=True, desc=path.name, disable=not progress
                    ) as bar:
                        HTTPDownloader(
                            progressbar=bar,
                            timeout=SECONDS,
                            headers={"Accept-Encoding": "identity"},  # archives as they are
                            hooks={"response": close_later},
                        )(url, str(part), None)
                    if not (found := fault(part)):
                        os.replace(part, path)
                        return
                except RequestException as error:
                    status = getattr(error.response, "status_code", None)
                    found = f"HTTP {status}" if status else type(error).__name__
                finally:
                    part.unlink(missing_ok=True)
                failures.append(f"{url}: {found}")
    except OSError as error:  # ours, not the network's: those are RequestExceptions
        need = "make it writable"
        if error.errno == errno.ENOSPC:
            need = f"needs {megabytes:g} MB; free some space"
        raise DataError(f"cannot write {path} ({error.strerror or error}): {need}, {remedy}") from None
    why = "; ".join(dict.fromkeys(failures))
    raise DataError(f"cannot download {path} ({why}): check the network and try again, {remedy}")
