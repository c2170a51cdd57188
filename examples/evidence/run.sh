#!/usr/bin/env bash
# Does the mixture it writes train better, and does the optimum move? The runs behind
# docs/results.md, about 2.5 hours on 2 cores. Interrupted, it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$PWD/${VENV:-.venv}/bin:$PATH"
export HF_HUB_OFFLINE=1
here=examples/evidence
out=out/evidence

mixscale build $here/corpus.yaml --out $out/shardset
for name in scales swarm; do
  mixscale sweep $here/$name.yaml
done
for law in ddo joint; do
  mixscale fit $here/scales.yaml --law $law
done
for law in regmix loglinear; do
  mixscale fit $here/swarm.yaml --law $law
done

mixscale sweep $here/payoff.yaml
python -m examples.evidence.experiments
for experiment in $out/experiments/*.yaml; do
  mixscale sweep "$experiment"
done
python -m benchmarks.pairing $here/noise.yaml

python -m examples.evidence.results
echo "docs/results.md and docs/results/ are made from the records in $out"
