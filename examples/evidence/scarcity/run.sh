#!/usr/bin/env bash
# Does following the advice pay where supply is unequal? The runs behind
# docs/validation/final-runs.md, about 3 hours on 2 cores. Interrupted, it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/../../.."
PATH="$PWD/${VENV:-.venv}/bin:$PATH"
export HF_HUB_OFFLINE=1
here=examples/evidence/scarcity
out=out/scarcity

python -m examples.evidence.scarcity.supply ../shared/corpus/redpajama-mini $out/text
mixscale build $here/corpus.yaml --out $out/shardset
for name in swarm changes baselines repeated unrepeated; do
  mixscale sweep $here/$name.yaml
done
python -m examples.evidence.scarcity.methods
for name in final focused; do
  mixscale sweep $out/$name.yaml
done
python -m examples.evidence.scarcity.results
echo "docs/validation/final-runs.md and docs/results/ are made from the records in $out"
