#!/usr/bin/env bash
# Pre-train a small BERT on a mixture, evaluate it by masked accuracy, fine-tune it as GLUE does.
# About 15 minutes on 2 cores. Interrupted, it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$PWD/${VENV:-.venv}/bin:$PATH"
export HF_HUB_OFFLINE=1
here=examples/bert
out=out/bert

mixscale build $here/corpus.yaml --out $out/shardset
mixscale train $here/run.yaml --out $out/shardset
model=$(ls -d $out/model/huggingface/ba*)
mixscale evaluate "$model" $out/shardset

# Which domain does a sentence come from? Any file with the fields text and label will do.
python -m examples.bert.sentences ../shared/corpus/redpajama-mini $out
python -m examples.bert.finetune "$model" --train $out/train.jsonl \
  --validation $out/validation.jsonl --learning-rate 5e-4
