"""Every view of a shard set, a module for each kind of file that they read."""

from __future__ import annotations

from mixscale.shards.sql.view import View
from mixscale.shards.sql.views import documents, evaluations, fits, runs, shardset

VIEWS: dict[str, View] = (
    shardset.VIEWS | documents.VIEWS | runs.VIEWS | evaluations.VIEWS | fits.VIEWS
)
"""By name, in an order in which each uses only those before it."""
