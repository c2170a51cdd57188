"""The runs that an experiment consists of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mixscale.contracts.experiment import DdoDesign, Experiment
from mixscale.contracts.shardset import ShardSet, read_shardset
from mixscale.train.config import RunConfig
from mixscale.train.run.run_id import run_id
from mixscale.train.sweep.checks import check_names, check_supply, check_validation
from mixscale.train.sweep.design import Point, design_points
from mixscale.train.sweep.model_sizes import work_per_token
from mixscale.train.sweep.pools import pools_of_scale
from mixscale.train.sweep.run_config import proxy_run_config


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a sweep, ready to be trained."""

    name: str
    point: Point
    seed: int
    size: str | None
    """Its name in the experiment's `models`; None for an experiment without."""
    samples: Mapping[str, int]
    """Whole samples of each domain."""
    pools: Mapping[str, int] | None
    """Samples of each domain that the run may see; None: all."""
    config: RunConfig

    @property
    def tokens(self) -> int:
        """Tokens of the run."""
        return sum(self.samples.values()) * self.config.max_seq_len

    @property
    def evaluation_tokens(self) -> int:
        """Of all validation domains, once."""
        batch = self.config.device_eval_batch_size * self.config.max_seq_len
        return self.config.eval_subset_num_batches * batch * len(self.config.eval_loader)

    @property
    def cost(self) -> float:
        """The run's time against other runs', in a unit of no meaning."""
        # A forward pass is a third of the work (Kaplan et al., arXiv 2001.08361, sec. 2.1).
        return (self.tokens + self.evaluation_tokens / 3) * work_per_token(self.config)

    @property
    def purpose(self) -> dict[str, Any]:
        """Fields of the run record that state what the run is for."""
        return {
            "sweep": self.config.metadata["sweep"],
            "role": self.point.role,
            "domain": self.point.domain,
            "factor": self.point.factor,
            "mixture": self.point.mixture,
            "scale_tokens": self.point.scale_tokens,
        }


def runs_by_id(experiment: Experiment) -> dict[str, PlannedRun]:
    """List an experiment's runs by their run id, which depends on config and data.

    Raises:
        UserError: As for `plan_runs`.
    """
    shardset = read_shardset(experiment.shardset)
    runs = plan_runs(experiment, shardset)
    named = ((run_id(run.config, shardset.content_sha256, run.name), run) for run in runs)
    return {
        name: replace(run, config=run.config.model_copy(update={"run_name": name}))
        for name, run in named
    }


def plan_runs(experiment: Experiment, shardset: ShardSet) -> list[PlannedRun]:
    """List the runs of an experiment.

    Raises:
        UserError: The shard set has too few tokens, or a name does not exist.
    """
    check_names(experiment, shardset)
    check_validation(experiment, shardset)
    points = list(design_points(experiment, shardset))
    for point in points:
        check_supply(point, experiment, shardset)
    return [
        _planned(point, seed, experiment, shardset, size)
        for size in experiment.models or (None,)
        for seed, point in _of_size(size, points, experiment)
    ]


def _of_size(
    size: str | None, points: Sequence[Point], experiment: Experiment
) -> Iterator[tuple[int, Point]]:
    """Yield seeds and mixtures of one size of model."""
    own = experiment.models[size].scales if size is not None else None
    scales = own or experiment.design.scales
    for seed in experiment.seeds:
        yield from ((seed, point) for point in points if point.scale_tokens in scales)
    if isinstance(experiment.design, DdoDesign):
        cheap = [point for point in points if point.scale_tokens == min(scales)]
        yield from ((seed, point) for seed in experiment.design.noise_seeds for point in cheap)


def _planned(
    point: Point, seed: int, experiment: Experiment, shardset: ShardSet, size: str | None
) -> PlannedRun:
    length = shardset.sequence_length
    samples = {
        domain: max(round(point.tokens.get(domain, 0.0) / length), 0)
        for domain in shardset.domain_names
    }
    pools = pools_of_scale(point.scale_tokens, experiment, shardset)
    label = point.label if size is None else f"{size}-{point.label}"
    config = proxy_run_config(label, seed, samples, experiment, shardset, pools, size)
    return PlannedRun(
        name=f"{experiment.name}-{label}-s{seed}",
        size=size,
        point=point,
        seed=seed,
        samples=samples,
        pools=pools,
        config=config,
    )
