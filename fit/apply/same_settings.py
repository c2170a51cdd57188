"""The proof that a rewritten YAML text holds the same settings with other proportions."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError as RuamelError

from mixscale.contracts.errors import UserError

_PROPORTION = "proportion"
_BY_HAND = "nothing was written; write the proportions by hand"
Path = tuple[Any, ...]


def check_only_proportions_differ(
    before: str, after: str, place: tuple[str, ...], shares: Mapping[str, str]
) -> None:
    """Read both texts with two YAML readers and compare what they hold.

    One reader is ours (ruamel, YAML 1.2), the other is LLM Foundry's (PyYAML, YAML 1.1).

    Args:
        before: The text as it was.
        after: The text as it is to be written.
        place: Keys that lead to the streams.
        shares: The number that each stream is to have, as written.

    Raises:
        UserError: A reader cannot read a text, or the two hold anything that differs but the
            proportions of the streams.
    """
    expected = {(*place, name, _PROPORTION): float(share) for name, share in shares.items()}
    for name, read in {"ruamel.yaml": _by_ruamel, "PyYAML": _by_pyyaml}.items():
        old = read(before, f"{name} cannot read the file as it is")
        new = read(after, f"{name} could not read the rewritten file; {_BY_HAND}")
        try:
            differing = set(_differences(old, new, (), []))
        except RecursionError as error:
            raise UserError(f"the YAML refers to itself too deeply; {_BY_HAND}") from error
        elsewhere = sorted(".".join(map(str, path)) for path in differing - set(expected))
        if elsewhere:
            raise UserError(
                f"{', '.join(elsewhere)}: would change with the proportions of "
                f"{'.'.join(place)}, as it takes its settings from there through an alias or a "
                f"merge (<<); write them out there. {_BY_HAND.partition(';')[0].capitalize()}"
            )
        for path, share in expected.items():
            if _value_at(new, path) != share:
                raise UserError(f"{'.'.join(path)}: cannot be rewritten as it stands; {_BY_HAND}")


def _by_ruamel(text: str, complaint: str) -> Any:
    return _read(lambda: YAML(typ="safe", pure=True).load(text), complaint)


def _by_pyyaml(text: str, complaint: str) -> Any:
    return _read(lambda: yaml.safe_load(io.StringIO(text)), complaint)


def _read(load: Callable[[], Any], complaint: str) -> Any:
    try:
        return load()
    # A wrong date or an unhashable key raises what Python makes of it.
    except (RuamelError, yaml.YAMLError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error).strip().splitlines()[0]
        raise UserError(f"{line}{complaint} ({problem})") from error


def _differences(old: Any, new: Any, path: Path, within: list[tuple[int, int]]) -> Iterator[Path]:
    """Yield the paths at which two values differ."""
    pair = (id(old), id(new))
    if pair in within:
        return  # what contains itself differs where it has been looked at already
    within.append(pair)
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                yield (*path, key)
            else:
                yield from _differences(old[key], new[key], (*path, key), within)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (first, second) in enumerate(zip(old, new, strict=True)):
            yield from _differences(first, second, (*path, number), within)
    # Texts of numbers compare NaN with itself.
    elif type(old) is not type(new) or repr(old) != repr(new):
        yield path
    within.pop()


def _value_at(document: Any, path: Path) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document
