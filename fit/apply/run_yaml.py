"""Stream proportions written into a run's YAML.

Streaming's `proportion` counts samples. It is a share of tokens, which is what a mixing law speaks
of, because every sample of a shard set holds equally many tokens.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixscale.contracts.atomic import atomic_path, atomic_write
from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import FitRecord, read_fit
from mixscale.fit.apply.exact_decimals import exact_shares
from mixscale.fit.apply.yaml_spans import Node, parse_spans

Estimate = Literal["recommended", "optimum"]
STREAMS = ("train_loader", "dataset", "streams")
_MARK = "# mixscale proportions:"
# What Streaming does not allow beside a proportion: amounts that are not shares.
_ABSOLUTE = ("repeat", "choose")


@dataclass(frozen=True, kw_only=True)
class ApplyResult:
    """What `apply` did, or with `dry_run` would do."""

    path: Path
    """The file that holds the proportions."""
    diff: str
    """Unified diff; empty when nothing changes."""
    proportions: dict[str, float]
    """By domain of the fit."""
    binding: dict[str, str]
    """Domains at a bound, with the rule."""
    advice: str
    """The fit's advice in one line."""
    meaning: str
    """Which mixture was written, in words."""
    backup: Path | None
    written: bool


def apply(
    fit: Path,
    tokens: int,
    run_yaml: Path,
    *,
    output: Path | None = None,
    dry_run: bool = False,
    backup: bool = True,
    streams: Mapping[str, str] | None = None,
    estimate: Estimate = "recommended",
) -> ApplyResult:
    """Write a fit's mixture at a token budget into the streams of a run.

    The recommended mixture is the one the experiment started from where the advice is to keep it,
    else a step from it towards the optimum, as long as the noise of the runs allows.

    Args:
        fit: `fit.json` or its folder.
        tokens: Token budget, any.
        run_yaml: A Composer or LLM Foundry training YAML.
        output: Where to write; `run_yaml` itself when absent.
        dry_run: Change no file.
        backup: Keep the replaced file beside it, as `<name>.bak`.
        streams: Stream name of each domain whose stream is called otherwise.
        estimate: `recommended`, or `optimum` for the law's best mixture whatever the noise.

    Raises:
        UserError: The fit or the YAML cannot be read, they do not match, or the constraints allow
            no mixture at this budget.
    """
    from mixscale.fit.scaling.stored_fit import mixture_at

    record = read_fit(fit)
    mixture = mixture_at(record, tokens)
    shares = mixture.proportions
    if estimate == "recommended" and mixture.recommended is not None:
        shares = mixture.recommended
    source = Path(run_yaml)
    try:
        before = source.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"{source}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 text (byte {error.start})") from error
    provenance = f"fit {record.fit_id}, law {record.law}, for {format_tokens(tokens)} tokens"
    provenance += f", {_meaning(record, estimate)}"
    try:
        after = with_proportions(before, shares, provenance=provenance, streams=streams)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    path = source if output is None else Path(output)
    kept = _write(path, after, backup) if not dry_run else None
    return ApplyResult(
        path=path,
        diff=_diff(before, after, str(source), str(path)),
        proportions=shares,
        binding=_binding(record, shares, tokens),
        meaning=_meaning(record, estimate),
        advice=f"{record.recommended.action}. {record.recommended.reason}",
        backup=kept,
        written=not dry_run,
    )


def _meaning(record: FitRecord, estimate: Estimate) -> str:
    if estimate == "optimum":
        return "the optimum itself"
    if record.recommended.action == "change":
        return f"a step of {record.recommended.step_size:.0%} towards the optimum"
    return "the current mixture kept"


def _binding(record: FitRecord, shares: Mapping[str, float], tokens: int) -> dict[str, str]:
    import numpy as np

    from mixscale.fit.scaling.stored_fit import allowed, binding

    values = np.array([shares[name] for name in record.domains])
    return binding(record, values, allowed(record, tokens))


def with_proportions(
    yaml_text: str,
    proportions: Mapping[str, float],
    *,
    provenance: str,
    streams: Mapping[str, str] | None = None,
) -> str:
    """Rewrite the `proportion` of every stream; every other character stays.

    A stream without a proportion of its own gets one as its first key. One comment line at the top
    names the source and replaces the line of an earlier rewriting.

    Args:
        yaml_text: A run's YAML with `train_loader.dataset.streams`.
        proportions: Share by domain, summing to 1.
        provenance: Where they come from, on one line.
        streams: Stream name of each domain whose stream is called otherwise.

    Raises:
        UserError: Streams and domains differ, a stream takes absolute amounts (`repeat`, `choose`),
            or streams share one text through an alias.
    """
    node = _find_streams(parse_spans(yaml_text))
    by_stream = _by_stream(proportions, streams or {})
    found = {key.value: (key, value) for key, value in node.entries}
    differing = sorted(set(found) ^ set(by_stream))
    if differing:
        raise UserError(
            f"{'.'.join(STREAMS)}: {sorted(found)} does not match the fitted domains "
            f"{sorted(by_stream)}; differing: {differing}. Map names with --stream DOMAIN=STREAM."
        )
    texts = exact_shares({name: by_stream[name] for name in found})
    root = parse_spans(yaml_text)
    edits = [_edit(yaml_text, name, value, texts[name], root) for name, (_, value) in found.items()]
    for start, end, text in sorted(edits, reverse=True):
        yaml_text = yaml_text[:start] + text + yaml_text[end:]
    return _with_provenance(yaml_text, provenance)


def _find_streams(root: Node) -> Node:
    # A platform's run file holds the trainer's YAML under `parameters`.
    for prefix in ((), ("parameters",)):
        node: Node | None = root
        for key in (*prefix, *STREAMS):
            node = node.get(key) if node is not None and node.kind == "mapping" else None
        if node is not None:
            return _check_streams(node)
    raise UserError(
        f"no {'.'.join(STREAMS)} in the YAML: proportions belong to a run with one stream a domain"
    )


def _check_streams(node: Node) -> Node:
    where = f"line {node.line}: {'.'.join(STREAMS)}"
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
                f"line {key.line}: {'.'.join(STREAMS)} merges another mapping (<<); "
                "write the streams out here"
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
    where = f"line {stream.line}: {'.'.join(STREAMS)}.{name}"
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
    value = stream.get("proportion")
    if value is None:
        return _insertion(text, stream, share)
    if value.anchor is not None and value.kind == "scalar":
        return _after_anchor(text, value, share, root, where)
    return value.start, value.end, share


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
    separator = ", " if stream.flow else _newline(text) + " " * first.column
    return first.start, first.start, f"proportion: {share}{separator}"


def _after_anchor(
    text: str, value: Node, share: str, root: Node, where: str
) -> tuple[int, int, str]:
    """Replace an anchored scalar, unless another place relies on it."""
    if any(node.kind == "alias" and node.anchor == value.anchor for node in root.walk()):
        raise UserError(
            f"{where}.proportion: other places use its value through *{value.anchor}; "
            "write the number out in each place"
        )
    anchor = re.match(r"&\S+\s+", text[value.start : value.end])
    return value.start + (anchor.end() if anchor else 0), value.end, share


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _with_provenance(text: str, provenance: str) -> str:
    """Put the comment line on top, in place of an earlier one."""
    line = f"{_MARK} {' '.join(provenance.split())}{_newline(text)}"
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = re.sub(rf"^{re.escape(_MARK)}.*\r?\n", "", text[len(mark) :], count=1, flags=re.M)
    return mark + line + body


def _write(path: Path, text: str, backup: bool) -> Path | None:
    kept = None
    if backup and path.is_file():
        kept = path.with_name(path.name + ".bak")
        with atomic_path(kept) as temporary:
            shutil.copyfile(path, temporary)
    with atomic_write(path, "wb") as stream:
        stream.write(text.encode("utf-8"))
    return kept


def _diff(before: str, after: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), old, new
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
