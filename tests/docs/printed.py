"""What commands of the pages print: compared with a run, or written anew.

    python -m tests.docs.printed [--record] [PAGE ...]

runs the commands of every console block whose comment begins with `run:`, and writes what they
print below them. With `--record` it also runs those that take minutes (`record`), in an empty
folder, and notes below the page what they were run with. `reference/commands.md` is written from
the command line itself.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.docs import command_reference
from tests.docs.blocks import PAGES, ROOT, Block, blocks, commands, typed
from tests.docs.folders import Made, run_block

_NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
_FIT = re.compile(r"(?<=-)[0-9a-f]{8}\b")
"""The end of a fit's name: a hash of all that it was fitted with."""
_RULES = re.compile(r"[─━┄┏┓┗┛┡┩├┤┳┻╇┼┬┴│┃└┘┌┐╭╮╰╯ ]+")
_NOTE = re.compile(r"\n<!-- recorded: [^\n]* -->\n")


def transcript(block: Block, printed: list[str]) -> str:
    """The body of a console block: each command, and what it printed below it."""
    first, last = block.option("first"), block.option("last")
    parts = []
    for command, output in zip(typed(block), printed, strict=True):
        lines = [line.rstrip() for line in output.strip("\n").splitlines()]
        if first is not None and len(lines) > first:
            lines = [*lines[:first], "…"]
        if last is not None and len(lines) > last:
            lines = ["…", *lines[-last:]]
        parts.append("\n".join([command, *lines]))
    return "\n".join(parts) + "\n"


def differences(shown: str, real: str) -> list[str]:
    """The lines of a transcript that are not what was printed.

    Words must be equal, and numbers nearly: last digits of a fit differ from machine to machine.
    """
    left, right = shown.splitlines(), real.splitlines()
    if len(left) != len(right):
        return [f"{len(left)} lines are shown, {len(right)} were printed", real]
    return [
        f"- {one}\n+ {other}"
        for one, other in zip(left, right, strict=True)
        if not _alike(one, other)
    ]


def _alike(one: str, other: str) -> bool:
    one, other = _FIT.sub("", one), _FIT.sub("", other)
    words = [_RULES.sub(" ", _NUMBER.sub("#", text)).strip() for text in (one, other)]
    if words[0] != words[1]:
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(_near(first, second) for first, second in pairs)


def _near(one: str, other: str) -> bool:
    first, second = (float(text.replace(",", "")) for text in (one, other))
    decimals = max(len(text.partition(".")[2].partition("e")[0]) for text in (one, other))
    return abs(first - second) <= max(0.03 * max(abs(first), abs(second)), 2 * 10.0**-decimals)


def note(page: Path) -> str:
    """What recorded commands of a page were run with: the version, a hash of all that was typed."""
    said = [
        "\n".join(typed(block)) if block.language == "console" else block.body
        for block in blocks(page)
    ]
    digest = hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]
    return f"\n<!-- recorded: mixscale {version('mixscale')}, commands and files {digest} -->\n"


def noted(page: Path) -> str | None:
    """What a page says about that."""
    found = _NOTE.search(page.read_text(encoding="utf-8"))
    return found[0] if found else None


def main() -> None:
    """Write what the commands of the pages print."""
    parser = argparse.ArgumentParser(description="Write what the commands of the pages print.")
    parser.add_argument("pages", nargs="*", type=Path, help="all when none is named")
    parser.add_argument("--record", action="store_true", help="also what takes minutes")
    arguments = parser.parse_args()
    command_reference.PAGE.write_text(command_reference.page(), encoding="utf-8")
    wanted = {path.resolve() for path in arguments.pages} or set(PAGES)
    with tempfile.TemporaryDirectory() as scratch:
        made = Made(Path(scratch))
        for page in PAGES:
            if page in wanted:
                _write(page, made, record=arguments.record)


def _write(page: Path, made: Made, *, record: bool) -> None:
    """Write what the commands of one page print, and nothing else anew."""
    kinds = ("run", "record") if record else ("run",)
    text, moved = page.read_text(encoding="utf-8"), 0
    for block in blocks(page):
        if block.kind not in kinds or block.language not in ("bash", "console"):
            continue
        name = "empty" if block.kind == "record" else block.folder
        original, names = made[name]
        folder = made.parent / page.stem / name
        if not folder.exists():
            shutil.copytree(original, folder)
        printed = run_block(block, folder, names)
        print(f"{page.relative_to(ROOT)}:{block.line}", *commands(block), sep="\n  ")
        if block.language == "console":
            body = transcript(block, printed)
            start, end = (at + moved for at in block.span)
            text = text[:start] + body + text[end:]
            moved += len(body) - len(block.body)
    page.write_text(text, encoding="utf-8")
    if record and any(block.kind == "record" for block in blocks(page)):
        page.write_text(_NOTE.sub("", text).rstrip("\n") + "\n" + note(page), encoding="utf-8")


if __name__ == "__main__":
    main()
