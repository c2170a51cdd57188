"""What each domain does for each validation loss or task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixscale.contracts.fit_record import FitRecord
from mixscale.pages.elements import Html, joined
from mixscale.pages.frame import details, paragraph, section
from mixscale.pages.glossary import term
from mixscale.pages.heat_map import heat_cell
from mixscale.pages.rounding import percent
from mixscale.pages.tables import table

_MOST_RESULTS = 10
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
        """Of the changes of all results of this kind."""
        alike = self._like(result)
        return max(abs(row[name]) for row in self.changes.values() for name in alike)

    def _like(self, result: str) -> list[str]:
        """Results in which more is better if it is in this one: losses beside losses."""
        wanted = self.better_higher[result]
        return [name for name, higher in self.better_higher.items() if higher == wanted]


def effects(record: FitRecord) -> Html | None:
    """Draw the heat map; with very many results of those that are moved most, and then of all."""
    found = effects_of(record)
    if found is None:
        return None
    shown = _most_moved(found, list(record.validation), _MOST_RESULTS)
    rest = len(record.validation) - len(shown)
    caption = joined([found.about, " Blue is better. ", _unit(record)])
    chosen = paragraph(
        f"The {len(shown)} results that are moved most, of {len(record.validation)}.", class_="note"
    )
    return section(
        "What each domain does for each result",
        paragraph(caption),
        chosen if rest else None,
        _map(found, shown),
        details(f"All {len(record.validation)} results", _map(found, list(record.validation)))
        if rest
        else None,
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


def _map(found: Effects, results: Sequence[str]) -> Html:
    decimals = {name: _decimals(found, name) for name in results}
    rows = [
        [
            domain,
            *(
                heat_cell(f"{row[name]:+.{decimals[name]}f}", found.strength(domain, name))
                for name in results
            ),
        ]
        for domain, row in found.changes.items()
    ]
    heads = [term("domain"), *results]
    return table("Change of each result, by domain that gets more", heads, rows, class_="heat")


def _decimals(found: Effects, result: str) -> int:
    """So many that the largest change of the results of this kind has three digits."""
    largest = found.largest(result)
    return min(max(2 - math.floor(math.log10(largest)), 0), 6) if largest else 0


def _most_moved(found: Effects, results: list[str], most: int) -> list[str]:
    if len(results) <= most:
        return results
    size = {
        name: max(abs(found.strength(domain, name)) for domain in found.changes) for name in results
    }
    kept = set(sorted(results, key=lambda name: -size[name])[:most])
    return [name for name in results if name in kept]


def _unit(record: FitRecord) -> str:
    units = {record.results[name].unit for name in record.validation if name in record.results}
    if not record.results:
        return "Changes of validation losses in nats."
    named = sorted(_UNITS.get(unit, unit.partition(" per token")[0]) for unit in units if unit)
    return f"Changes are in {' or '.join(named)}." if named else ""
