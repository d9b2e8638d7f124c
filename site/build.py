"""`make site`: a static book from `results/`, that any server or a USB stick can hold."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def made_by(index: Path) -> str:
    """A hash of what every page depends on: the site's own code, and the index, which holds the side bar."""
    code = sorted(p for p in HERE.rglob("*.py") if "_static" not in p.parts)
    return hashlib.sha256(b"".join(p.read_bytes() for p in [*code, index])).hexdigest()


def build(results: Path, profile: str, output: Path, *, repository: str = "", fresh: bool = False) -> int:
    """Build the site; returns the exit status: 0 only without a warning.

    Args:
        results: as `make reproduce` leaves it.
        profile: whose results are shown.
        output: the site; what Sphinx reads and keeps lies beside it.
        repository: "owner/name", for the links to the sources, Colab and Binder.

    Raises:
        SiteError: nothing to show, or a figure that is missing.
    """
    sys.path.insert(0, str(ROOT))
    from launch import checked
    from slim import slim
    from stage import Published, stage

    source = output.with_name(output.name + "-source")
    names = stage(Published(results / profile), source, output, checked(repository))
    os.environ["EQFLOW_SITE_FIGURES"] = str(output / "figures")
    os.environ["EQFLOW_SITE_RESULTS"] = str(results / profile)
    os.environ["EQFLOW_SITE_REPOSITORY"] = repository
    os.environ["EQFLOW_SITE_MADE_BY"] = made_by(source / "index.md")
    from sphinx.cmd.build import main as sphinx

    begun = time.perf_counter()
    doctrees = output.with_name(output.name + "-doctrees")
    options = ["-b", "html", "-q", "-W", "--keep-going", "-j", "auto", "-c", str(HERE), "-d", str(doctrees)]
    status = sphinx([*options, *(["-E", "-a"] if fresh else []), str(source), str(output)])
    if status == 0:
        slim(output)
        size = sum(p.stat().st_size for p in output.rglob("*") if p.is_file()) / 1e6
        print(
            f"site: {len(names)} notebooks, {size:.0f} MB, {time.perf_counter() - begun:.0f} s: "
            f"open {output / 'index.html'}"
        )
    return status


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make site", description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--repository", default="", help="owner/name: links to sources, Colab, Binder")
    parser.add_argument("--fresh", action="store_true", help="read and write every page again")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(HERE))
    try:
        where = options.results.resolve(), options.profile, options.output.resolve()
        return build(*where, repository=options.repository, fresh=options.fresh)
    except ValueError as error:
        print(f"site: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
