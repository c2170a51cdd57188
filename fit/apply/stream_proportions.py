"""The text of a run's YAML with other stream proportions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mixscale.contracts.errors import UserError
from mixscale.fit.apply.exact_decimals import exact_shares
from mixscale.fit.apply.same_settings import check_only_proportions_differ
from mixscale.fit.apply.yaml_spans import Node, parse_spans

STREAMS = ("train_loader", "dataset", "streams")
_WHERE = ".".join(STREAMS)
_MARK = "# mixscale proportions:"
# What Streaming does not allow beside a proportion: amounts that are not shares.
_ABSOLUTE = ("repeat", "choose")
_COLON = re.compile(r"\s*:")
_COMMENTS_ON_TOP = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\n|\r))*")


def with_proportions(
    yaml_text: str,
    proportions: Mapping[str, float],
    *,
    provenance: str,
    streams: Mapping[str, str] | None = None,
) -> str:
    """Rewrite the `proportion` of every stream; every other character stays.

    A stream without a proportion of its own gets one as its first key. One comment line at the top
    names the source and replaces the line of an earlier rewriting. What comes out is read again by
    two YAML readers before it is returned.

    Args:
        yaml_text: A run's YAML with `train_loader.dataset.streams`.
        proportions: Share by domain, summing to 1.
        provenance: Where they come from, on one line.
        streams: Stream name of each domain whose stream is called otherwise.

    Raises:
        UserError: Streams and domains differ, a stream takes absolute amounts (`repeat`, `choose`),
            streams share one text through an alias, a key is there twice, or anything but the
            proportions would change.
    """
    root = parse_spans(yaml_text)
    _refuse_duplicates(root)
    place, node = _find_streams(root)
    by_stream = _by_stream(proportions, streams or {})
    found = {key.value: (key, value) for key, value in node.entries}
    differing = sorted(set(found) ^ set(by_stream))
    if differing:
        raise UserError(
            f"{_WHERE}: {sorted(found)} does not match the fitted domains "
            f"{sorted(by_stream)}; differing: {differing}. Map names with --stream DOMAIN=STREAM."
        )
    shares = exact_shares({name: by_stream[name] for name in found})
    edits = [
        _edit(yaml_text, name, value, shares[name], root) for name, (_, value) in found.items()
    ]
    changed = yaml_text
    for start, end, text in sorted(edits, reverse=True):
        changed = changed[:start] + text + changed[end:]
    changed = _with_provenance(changed, provenance)
    check_only_proportions_differ(yaml_text, changed, place, shares)
    return changed


def _refuse_duplicates(root: Node) -> None:
    """Refuse a key that a mapping has twice: readers differ in which of the two they take."""
    for mapping in root.walk():
        lines: dict[str, int] = {}
        for key, _ in mapping.entries:
            if key.kind == "scalar" and key.value in lines:
                raise UserError(
                    f"line {key.line}: {key.value}: this key is on line {lines[key.value]} already "
                    "(some readers take the first, some the last, LLM Foundry's refuses the file); "
                    "remove one of the two"
                )
            lines[key.value] = key.line


def _find_streams(root: Node) -> tuple[tuple[str, ...], Node]:
    # A platform's run file holds the trainer's YAML under `parameters`.
    for prefix in ((), ("parameters",)):
        node: Node | None = root
        for key in (*prefix, *STREAMS):
            inherited = node is not None and (node.kind == "alias" or node.get("<<") is not None)
            below = node.get(key) if node is not None and node.kind == "mapping" else None
            if below is None and inherited and node is not None and node is not root:
                raise UserError(
                    f"line {node.line}: no {key!r} is written here; what comes from elsewhere "
                    f"through an alias or a merge (<<) cannot change here alone: write "
                    f"{_WHERE} out"
                )
            node = below
        if node is not None:
            return (*prefix, *STREAMS), _check_streams(node)
    raise UserError(
        f"no {_WHERE} in the YAML: proportions belong to a run with one stream a domain"
    )


def _check_streams(node: Node) -> Node:
    where = f"line {node.line}: {_WHERE}"
    if node.kind == "alias":
        raise UserError(
            f"{where} is the alias *{node.anchor}: changing it would change the other place too; "
            "write the streams out here"
        )
    if node.kind != "mapping":
        raise UserError(f"{where}: expected a mapping from stream names to settings")
    for key, _ in node.entries:
        if key.value == "<<":
            raise UserError(
                f"line {key.line}: {_WHERE} merges another mapping (<<); write the streams out here"
            )
    return node


def _by_stream(proportions: Mapping[str, float], streams: Mapping[str, str]) -> dict[str, float]:
    unknown = sorted(set(streams) - set(proportions))
    if unknown:
        raise UserError(f"stream map: {unknown} are not fitted domains {sorted(proportions)}")
    names = [streams.get(domain, domain) for domain in proportions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"stream map: several domains lead to the same stream: {twice}")
    return dict(zip(names, proportions.values(), strict=True))


def _edit(text: str, name: str, stream: Node, share: str, root: Node) -> tuple[int, int, str]:
    """Start, end and replacement that give one stream its proportion."""
    where = f"line {stream.line}: {_WHERE}.{name}"
    if stream.kind == "alias":
        raise UserError(
            f"{where} is the alias *{stream.anchor}: its proportion cannot differ from that "
            f"stream's; write `<<: *{stream.anchor}` under {name} instead, so that it can have "
            "its own"
        )
    if stream.kind != "mapping":
        raise UserError(f"{where}: expected the stream's settings (local, remote, split)")
    for key in _ABSOLUTE:
        if _inherited(stream, key, root) is not None:
            raise UserError(
                f"{where}.{key}: Streaming takes either proportions or absolute amounts; "
                f"remove `{key}` from every stream to use proportions"
            )
    entry = stream.entry("proportion")
    return _insertion(text, stream, share) if entry is None else _value(text, entry, share, root)


def _inherited(stream: Node, key: str, root: Node) -> Node | None:
    """The value of a key in a stream or in a mapping merged into it."""
    own = stream.get(key)
    if own is not None:
        return own
    merged = stream.get("<<")
    for alias in [] if merged is None else (merged.items or [merged]):
        source = alias if alias.kind == "mapping" else _anchored(root, alias.anchor)
        found = _inherited(source, key, root) if source is not None else None
        if found is not None:
            return found
    return None


def _anchored(root: Node, anchor: str | None) -> Node | None:
    nodes = (n for n in root.walk() if n.kind == "mapping" and n.anchor == anchor)
    return next(nodes, None)


def _insertion(text: str, stream: Node, share: str) -> tuple[int, int, str]:
    """A new first key, in the mapping's own style."""
    if not stream.entries:
        # An anchor may stand before the braces, and comments between them.
        brace = text.index("{", stream.start) + 1
        return brace, brace, f"proportion: {share}"
    first = stream.entries[0][0]
    quote = '"' if text[first.start] == '"' else ""
    separator = ", " if stream.flow else _newline(text) + " " * first.column
    return first.start, first.start, f"{quote}proportion{quote}: {share}{separator}"


def _value(text: str, entry: tuple[Node, Node], share: str, root: Node) -> tuple[int, int, str]:
    """Replace the value of a proportion that is there, however it is written."""
    key, value = entry
    if value.kind in ("mapping", "sequence"):
        raise UserError(f"line {value.line}: {_WHERE}: a proportion is one number")
    if value.kind == "alias":
        return value.start, value.end, share
    old = text[value.start : value.end]
    if value.anchor is not None:
        _refuse_if_used(value, root)
        return value.start, value.end, f"&{value.anchor} {share}{_ending(old)}"
    if old:
        return value.start, value.end, share + _ending(old)
    # The place of an empty value, as parsers give it, may be that of the next key.
    colon = _COLON.match(text, key.end)
    if colon is not None:
        return colon.end(), colon.end(), f" {share}"
    # In braces a key may stand without its colon.
    return key.end, key.end, f": {share}"


def _ending(old: str) -> str:
    """The white space that belongs to a value: line ends, for one written as a block."""
    return old[len(old.rstrip()) :]


def _refuse_if_used(value: Node, root: Node) -> None:
    """Refuse to change an anchored scalar that another place relies on."""
    if any(node.kind == "alias" and node.anchor == value.anchor for node in root.walk()):
        raise UserError(
            f"line {value.line}: {_WHERE}.proportion: other places use its value through "
            f"*{value.anchor}; write the number out in each place"
        )


def _newline(text: str) -> str:
    found = re.search(r"\r\n|\n|\r", text)
    return found[0] if found else "\n"


def _with_provenance(text: str, provenance: str) -> str:
    """Put the comment line on top, in place of an earlier one."""
    line = f"{_MARK} {' '.join(provenance.split())}{_newline(text)}"
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = text[len(mark) :]
    # Only there: further down the same words may be part of a text.
    top = _COMMENTS_ON_TOP.match(body)
    end = top.end() if top else 0
    earlier = re.compile(rf"^{re.escape(_MARK)}[^\r\n]*(?:\r\n|\n|\r)", flags=re.M)
    return mark + line + earlier.sub("", body[:end], count=1) + body[end:]
