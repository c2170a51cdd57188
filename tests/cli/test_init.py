"""`mixscale init` as a person meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def init(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mixscale", "init", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80"},
        check=False,
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for domain in ("web", "code"):
        path = tmp_path / "raw" / domain / "a.jsonl"
        path.parent.mkdir(parents=True)
        lines = (
            json.dumps(
                {"text": f"{domain} {n} tells of {n * 7919}, {n * n}, {n % 7} and {n % 11}."}
            )
            for n in range(900)
        )
        path.write_text("\n".join(lines) + "\n")
    return tmp_path / "raw"


def test_says_what_it_found_and_what_to_do(raw: Path) -> None:
    done = init("raw", cwd=raw.parent)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:3]] == ["domain", "code", "web"]
    assert "mixscale build corpus.yaml --out shardset" in done.stdout
    assert "mixscale plan experiment.yaml" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_folder_itself_by_default(raw: Path) -> None:
    done = init(cwd=raw)
    assert done.returncode == 0, done.stderr
    assert "paths: web/*.jsonl" in (raw / "corpus.yaml").read_text()


def test_json(raw: Path) -> None:
    done = init("raw", "--out", "new/settings", "--json", cwd=raw.parent)
    found = json.loads(done.stdout)
    assert [domain["name"] for domain in found["domains"]] == ["code", "web"]
    assert found["domains"][0]["documents"] == 900
    assert all((raw.parent / path).is_file() for path in found["written"])


def test_mistakes_are_one_message(raw: Path) -> None:
    assert init("raw", cwd=raw.parent).returncode == 0
    before = (raw.parent / "corpus.yaml").read_bytes()
    for arguments, message in (
        (["raw"], "corpus.yaml: is there already; --force"),
        (["nowhere", "--force"], "nowhere: no such folder"),
        (["raw/web/a.jsonl", "--force"], "a.jsonl: is a file"),
    ):
        done = init(*arguments, cwd=raw.parent)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert (raw.parent / "corpus.yaml").read_bytes() == before


def test_a_folder_that_cannot_be_written_to(raw: Path) -> None:
    done = init("raw", "--out", "/proc/here", cwd=raw.parent)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
