"""What each domain does for each validation loss or task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mixscale.contracts.fit_record import FitRecord
from mixscale.pages.elements import Html, breakable, joined
from mixscale.pages.frame import details, paragraph, section
from mixscale.pages.glossary import term
from mixscale.pages.heat_map import heat_cell
from mixscale.pages.rounding import percent
from mixscale.pages.tables import table

_MOST_RESULTS = 10
_MOST_DOMAINS = 30
_UNITS = {"fraction": "fractions of 1"}
_Table = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Changes by training domain and result, each in the result's own unit."""

    changes: _Table
    about: str
    """What was changed by how much."""
    better_higher: Mapping[str, bool]

    def strength(self, domain: str, result: str) -> float:
        """From -1, worst of all changes of this kind, to 1, best."""
        largest = self.largest(result)
        sign = 1 if self.better_higher[result] else -1
        return sign * self.changes[domain][result] / largest if largest else 0.0

    def largest(self, result: str) -> float:
        """Of the changes of all results of this kind: losses beside losses."""
        return self._largest[self.better_higher[result]]

    @cached_property
    def _largest(self) -> dict[bool, float]:
        """By whether more is better."""
        return {
            kind: max(
                (
                    abs(change)
                    for row in self.changes.values()
                    for name, change in row.items()
                    if self.better_higher[name] == kind
                ),
                default=0.0,
            )
            for kind in (False, True)
        }


def effects(record: FitRecord) -> Html | None:
    """Draw the heat map; with very many domains or results of those that move most, then of all."""
    found = effects_of(record)
    if found is None:
        return None
    domains, results = list(found.changes), list(record.validation)
    rows = _largest(domains, _MOST_DOMAINS, lambda domain: _most_of(found, [domain], results))
    columns = _largest(results, _MOST_RESULTS, lambda name: _most_of(found, domains, [name]))
    parts = [
        f"{len(shown)} of {len(every)} {things}"
        for shown, every, things in ((rows, domains, "domains"), (columns, results, "results"))
        if len(shown) < len(every)
    ]
    note = f"Shown are those that move most: {' and '.join(parts)}." if parts else None
    return section(
        "What each domain does for each result",
        paragraph(joined([found.about, " Blue is better. ", _unit(record)])),
        paragraph(note, class_="note") if note else None,
        _map(found, rows, columns),
        details("All domains and results", _map(found, domains, results)) if note else None,
    )


def effects_of(record: FitRecord) -> Effects | None:
    """What the law predicts; of records without that, what was measured around the base run."""
    higher = {
        name: name in record.results and record.results[name].higher_is_better
        for name in record.validation
    }
    last = record.scales[-1]
    if last.moves:
        about = (
            f"As law {record.law} predicts: the change when {percent(last.moved_share)} of all "
            "tokens go to a domain, taken from all in proportion to the mixture in use."
        )
        return Effects(changes=last.moves, about=about, better_higher=higher)
    measured = next(
        (s.effects["increased"] for s in reversed(record.scales) if s.effects.get("increased")),
        None,
    )
    if measured is None:
        return None
    about = "As measured: the change against the base run when more of one domain is read."
    return Effects(changes=measured, about=about, better_higher=higher)


def _map(found: Effects, domains: Sequence[str], results: Sequence[str]) -> Html:
    decimals = {name: _decimals(found, name) for name in results}
    rows = [
        [
            domain,
            *(
                heat_cell(
                    f"{found.changes[domain][name]:+.{decimals[name]}f}",
                    found.strength(domain, name),
                )
                for name in results
            ),
        ]
        for domain in domains
    ]
    heads = [term("domain"), *map(breakable, results)]
    return table("Change of each result, by domain that gets more", heads, rows, class_="heat")


def _decimals(found: Effects, result: str) -> int:
    """So many that the largest change of the results of this kind has three digits."""
    largest = found.largest(result)
    return min(max(2 - math.floor(math.log10(largest)), 0), 6) if largest else 0


def _most_of(found: Effects, domains: Sequence[str], results: Sequence[str]) -> float:
    """The strongest change among some cells."""
    return max(abs(found.strength(domain, name)) for domain in domains for name in results)


def _largest(names: list[str], most: int, size: Callable[[str], float]) -> list[str]:
    """Some names, in their order."""
    if len(names) <= most:
        return names
    kept = set(sorted(names, key=lambda name: -size(name))[:most])
    return [name for name in names if name in kept]


def _unit(record: FitRecord) -> str:
    units = {record.results[name].unit for name in record.validation if name in record.results}
    if not record.results:
        return "Changes of validation losses in nats."
    named = sorted(_UNITS.get(unit, unit.partition(" per token")[0]) for unit in units if unit)
    return f"Changes are in {' or '.join(named)}." if named else ""
