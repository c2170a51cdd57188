"""`import mixscale` loads nothing heavy, and `mixscale.fit` is a function and a package."""

from __future__ import annotations

import subprocess
import sys

import mixscale as ms


def _python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_import_loads_no_other_package() -> None:
    code = """
import sys
before = set(sys.modules)
import mixscale
print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))
"""
    loaded = set(_python(code).split())
    assert "mixscale" in loaded
    assert loaded - {"mixscale"} <= set(sys.stdlib_module_names)


def test_import_loads_none_of_our_own_modules() -> None:
    code = "import sys, mixscale; print(*(n for n in sys.modules if n.startswith('mixscale')))"
    assert _python(code).split() == ["mixscale"]


def test_every_public_name_is_there() -> None:
    assert set(ms.__all__) <= set(dir(ms))
    for name in ms.__all__:
        assert getattr(ms, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(ms, "biuld")


def test_fit_is_a_function_and_a_package_in_any_order() -> None:
    for first in ("import mixscale as ms; ms.fit", "import mixscale.fit.arrays", "pass"):
        code = f"""
{first}
import mixscale as ms
import mixscale.fit.arrays as arrays
from mixscale.fit.inputs import objective
assert ms.fit.arrays is arrays
try:
    ms.fit("no-such-experiment.yaml")
except ms.UserError as error:
    print(error)
"""
        assert _python(code).startswith("no-such-experiment.yaml: cannot read")
