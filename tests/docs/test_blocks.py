"""Every command and file of the pages is run or read, or its block says what a test would need."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mixscale.cli.main import cli
from tests.docs.blocks import PAGES, ROOT, Block, blocks, commands, typed
from tests.docs.folders import Made, filled, run_block
from tests.docs.printed import differences, note, noted, transcript
from tests.docs.yaml_blocks import complaint

NEEDS = {
    "a corpus, minutes",
    "a network",
    "a terminal",
    "an object store",
    "data of tasks",
    "DuckDB's own program",
    "files of yours",
    "GPUs",
    "lm-eval",
    "minutes",
    "published tables",
    "several GPUs",
    "several machines",
}
"""What a test has not, or not for long enough."""
SHOWN = {"text", "json", "csv", "diff", "toml"}
"""Languages of blocks in which there is nothing to run."""
ALL = [block for page in PAGES for block in blocks(page)]
RUN = sorted({(block.page, block.folder) for block in ALL if block.kind == "run"})
INLINE = re.compile(r"(?<!`)`(mixscale [a-z][^`]*|make [a-z][^`]*)`(?!`)")


def by_place(wanted: list[Block]) -> list:
    return [pytest.param(block, id=block.where) for block in wanted]


def test_every_block_says_how_it_is_tested() -> None:
    unsaid = [
        f"{block.where} ({block.language or 'no language'})"
        for block in ALL
        if block.kind is None and block.language not in SHOWN | {"yaml"}
    ]
    assert unsaid == []


def test_what_blocks_need_is_known() -> None:
    assert {block.about for block in ALL if block.kind == "needs"} <= NEEDS


@pytest.mark.parametrize("block", by_place([one for one in ALL if one.kind == "tested"]))
def test_the_test_of_a_block_exists_and_reads_its_page(block: Block) -> None:
    for name in block.about.split(", "):
        source = (ROOT / name).read_text(encoding="utf-8")
        assert block.page.stem in source, f"{name} does not read {block.page.name}"


@pytest.mark.parametrize(
    "block", by_place([one for one in ALL if one.language == "yaml" and one.kind is None])
)
def test_every_yaml_block_is_read(block: Block) -> None:
    assert complaint(block.body) is None


@pytest.mark.parametrize(
    ("page", "folder"),
    [pytest.param(*one, id=f"{one[0].relative_to(ROOT)}-{one[1]}") for one in RUN],
)
def test_commands_run_and_print_what_is_shown(
    page: Path, folder: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, names = made[folder]
    here = tmp_path / folder
    shutil.copytree(original, here)
    monkeypatch.chdir(here)
    variables: dict[str, object] = {}
    wrong = []
    for block in blocks(page):
        if block.kind != "run" or block.folder != folder:
            continue
        if block.language == "python":
            exec(compile(filled(block.body, names), block.where, "exec"), variables)
            continue
        printed = run_block(block, here, names)
        if block.language == "console":
            wrong += differences(block.body, transcript(block, printed))
    assert not wrong, "\n".join([*wrong, f"write it anew: python -m tests.docs.printed {page}"])


@pytest.mark.parametrize("page", sorted({block.page for block in ALL if block.kind == "record"}))
def test_what_was_recorded_is_of_these_commands_and_this_version(page: Path) -> None:
    assert noted(page) == note(page), f"write it anew: python -m tests.docs.printed --record {page}"
    shown = [block for block in blocks(page) if block.kind == "record"]
    assert [one.where for one in shown if len(one.body.splitlines()) <= len(typed(one))] == []


def mentioned() -> Iterator[tuple[str, str]]:
    """Every command that a page names, in blocks and in its text, with its place."""
    for block in ALL:
        if block.language in ("bash", "console"):
            for command in commands(block):
                yield block.where, command
    for page in PAGES:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            for command in INLINE.findall(line):
                yield f"{page.relative_to(ROOT)}:{number}", command


def unknown(command: str) -> str | None:
    """Say what of a command does not exist: its name, or an option."""
    words = shlex.split(command.replace("…", "x"), comments=True)
    words = words[next((i for i, word in enumerate(words) if "=" not in word), 0) :]
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return None if words[1] in targets else f"no target {words[1]}"
    if words[:2] == ["python", "-m"]:
        path = ROOT / words[2].replace(".", "/")
        found = path.is_dir() or path.with_suffix(".py").exists()
        return None if found else f"no module {words[2]}"
    if words[0] != "mixscale" or words[1].isupper() or words[1].startswith("-"):
        return None
    wanted = cli.commands.get(words[1])
    if wanted is None:
        return f"no command {words[1]}"
    # A command keeps what help is called where it is first asked: as the command line asks.
    above = click.Context(cli, info_name="mixscale", **cli.context_settings)
    parameters = wanted.get_params(click.Context(wanted, parent=above))
    options = {name for one in parameters for name in one.opts}
    given = [word.split("=")[0] for word in words[2:] if word.startswith("--")]
    missing = [name for name in given if name not in options]
    return f"{words[1]} has no {', '.join(missing)}" if missing else None


def test_every_command_and_option_that_is_named_exists() -> None:
    wrong = [f"{where}: {said}" for where, command in mentioned() if (said := unknown(command))]
    assert wrong == []
