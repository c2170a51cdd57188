"""Every block of docs/how-to/python.md runs, in order, in a folder with the files that it names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import mixscale as ms

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "python.md"
CORPUS = """\
domains: {prose: {paths: [prose.jsonl]}, code: {paths: [code.jsonl]}}
tokenizer: {train: {vocab_size: 300}}
sequence_length: 32
split: {validation: 0.2}
"""
EXPERIMENT = """\
name: tiny
shardset: shardset
design:
  type: explicit
  mixtures:
    even: {prose: 0.5, code: 0.5}
    prosaic: {prose: 0.75, code: 0.25}
    technical: {prose: 0.25, code: 0.75}
    prose: {prose: 0.9, code: 0.1}
  scales: [1280]
evaluation: {tokens_per_domain: 512}
targets: [100k]
run:
  model:
    name: hf_causal_lm
    pretrained_model_name_or_path: gpt2
    pretrained: false
    config_overrides: {n_embd: 16, n_layer: 1, n_head: 2}
  optimizer: {name: decoupled_adamw, lr: 0.01}
  global_train_batch_size: 8
"""


def test_every_example_runs(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tables, tmp_path, dirs_exist_ok=True)
    for domain in ("prose", "code"):
        lines = (
            f'{{"text": "{f"{domain} {n} tells of {n * 7919}. " * 12}"}}\n' for n in range(120)
        )
        (tmp_path / f"{domain}.jsonl").write_text("".join(lines))
    (tmp_path / "corpus.yaml").write_text(CORPUS)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 8
    for block in blocks:
        exec(block, names)
    fit = names["fit"]
    assert isinstance(fit, ms.Fit)
    assert (tmp_path / "final.yaml").read_text() != (tmp_path / "run.yaml").read_text()


def test_the_page_names_everything_public() -> None:
    text = PAGE.read_text()
    missing = [name for name in ms.__all__ if name not in text]
    assert missing == []
