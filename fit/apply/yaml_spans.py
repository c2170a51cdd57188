"""Where the parts of a YAML text lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from mixscale.contracts.errors import UserError


@dataclass(kw_only=True)
class Node:
    """A value of the document with its place in the text, in characters."""

    kind: Literal["mapping", "sequence", "scalar", "alias"]
    start: int
    end: int
    line: int
    """1-based."""
    column: int
    """0-based."""
    anchor: str | None = None
    """The anchor on the value, or the anchor an alias refers to."""
    value: str = ""
    """Of a scalar."""
    flow: bool = False
    """Whether a mapping is written with braces."""
    entries: list[tuple[Node, Node]] = field(default_factory=list)
    """Keys with values of a mapping."""
    items: list[Node] = field(default_factory=list)

    def entry(self, key: str) -> tuple[Node, Node] | None:
        """A key written in this mapping itself, merges aside, with its value."""
        for name, value in self.entries:
            if name.kind == "scalar" and name.value == key:
                return name, value
        return None

    def get(self, key: str) -> Node | None:
        """The value under a key written in this mapping itself, merges aside."""
        found = self.entry(key)
        return None if found is None else found[1]

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for key, value in self.entries:
            yield from key.walk()
            yield from value.walk()
        for item in self.items:
            yield from item.walk()


def parse_spans(text: str) -> Node:
    """Parse one YAML document into nodes that know where they are written.

    Unlike composed nodes these keep an alias as itself, so a change can leave the anchor alone.

    Raises:
        UserError: The text is not one YAML document with a mapping at the top.
    """
    try:
        events = list(YAML(typ="rt", pure=True).parse(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        problem = (error.problem or "cannot parse").splitlines()[0]
        raise UserError(f"line {line}: not valid YAML: {problem}") from error
    except YAMLError as error:
        raise UserError(f"not valid YAML: {str(error).splitlines()[0]}") from error
    documents = [i for i, event in enumerate(events) if _name(event) == "DocumentStart"]
    if len(documents) != 1:
        raise UserError(f"expected one YAML document, found {len(documents)}")
    node = _read(iter(events[documents[0] + 1 :]))
    if node is None or node.kind != "mapping":
        raise UserError("expected a YAML mapping (key: value) at the top")
    return node


def _name(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _read(events: Iterator[Any]) -> Node | None:
    """Read one node; None at the end of a collection."""
    event = next(events)
    name = _name(event)
    if name in ("MappingEnd", "SequenceEnd", "DocumentEnd"):
        return None
    kinds: dict[str, Literal["mapping", "sequence", "scalar", "alias"]] = {
        "MappingStart": "mapping",
        "SequenceStart": "sequence",
        "Scalar": "scalar",
        "Alias": "alias",
    }
    node = Node(
        kind=kinds[name],
        start=event.start_mark.index,
        end=event.end_mark.index,
        line=event.start_mark.line + 1,
        column=event.start_mark.column,
        anchor=event.anchor,
        value=getattr(event, "value", ""),
        flow=bool(getattr(event, "flow_style", False)),
    )
    if node.kind == "mapping":
        while (key := _read(events)) is not None:
            value = _read(events)
            assert value is not None
            node.entries.append((key, value))
            node.end = value.end
    elif node.kind == "sequence":
        while (item := _read(events)) is not None:
            node.items.append(item)
    return node
