#!/usr/bin/env bash
# The main job on RedPajama-layout data: raw text to a checked mixture. About 20 minutes on 2 cores.
# Interrupted, it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$PWD/${VENV:-.venv}/bin:$PATH"
export HF_HUB_OFFLINE=1
here=examples/redpajama-mini
out=out/redpajama-mini

mixscale build $here/corpus.yaml --out $out/shardset
mixscale verify $out/shardset
mixscale sql $out/shardset "SELECT domain, sum(records) AS records, sum(tokens) AS tokens,
  sum(duplicates) AS duplicates, sum(rejects) AS rejects FROM domains GROUP BY ALL ORDER BY domain"

mixscale plan $here/experiment.yaml
mixscale sweep $here/experiment.yaml

fit=$(mixscale fit $here/experiment.yaml --law ddo --json |
  python -c 'import json, sys; print(json.load(sys.stdin)["folder"])')
mixscale report "$fit"
mixscale apply "$fit" --tokens 6M $here/run.yaml --output $out/run-projected.yaml

# The check: the same run with uniform and with projected proportions, one on each core.
OMP_NUM_THREADS=1 mixscale train $here/run.yaml --out $out/shardset &
OMP_NUM_THREADS=1 mixscale train $out/run-projected.yaml --out $out/shardset
wait $!

mixscale sql $out/shardset "SELECT run_id, round(avg(loss_nats), 4) AS mean_validation_loss
  FROM run_domains JOIN runs USING (run_id) WHERE role = 'single' GROUP BY run_id"
echo "everything lies in $out; the page of the fit is $fit/report.html"
