"""The installed packages against what mixscale and its extras require; none is imported here."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mixscale.doctor.ask import ask_python, last_words
from mixscale.doctor.finding import Finding
from mixscale.runtime.extras import EXTRAS

_OLDEST, _TOO_NEW = (3, 10), (3, 13)
_HEAVY = (
    "mosaicml",
    "mosaicml-streaming",
    "torch",
    "torchmetrics",
    "transformers",
    "lm-eval",
    "ray",
)
"""Packages that pin each other; a version that one of them refuses breaks it at import."""
_BASIC_MODULES = (
    "click", "duckdb", "gigatoken", "numpy", "orjson", "pyarrow", "pydantic", "scipy", "tokenizers",
    "xxhash", "zstandard",
)  # fmt: skip
"""Compiled packages that the basic commands start with."""
_PROBE_SECONDS = 120


def look_at_python() -> Finding:
    """Compare the version of Python with those that mixscale is made for."""
    version = sys.version.split()[0]
    text = f"Python {version}, {sys.executable}"
    if _OLDEST <= sys.version_info[:2] < _TOO_NEW:
        return Finding(topic="python", state="ok", text=text)
    return Finding(
        topic="python",
        state="error",
        text=text,
        remedy="use Python 3.10, 3.11 or 3.12",
    )


def look_at_base() -> list[Finding]:
    """Compare what every command needs with what is installed, and load it once."""
    wrong = [text for requirement in _required(None) for text in _complaint(requirement)]
    if wrong:
        return [
            Finding(
                topic="packages",
                state="error",
                text="; ".join(wrong),
                remedy="pip install --upgrade mixscale",
            )
        ]
    failure = _import_failure()
    if failure is not None:
        return [
            Finding(
                topic="packages",
                state="error",
                text=f"installed, but not to be loaded: {failure}",
                remedy="pip install --force-reinstall mixscale",
            )
        ]
    return [Finding(topic="packages", state="ok", text="all that the basic commands need")]


def look_at_extras() -> list[Finding]:
    """Say which extras are installed, with the versions that matter."""
    return [_extra(name) for name in EXTRAS]


def look_at_conflicts() -> list[Finding]:
    """Find heavy packages that refuse the version of another one that is installed."""
    found = []
    for package in _HEAVY:
        version = installed_version(package)
        if version is None:
            continue
        for requirement in _requirements(package, None):
            name = canonicalize_name(requirement.name)
            other = installed_version(name) if name in _HEAVY else None
            if other is not None and not requirement.specifier.contains(other, prereleases=True):
                found.append(
                    Finding(
                        topic="conflict",
                        state="warning",
                        text=f"{package} {version} needs {requirement.name}"
                        f"{requirement.specifier}, found {other}",
                        remedy=f"pip install '{requirement.name}{requirement.specifier}'",
                    )
                )
    return found


def missing_modules(extra: str) -> list[str]:
    """List the modules of an extra that are not installed."""
    return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


def installed_version(package: str) -> str | None:
    """Return the version of a package; nothing when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extra(name: str) -> Finding:
    missing = missing_modules(name)
    pip = f"pip install 'mixscale[{name}]'"
    topic = f"extra {name}"
    if missing:
        text = f"not installed: {', '.join(missing)}"
        return Finding(topic=topic, state="note", text=text, remedy=pip)
    required = list(_required(name))
    wrong = [text for requirement in required for text in _complaint(requirement)]
    if wrong:
        return Finding(topic=topic, state="warning", text="; ".join(wrong), remedy=pip)
    versions = [f"{r.name} {installed_version(r.name)}" for r in required if r.name != "mixscale"]
    return Finding(topic=topic, state="ok", text=", ".join(versions) or "installed")


def _required(extra: str | None) -> Iterator[Requirement]:
    yield from _requirements("mixscale", extra)


def _requirements(package: str, extra: str | None) -> Iterator[Requirement]:
    """Read what a package requires here, or one of its extras; nothing when it is not installed."""
    try:
        lines = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        try:
            requirement = Requirement(line)
            without, with_extra = _applies(requirement, ""), _applies(requirement, extra or "")
        except (InvalidRequirement, UndefinedEnvironmentName):
            continue
        if with_extra and (extra is None or not without):
            yield requirement


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _complaint(requirement: Requirement) -> list[str]:
    version = installed_version(requirement.name)
    if version is None:
        return [f"{requirement.name} is not installed"]
    if not requirement.specifier.contains(version, prereleases=True):
        return [f"{requirement.name} {version} does not meet {requirement.specifier}"]
    return []


def _import_failure() -> str | None:
    """Load the compiled packages in another process: a wheel for another processor kills it."""
    missing = [name for name in _BASIC_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        return f"no module {missing[0]}"
    # What this process finds in the folder it was started in, another would find there, too.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = ask_python(f"import {', '.join(_BASIC_MODULES)}", _PROBE_SECONDS, environment)
    if isinstance(done, str):
        return done
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    return last_words(done)
