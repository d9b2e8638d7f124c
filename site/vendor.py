"""Fetch what the site ships from the npm registry, pinned (for maintainers; needs npm).

KaTeX's fonts go into its style sheet: from file:// some browsers load no font that lies beside a page.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent / "_static" / "vendor"
KATEX = (
    "katex@0.19.1",
    "sha512-jG8uKntjSEcm2EpQOh0XturpPuuC9r3Sq5HLHdsFdWZT27E672SF19QEi+of0/YeOy15lDgRhKvr5614uRrEfA==",
)
AXE = (  # only the tests read it; the site ships nothing of it
    "axe-core@4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)
TESTS = Path(__file__).parents[1] / "tests" / "site" / "vendor"


def package(name: str, integrity: str) -> dict[str, bytes]:
    """Path -> content of a package's files; ValueError where its bytes are not those that were pinned."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["npm", "pack", "--silent", name], cwd=folder, capture_output=True, check=True, text=True
        )
        data = (Path(folder) / done.stdout.strip().splitlines()[-1]).read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != integrity:
        raise ValueError(f"expected {name} with {integrity}; got {found}")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name.partition("/")[2]: tar.extractfile(m).read() for m in tar if m.isfile()}


def with_fonts(css: str, files: dict[str, bytes]) -> str:
    """KaTeX's style sheet with each woff2 font inside, and no other format."""

    def embedded(match: re.Match) -> str:
        font = base64.b64encode(files[f"dist/fonts/{match['name']}.woff2"]).decode("ascii")
        return f'src:url(data:font/woff2;base64,{font}) format("woff2")'

    css, count = re.subn(r"src:url\(fonts/(?P<name>[\w-]+)\.woff2\)[^;}]*", embedded, css)
    if not count or "url(fonts" in css:
        raise ValueError(f"expected a style sheet whose fonts are named as src:url(fonts/...); found {count}")
    return css


def katex() -> None:
    files, folder = package(*KATEX), VENDOR / "katex"
    folder.mkdir(parents=True, exist_ok=True)
    css = with_fonts(files["dist/katex.min.css"].decode(), files)
    (folder / "katex.min.css").write_text(css, encoding="utf-8")
    (folder / "katex.min.js").write_bytes(files["dist/katex.min.js"])
    (folder / "LICENSE").write_bytes(files["LICENSE"])
    (folder / "VERSION").write_text("\n".join(KATEX) + "\n", encoding="utf-8")


def axe() -> None:
    files, folder = package(*AXE), TESTS / "axe-core"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("axe.min.js", "LICENSE"):
        (folder / name).write_bytes(files[name])
    (folder / "VERSION").write_text("\n".join(AXE) + "\n", encoding="utf-8")


if __name__ == "__main__":
    katex()
    axe()
    sys.stdout.write("".join(f"{p.relative_to(VENDOR)}\n" for p in sorted(VENDOR.rglob("*")) if p.is_file()))
