"""Views of fits and of the mixtures they found."""

from __future__ import annotations

import json

from mixscale.contracts.fit_record import Mixture
from mixscale.shards.sql.json_rows import whole_json_rows
from mixscale.shards.sql.json_types import struct_type
from mixscale.shards.sql.quoting import literal
from mixscale.shards.sql.view import View

_FITS = View(
    row="a fitted mixing law",
    columns={
        "fit_id": "name of the fit",
        "law": "mixing law",
        "objective": "what was minimised, text or JSON",
        "fit": "the whole fit.json",
    },
    # The whole file as JSON: its layout has changed more often than that of other records.
    sql=f"""
SELECT coalesce(json ->> 'fit_id', parse_path(filename, 'both_slash')[-2]) AS fit_id,
       json ->> 'law' AS law, json ->> 'objective' AS objective, json AS fit
FROM {whole_json_rows("$fits")}""",
)

_FIELDS = ["kind", "token_budget", "proportions", "predicted_objective"]
# `from_json` takes the name of a type as a JSON string.
_MIXTURES_TYPE = literal(json.dumps(f"{struct_type(Mixture, _FIELDS)}[]"))

_MIXTURES = View(
    row="a domain's share in an optimal mixture of a fit",
    columns={
        "fit_id": "fit",
        "kind": "measured (at a scale with runs) or projected",
        "token_budget": "tokens of the run that the mixture is for",
        "domain": "domain",
        "proportion": "share of the tokens",
        "predicted_objective": "predicted value of the objective, in its own unit",
    },
    sql=f"""
WITH listed AS (
    SELECT fit_id, unnest(from_json(fit -> 'mixtures', {_MIXTURES_TYPE})) AS mixture FROM fits),
shares AS (SELECT fit_id, mixture, unnest(map_entries(mixture.proportions)) AS share FROM listed)
SELECT fit_id, mixture.kind, mixture.token_budget, share.key AS domain, share.value AS proportion,
       mixture.predicted_objective
FROM shares""",
)

VIEWS = {"fits": _FITS, "mixtures": _MIXTURES}
"""In an order in which each uses only those before it."""
