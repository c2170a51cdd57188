"""No circles of imports, and nothing heavy imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

TRAINING = {"torch", "composer", "streaming", "torchmetrics"}
LIGHT = TRAINING | {"transformers", "lightgbm", "matplotlib", "scipy", "ray"}


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("mixscale", exclude_type_checking_imports=True, cache_dir=None)
    imports = {
        module: {imported for imported in graph.find_modules_directly_imported_by(module)}
        for module in graph.modules
    }
    assert len(imports) > 100
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail("circle of imports: " + " imports ".join(reversed(error.args[1])))


def loaded(code: str) -> set[str]:
    """Run code in a process of its own; the top-level modules that it has loaded in the end."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HELP = """
import sys
sys.argv = ["mixscale", *{arguments}]
from mixscale.cli.main import cli
cli.main(standalone_mode=False)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["sql", "--help"], ["sweep", "--help"], ["completion", "bash"]]
)
def test_help_loads_little(arguments: list[str]) -> None:
    heavy = LIGHT | {"numpy", "pyarrow", "duckdb", "pydantic", "rich"}
    assert loaded(HELP.format(arguments=arguments)) & heavy == set()


@pytest.mark.parametrize(
    "module",
    [
        "shards.sql.query",
        "shards.sql.domain_table",
        "shards.verify.verify",
        "fit.fit_experiment",
        "fit.fit_tables",
        "fit.pipeline",
        "fit.apply.run_yaml",
        "ingest.build",
        "propose.propose",
        "doctor.examine",
    ],
)
def test_what_needs_no_training_loads_none(module: str) -> None:
    assert loaded(f"import mixscale.{module}") & LIGHT == set()
