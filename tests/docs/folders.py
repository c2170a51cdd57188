"""The folders that commands of the pages are run in, and how to run them there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import ROOT, Block, blocks, commands

TUTORIAL = ROOT / "docs" / "tutorial.md"
EXPERIMENT = """\
name: first
shardset: shardset
design:
  type: explicit
  scales: [2560]
  mixtures:
    even: {notes: 0.25, lists: 0.25, recipes: 0.25, sums: 0.25}
    more-notes: {notes: 0.55, lists: 0.15, recipes: 0.15, sums: 0.15}
    more-sums: {notes: 0.1, lists: 0.1, recipes: 0.2, sums: 0.6}
    more-recipes: {notes: 0.1, lists: 0.2, recipes: 0.6, sums: 0.1}
evaluation: {tokens_per_domain: 512}
targets: [100k]
run:
  model:
    name: hf_causal_lm
    pretrained_model_name_or_path: gpt2
    pretrained: false
    config_overrides: {n_embd: 16, n_layer: 1, n_head: 2}
  optimizer: {name: decoupled_adamw, lr: 1.0e-2}
  global_train_batch_size: 8
"""
"""The tutorial's, with less of everything."""
RUN = """\
# The run to come.
max_seq_len: 2048
train_loader:
  name: text
  dataset:
    streams:
      web:   {local: /data/web, split: train, proportion: 0.7}
      code:  {local: /data/code, split: train, proportion: 0.1}
      books: {local: /data/books, split: train, proportion: 0.1}
      wiki:  {local: /data/wiki, split: train, proportion: 0.1}
    shuffle: true
    max_seq_len: 2048
max_duration: 20000000000tok
"""


def run(command: str, folder: Path, status: int = 0) -> str:
    """Run a command as a reader would, and give back what it prints.

    Raises:
        AssertionError: It ends with another status.
    """
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "80",
        "NO_COLOR": "1",
        # Threads that wait for each other take minutes for seconds on a busy machine.
        "OMP_NUM_THREADS": "1",
    }
    program = shlex.quote(sys.executable)
    script = re.sub(r"(?m)^((?:\w+=\S+ )*)mixscale ", rf"\1{program} -m mixscale ", command)
    script = re.sub(r"(?m)^python ", f"{program} ", script)
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == status, f"{command}\n{ran.stdout}\n{ran.stderr}"
    printed = ran.stdout if status == 0 else ran.stderr.removeprefix("error: ")
    return printed.replace(f"{folder.resolve()}/", "")


def make_tables(folder: Path) -> dict[str, str]:
    """The tables of the quick start, others made of them, a fit, and the YAML of a run.

    Returns:
        What stands for names that readers choose themselves.
    """
    folder.mkdir()
    for path in (ROOT / "examples" / "tables").glob("*.csv"):
        shutil.copy(path, folder)
    rows = (folder / "runs.csv").read_text().splitlines()
    header = re.sub(r"w_(\w+)", r"mix/\1", rows[0])
    header = re.sub(r"loss_(\w+)", r"final/\1", header)
    header = header.replace("run,parameters", "wandb_id,n_params") + ",model_size"
    # Two columns that could hold the model's size: only an option tells.
    other = [header, *(f"{row},160M" for row in rows[1:])]
    (folder / "other.csv").write_text("\n".join(other) + "\n")
    (folder / "candidates.csv").write_text(
        "web,code,books,wiki\n0.4,0.2,0.2,0.2\n0.7,0.1,0.1,0.1\n"
    )
    (folder / "run.yaml").write_text(RUN)
    scores = [row.split(",") for row in (folder / "losses.csv").read_text().splitlines()[1:]]
    tasks = ["run,hellaswag,mmlu"]
    tasks += [f"{row[0]},{1 / float(row[1]):.4f},{1 / float(row[3]):.4f}" for row in scores]
    (folder / "tasks.csv").write_text("\n".join(tasks) + "\n")
    shutil.copy(folder / "mixtures.csv", folder / "ratios.csv")
    (folder / "families.yaml").write_text("prose: [web, books, wiki]\ncode: [code]\n")
    run("mixscale fit --table runs.csv --law linear --bootstrap 20 --targets 300B", folder)
    return {}


def make_empty(folder: Path) -> dict[str, str]:
    """A folder in which the tutorial's reader has written its files, and run nothing.

    Returns:
        Nothing: all names are the reader's.
    """
    folder.mkdir()
    for name, text in tutorial_files().items():
        (folder / name).write_text(text)
    return {}


def make_trained(folder: Path) -> dict[str, str]:
    """The tutorial's text as a shard set, with a sweep of four tiny runs and a fit to them.

    Returns:
        What stands for names that readers choose themselves.
    """
    make_empty(folder)
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    run("python make_text.py", folder)
    run("mixscale build corpus.yaml --out shardset", folder)
    run("mixscale sweep experiment.yaml", folder)
    run("mixscale fit experiment.yaml --law linear --bootstrap 20", folder)
    runs = sorted(path.name for path in (folder / "shardset" / "runs").iterdir())
    return {
        "SHARDSET": "shardset",
        "RUN": runs[0],
        "RUN_A": runs[0],
        "RUN_B": runs[1],
        "BEFORE": runs[0],
        "AFTER": runs[1],
    }


def tutorial_files() -> dict[str, str]:
    """The files that the tutorial has its reader write, by name."""
    named = {}
    for block in blocks(TUTORIAL):
        first = block.body.splitlines()[0]
        found = re.fullmatch(r"# (\w+\.(?:py|yaml))", first)
        if found:
            named[found[1]] = block.body
    return named


FOLDERS = {"empty": make_empty, "tables": make_tables, "trained": make_trained}


def filled(command: str, names: dict[str, str]) -> str:
    """Put the names of a folder in the places that a page leaves open."""
    for word, name in names.items():
        command = re.sub(rf"(?<![\w-]){word}(?![\w-])", name, command)
    return command


def run_block(block: Block, folder: Path, names: dict[str, str]) -> list[str]:
    """Run the commands of a block in their order.

    Returns:
        What each prints.
    """
    status = block.option("status") or 0
    return [run(filled(one, names | newest(folder)), folder, status) for one in commands(block)]


def newest(folder: Path) -> dict[str, str]:
    """FIT is the newest fit of a folder, OTHER the oldest, BEFORE and AFTER its two final runs."""
    fits = _by_age(folder, "**/fits/*/fit.json")
    finals = _by_age(folder, "shardset/runs/final-*/result.json")
    names = {"FIT": fits[-1], "OTHER": fits[0]} if fits else {}
    return names | ({"BEFORE": finals[0], "AFTER": finals[1]} if len(finals) == 2 else {})


def _by_age(folder: Path, pattern: str) -> list[str]:
    """Folders of some files, the oldest first."""
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    return [path.parent.name for path in found]


class Made(dict[str, tuple[Path, dict[str, str]]]):
    """The folders by name, each made when it is first asked for, with what its names stand for."""

    def __init__(self, parent: Path) -> None:
        super().__init__()
        self.parent = parent

    def __missing__(self, name: str) -> tuple[Path, dict[str, str]]:
        """Make a folder."""
        folder = self.parent / name
        self[name] = (folder, FOLDERS[name](folder))
        return self[name]
