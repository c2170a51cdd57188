"""Wheels of this checkout, and environments that they are installed into without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("contracts", "ingest", "shards", "train", "fit")
"""Folders at the top of the repository that are installed below `mixscale`."""


def copy_of_checkout(folder: Path) -> Path:
    """Copy what a wheel is made of, so that nothing of it is written into the checkout.

    The links below `mixscale/` are left out: they are for type checkers alone.
    """
    folder.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("mixscale", *FOLDERS):
        shutil.copytree(ROOT / name, folder / name, ignore=_left_out)
    return folder


def _left_out(folder: str, names: list[str]) -> set[str]:
    return {n for n in names if n == "__pycache__" or (Path(folder) / n).is_symlink()}


def build_sdist(source: Path, out: Path) -> Path:
    """Make a source distribution with the build backend that pyproject.toml names."""
    out.mkdir(parents=True)
    hook = f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r})"
    _run([sys.executable, "-c", hook], cwd=source)
    (made,) = out.iterdir()
    return made


def build_wheel(source: Path, out: Path) -> Path:
    """Make a wheel from a folder or a source distribution."""
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(out)]
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", *options, str(source)], cwd=ROOT.parent)
    (made,) = out.iterdir()
    return made


def files_of(wheel: Path) -> set[str]:
    """List a wheel's files without its own metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    return {name for name in names if not name.partition("/")[0].endswith(".dist-info")}


@dataclass(frozen=True)
class Installed:
    """An environment of its own that holds the wheel and can import other packages."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """Its site-packages."""
        (site,) = self.folder.glob("lib/python*/site-packages")
        return site

    def run(self, *command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of its `bin/` as a user does who sits in `cwd`."""
        program, *arguments = command
        return subprocess.run(
            [str(self.folder / "bin" / str(program)), *map(str, arguments)],
            cwd=cwd,
            env=_clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )


def install(wheel: Path, folder: Path, others: list[Path]) -> Installed:
    """Install a wheel into an environment of its own.

    Args:
        wheel: What to install.
        folder: Where the environment goes.
        others: Folders whose packages can be imported there too. Their `.pth` files have no
            effect, so an editable installation of this checkout among them has none either.
    """
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], cwd=folder.parent)
    installed = Installed(folder)
    (installed.site / "others.pth").write_text("".join(f"{path}\n" for path in others))
    pip = [sys.executable, "-m", "pip", "--python", str(installed.python)]
    options = ["--quiet", "--no-deps", "--no-index", "--ignore-installed"]
    _run([*pip, "install", *options, str(wheel)], cwd=folder.parent)
    return installed


def running_packages() -> list[Path]:
    """The folders that this process imports installed packages from."""
    return [Path(entry) for entry in sys.path if Path(entry).name == "site-packages"]


def add_script(installed: Installed, name: str) -> None:
    """Add a command of an imported package, as pip would have written it."""
    (entry,) = metadata.entry_points(group="console_scripts", name=name)
    script = installed.folder / "bin" / name
    script.write_text(
        f"#!{installed.python}\nimport sys\nfrom {entry.module} import {entry.attr}\n"
        f"sys.exit({entry.attr}())\n"
    )
    script.chmod(0o755)


def link_requirements(wheel: Path, folder: Path) -> Path:
    """Link the packages that a wheel requires without extras, and no other, into a folder."""
    folder.mkdir(parents=True)
    (found,) = metadata.distributions(name="mixscale", path=[str(wheel)])
    waiting, done = list(found.requires or ()), set()
    while waiting:
        requirement = Requirement(waiting.pop())
        extras = {"", *requirement.extras}
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": e}) for e in extras):
            continue
        if requirement.name in done:
            continue
        done.add(requirement.name)
        distribution = metadata.distribution(requirement.name)
        waiting += [text for text in distribution.requires or () if "extra ==" not in text]
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (folder / top).symlink_to(str(distribution.locate_file(top)))
    return folder


def _clean_environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COVERAGE"))}
    return kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def _run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=_clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
