"""The reference has every command, option, key and default, as the code has them."""

from __future__ import annotations

import re
from typing import Any

import pydantic
import pytest
import yaml

from mixscale.contracts import experiment
from mixscale.fit.inputs.options import TableSettings
from mixscale.ingest import corpus
from mixscale.pages.glossary import DEFINITIONS
from mixscale.train import config
from tests.docs import command_reference
from tests.docs.blocks import ROOT

REFERENCE = ROOT / "docs" / "reference"
TABLES: dict[type[pydantic.BaseModel], tuple[str, str, int]] = {
    corpus.Corpus: ("corpus.md", "All keys", 0),
    corpus.Domain: ("corpus.md", "`domains`", 0),
    corpus.Window: ("corpus.md", "`domains`", 1),
    corpus.Route: ("corpus.md", "`route`", 0),
    corpus.TokenizerConfig: ("corpus.md", "`tokenizer`", 0),
    corpus.TrainTokenizer: ("corpus.md", "`tokenizer`", 1),
    corpus.Split: ("corpus.md", "`split`", 0),
    corpus.Duplicates: ("corpus.md", "`duplicates`", 0),
    corpus.Near: ("corpus.md", "`duplicates`", 1),
    corpus.Shards: ("corpus.md", "`shards`", 0),
    experiment.Experiment: ("experiment.md", "All keys", 0),
    experiment.DdoDesign: ("experiment.md", "`ddo`", 0),
    experiment.SwarmDesign: ("experiment.md", "`swarm`", 0),
    experiment.ExplicitDesign: ("experiment.md", "`explicit`", 0),
    experiment.Evaluation: ("experiment.md", "`evaluation`", 0),
    experiment.Objective: ("experiment.md", "`objective`", 0),
    experiment.Constraints: ("experiment.md", "`constraints`", 0),
    experiment.GroupBound: ("experiment.md", "`constraints`", 1),
    experiment.ModelSize: ("experiment.md", "`models`", 0),
    config.RunConfig: ("run.md", "All keys", 0),
    config.ModelConfig: ("run.md", "`model`", 0),
    config.TokenizerConfig: ("run.md", "`tokenizer`", 0),
    config.LoaderConfig: ("run.md", "Loaders", 0),
    config.DatasetConfig: ("run.md", "`dataset`", 0),
    config.StreamConfig: ("run.md", "`streams`", 0),
    TableSettings: ("tables.md", "Settings", 0),
}
"""Where the keys of each model are: page, heading, and number of the table of keys below it."""
OF_ALL_DESIGNS = {"type", "repetition"}
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*) \|$")


def rows_of(model: type[pydantic.BaseModel]) -> dict[str, tuple[str, str]]:
    """Default and meaning of each key, as its table says."""
    name, heading, number = TABLES[model]
    text = (REFERENCE / name).read_text(encoding="utf-8")
    start = re.search(rf"^#+ {re.escape(heading)}$", text, re.MULTILINE)
    assert start, f"{name} has no section {heading}"
    section = re.split(r"^## |^### (?!Filters)", text[start.end() :], flags=re.MULTILINE)[0]
    table = section.split("| key | default | meaning |\n|---|---|---|\n")[number + 1]
    found = (ROW.match(line) for line in table.split("\n\n")[0].splitlines())
    return {row[1]: (row[2], row[3]) for row in found if row}


def by_name(models: Any) -> list:
    return [pytest.param(model, id=f"{model.__module__}.{model.__name__}") for model in models]


@pytest.mark.parametrize("model", by_name(TABLES))
def test_every_key_has_a_row_with_its_default(model: type[pydantic.BaseModel]) -> None:
    rows = rows_of(model)
    fields = dict(model.model_fields)
    if issubclass(model, experiment._DesignOfAnyType):
        fields = {key: field for key, field in fields.items() if key not in OF_ALL_DESIGNS}
    assert set(rows) == set(fields)
    assert [key for key, (_, meaning) in rows.items() if not meaning.strip()] == []
    wrong = [
        f"{key}: {shown} is shown, {plain(default)!r} is the default"
        for key, (shown, _) in rows.items()
        if not agrees(shown, default := default_of(fields[key]))
    ]
    assert wrong == []


def default_of(field: Any) -> Any:
    return ... if field.is_required() else field.get_default(call_default_factory=True)


def plain(value: Any) -> Any:
    """A default as YAML would have it."""
    if value is ...:
        return "needed"
    return pydantic.TypeAdapter(Any).dump_python(value, mode="json")


def agrees(shown: str, default: Any) -> bool:
    """Whether a cell says what the default is; words may stand for one that is made later."""
    if default is ...:
        return shown.startswith("needed")
    if shown.startswith("`"):
        return yaml.safe_load(shown.strip("`")) == plain(default)
    later = default is None or isinstance(default, pydantic.BaseModel) or not default
    return later and shown != "needed"


def test_every_key_of_a_section_of_its_own_is_known() -> None:
    for parts, of in ((corpus, corpus.Corpus), (config, config.RunConfig)):
        models = {
            one
            for one in vars(parts).values()
            if isinstance(one, type)
            and issubclass(one, pydantic.BaseModel)
            and one.__module__ == of.__module__
            and one.model_fields
        }
        left = {one.__name__ for one in models - set(TABLES)}
        assert left <= {"Named"}


def test_the_types_of_designs_are_all_described() -> None:
    text = (REFERENCE / "experiment.md").read_text(encoding="utf-8")
    section = text.split("## `design`\n")[1].split("\n### ")[0]
    rows = {row[1] for line in section.splitlines() if (row := ROW.match(line))}
    assert rows == OF_ALL_DESIGNS


def test_the_page_of_commands_is_the_command_line() -> None:
    page = command_reference.PAGE.read_text(encoding="utf-8")
    assert page == command_reference.page(), "write it anew: python -m tests.docs.printed"


def test_the_python_page_has_all_that_is_public() -> None:
    import mixscale as ms

    text = (REFERENCE / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^::: [\w.]+\.(\w+)$", text, re.MULTILINE))
    assert named | {"__version__"} == set(ms.__all__)


def test_the_glossary_has_the_words_that_the_pages_of_results_explain() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = {word for row in re.findall(r"^\| ([^|]+) \|", text, re.M) for word in row.split(", ")}
    assert sorted(set(DEFINITIONS) - words) == []
