"""What a person gets to see when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CORPUS = """\
domains:
  prose:
    paths: [prose.txt]
tokenizer:
  train:
    vocab_size: 300
sequence_length: 32
split:
  validation: 0.2
"""


def mixscale(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "mixscale", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )


def jsonl(count: int) -> str:
    lines = (
        json.dumps({"text": f"Document {number} tells of the number {number * 7919}. " * 12})
        for number in range(count)
    )
    return "\n".join(lines) + "\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.yaml"
    path.write_text(CORPUS.replace("prose.txt", "prose.jsonl"))
    (tmp_path / "prose.jsonl").write_text(jsonl(60))
    return path


@pytest.fixture(scope="module")
def shardset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    (folder / "prose.jsonl").write_text(jsonl(60))
    (folder / "corpus.yaml").write_text(CORPUS.replace("prose.txt", "prose.jsonl"))
    done = mixscale("build", folder / "corpus.yaml", "--out", folder / "shardset")
    assert done.returncode == 0, done.stderr
    return folder / "shardset"


def _add_domain(corpus: Path, name: str, lines: str) -> None:
    (corpus.parent / f"{name}.jsonl").write_text(lines)
    domain = f"domains:\n  {name}:\n    paths: [{name}.jsonl]\n"
    corpus.write_text(corpus.read_text().replace("domains:\n", domain))


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Check for one clear message, exit status 2, no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_help_shows_an_example_for_every_command() -> None:
    done = mixscale("--help")
    assert done.returncode == 0
    listed = done.stdout.partition("Commands:")[2].split("\n")
    commands = [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "]
    assert commands == [
        "init", "build", "stats", "sql", "verify", "plan", "sweep", "train", "evaluate", "compare",
        "export", "fit", "apply", "report", "demo", "doctor", "completion",
    ]  # fmt: skip
    for command in commands:
        assert f"mixscale {command}" in mixscale(command, "--help").stdout


def test_help_imports_nothing_heavy() -> None:
    """What takes seconds to import must not be paid for `--help`."""
    code = (
        "import sys, mixscale\n"
        "heavy = {'torch', 'composer', 'streaming', 'transformers', 'duckdb', 'scipy', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fit_and_sql_need_no_torch() -> None:
    code = (
        "import sys, mixscale.fit.fit_experiment, mixscale.fit.apply.run_yaml\n"
        "import mixscale.shards.sql.query, mixscale.shards.sql.domain_table\n"
        "print(sorted({'torch', 'composer', 'streaming'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_command_suggests_the_nearest() -> None:
    refused(mixscale("biuld"), "unknown command 'biuld'", "Did you mean 'build'?", "sweep")


def test_unknown_option() -> None:
    refused(mixscale("stats", "x", "--jsn"), "No such option", "--jsn")


def test_missing_file() -> None:
    refused(mixscale("plan", "nowhere.yaml"), "nowhere.yaml: cannot read: No such file")


def test_unknown_key_in_the_corpus(corpus: Path) -> None:
    corpus.write_text(corpus.read_text().replace("sequence_length", "sequence_lenght"))
    done = mixscale("build", corpus, "--out", corpus.parent / "out")
    refused(done, "corpus.yaml:7: sequence_lenght: unknown key", "sequence_length")
    assert not (corpus.parent / "out").exists()


def test_a_yaml_mistake(corpus: Path) -> None:
    corpus.write_text(corpus.read_text() + "split: [\n")
    done = mixscale("build", corpus, "--out", corpus.parent / "out")
    refused(done, "corpus.yaml:", "not valid YAML")
    assert not (corpus.parent / "out").exists()


def test_paths_without_files(corpus: Path) -> None:
    corpus.write_text(corpus.read_text().replace("prose.jsonl", "more-*.parquet"))
    done = mixscale("build", corpus, "--out", corpus.parent / "out")
    refused(done, "more-*.parquet")
    assert not (corpus.parent / "out").exists()


def test_an_empty_domain(corpus: Path) -> None:
    _add_domain(corpus, "notes", "")
    done = mixscale("build", corpus, "--out", corpus.parent / "out")
    refused(done, "notes", "0 records read")
    assert not (corpus.parent / "out" / "shardset.json").exists()


def test_too_little_text_for_a_sample(corpus: Path) -> None:
    _add_domain(corpus, "notes", '{"text": "Far too short."}\n')
    done = mixscale("build", corpus, "--out", corpus.parent / "out")
    refused(done, "notes", "sequence_length")
    assert not (corpus.parent / "out" / "shardset.json").exists()


def test_the_folder_holds_something_else(corpus: Path) -> None:
    (corpus.parent / "out").mkdir()
    (corpus.parent / "out" / "letters.txt").write_text("mine")
    done = mixscale("build", corpus, "--out", corpus.parent / "out")
    refused(done, "out")
    assert [path.name for path in (corpus.parent / "out").iterdir()] == ["letters.txt"]


@pytest.mark.parametrize("command", ["stats", "verify", "sql"])
def test_not_a_shard_set(tmp_path: Path, command: str) -> None:
    query = ["SELECT 1"] if command == "sql" else []
    refused(mixscale(command, tmp_path, *query), "not a finished shard set", "mixscale build")
    refused(mixscale(command, tmp_path / "x", *query), "no such folder")


def test_a_wrong_query(shardset: Path) -> None:
    refused(mixscale("sql", shardset, "SELECT token FROM domains"), "token", "tokens")
    refused(mixscale("sql", shardset, "DROP VIEW domains"), "read")


def test_stats_as_json(shardset: Path) -> None:
    rows = json.loads(mixscale("stats", shardset, "--json").stdout)
    train = next(row for row in rows if row["split"] == "train")
    assert train["domain"] == "prose"
    assert train["samples"] * 32 <= train["tokens"]


def test_sql_prints_what_a_program_can_read(shardset: Path) -> None:
    query = "SELECT domain, sum(tokens) AS tokens FROM domains GROUP BY domain"
    done = mixscale("sql", shardset, query, "--json")
    assert json.loads(done.stdout)[0]["domain"] == "prose"
    done = mixscale("sql", shardset, query, "--format", "csv")
    assert done.stdout.splitlines()[0] == "domain,tokens"


def test_verify_finds_a_flipped_bit(shardset: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(shardset, copy)
    assert mixscale("verify", copy).returncode == 0
    shard = copy / "prose" / "train" / "shard.00000.mds"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    done = mixscale("verify", copy)
    assert done.returncode == 1
    assert "prose/train" in done.stdout


def test_growth_is_said_and_changes_are_refused(corpus: Path) -> None:
    out = corpus.parent / "out"
    command = ("build", corpus, "--out", out, "--workers", 1)
    assert mixscale(*command).returncode == 0
    _add_domain(corpus, "more", jsonl(60).replace("Document", "Paper"))
    done = mixscale(*command)
    assert done.returncode == 0, done.stderr
    assert "growing by 1 input files" in done.stderr
    assert "more" in done.stdout
    prose = corpus.parent / "prose.jsonl"
    prose.write_text(prose.read_text().replace("Document 7 tells", "Document 7 says "))
    refused(mixscale(*command), "input changed: prose:prose.jsonl", "another folder")
    prose.unlink()
    refused(mixscale(*command), "domains.prose.paths: no file matches prose.jsonl")
    assert mixscale("verify", out).returncode == 0


def test_a_build_is_copied_to_where_streams_are_read(corpus: Path, tmp_path: Path) -> None:
    command = ("build", corpus, "--out", tmp_path / "out", "--workers", 1)
    refused(mixscale(*command, "--upload", "ftp://x"), "ftp://x: Streaming cannot write there")
    assert not (tmp_path / "out").exists()
    remote = tmp_path / "remote"
    done = mixscale(*command, "--upload", f"file://{remote}")
    assert done.returncode == 0, done.stderr
    assert f"copied to file://{remote}" in done.stdout
    assert mixscale("verify", remote).returncode == 0
    again = mixscale(*command, "--upload", f"file://{remote}")
    assert f"file://{remote} has it already" in again.stdout


def test_an_experiment_whose_budget_exceeds_the_data(tmp_path: Path) -> None:
    domains = "domains:\n  prose: {paths: prose.jsonl}\n  more: {paths: more.jsonl}\n"
    shardset, settings = tmp_path / "shardset", CORPUS.partition("domains:")[0]
    tail = CORPUS[CORPUS.index("tokenizer:") :]
    (tmp_path / "prose.jsonl").write_text(jsonl(60))
    (tmp_path / "more.jsonl").write_text(jsonl(60).replace("Document", "Page"))
    (tmp_path / "corpus.yaml").write_text(settings + domains + tail)
    done = mixscale("build", tmp_path / "corpus.yaml", "--out", shardset)
    assert done.returncode == 0, done.stderr
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(
        f"name: big\nshardset: {shardset}\ndesign: {{type: ddo, scales: [1B]}}\n"
        "evaluation: {tokens_per_domain: 64}\ntargets: [300B]\n"
    )
    for command in ("plan", "sweep"):
        refused(mixscale(command, experiment), "run 'base-1B' needs 500M tokens of 'prose'")
    assert not (shardset / "runs").exists()
    assert not (shardset / "sweeps").exists()


def test_fit_before_the_sweep(shardset: Path, tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(
        f"name: none\nshardset: {shardset}\ndesign: {{type: ddo, scales: [1k]}}\ntargets: [300B]\n"
    )
    refused(mixscale("fit", experiment), "mixscale sweep experiment.yaml")


def test_fit_needs_an_experiment_or_two_tables() -> None:
    refused(mixscale("fit"), "give EXPERIMENT, or --table, or both --mixtures and --losses")


def test_a_token_budget_that_is_none() -> None:
    refused(mixscale("apply", "fit", "run.yaml", "--tokens", "300X"), "write for example 300B")


def test_a_run_with_a_mistake(tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text("max_seq_len: 128\nmax_duration: 1000\n")
    refused(
        mixscale("train", run),
        "run.yaml: model: missing",
        "run.yaml:2: max_duration: needs a whole number with a unit",
    )


def test_the_demo_leaves_other_peoples_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    refused(mixscale("demo", "--out", tmp_path), "not empty", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
