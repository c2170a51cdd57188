"""Two really trained runs compared, against scipy on what transformers alone computes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from streaming import LocalDataset
from transformers import AutoModelForCausalLM

from mixscale.api.comparison import compare, tokens_saved
from mixscale.api.evaluation import evaluate
from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import CurvePoint, RunRecord, read_record, write_record
from mixscale.shards.sql.index import open_views
from mixscale.train.config import RunConfig
from mixscale.train.run.training import train

from .conftest import quiz_items, write_task


def train_one(values: dict[str, Any], root: Path, name: str, lr: float) -> Path:
    torch.set_num_threads(1)
    folder = root / "runs" / name
    changed = {
        **values,
        "run_name": name,
        "optimizer": {"name": "decoupled_adamw", "lr": lr},
        "max_duration": "3ep",
        "eval_interval": "1920tok",
        "callbacks": {"hf_checkpointer": {"save_folder": str(folder)}},
    }
    assert train(validate(changed, RunConfig, "test"), folder).status == "finished"
    return folder


@pytest.fixture
def two(run_values: dict[str, Any], shardset: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run that learns and one that learns less, in a copy of the shard set."""
    root = tmp_path / "copy"
    shutil.copytree(shardset, root)
    good = train_one(run_values, root, "good", 0.03)
    return train_one(run_values, root, "poor", 0.003), good


def sample_losses(run: Path, shardset: Path, domain: str) -> np.ndarray:
    (folder,) = run.glob("huggingface/ba*")
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    samples = LocalDataset(str(shardset / domain), split="validation")
    tokens = torch.from_numpy(np.stack([row["tokens"] for row in samples]).astype(np.int64))
    with torch.no_grad():
        logits = model(tokens).logits[:, :-1].transpose(1, 2)
    return torch.nn.functional.cross_entropy(
        logits, tokens[:, 1:], reduction="none"
    ).mean(dim=1).numpy()  # fmt: skip


def test_differences_are_taken_item_by_item(
    two: tuple[Path, Path], shardset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    write_task(folder, "quiz", "multiple_choice", quiz_items(30), doc_to_text="{{question}}",
               doc_to_choice="choices", doc_to_target="answer")  # fmt: skip
    for run, limit in zip(two, (None, 20), strict=True):
        evaluate(run, tasks="quiz", include_path=folder, limit=limit, report=lambda line: None)
    result = compare("poor", "good", out=two[0].parents[1])
    found = {one.name: one for one in result.differences}
    for domain in ("code", "prose", "tables"):
        poor, good = (sample_losses(run, shardset, domain) for run in two)
        expected = stats.ttest_rel(good, poor)
        low, high = expected.confidence_interval()
        one = found[f"loss:{domain}"]
        assert one.shared_items == 24
        assert one.difference == pytest.approx(np.mean(good - poor), abs=1e-5)
        assert (one.low, one.high) == pytest.approx((low, high), abs=1e-5)
        # Tighter than the runs' own errors say.
        records = [read_record(run / "result.json").evaluation[domain] for run in two]
        assert one.standard_error < np.hypot(*(r.standard_error for r in records))  # type: ignore[operator]
        bits = found[f"bpb:{domain}"]
        assert bits.difference / one.difference == pytest.approx(bits.first / one.first)
    assert found["loss:code"].better == "second"
    assert found["acc:quiz"].shared_items == 20
    assert any("acc:quiz: the runs were asked it in different ways" in w for w in result.warnings)

    index = open_views(two[0].parents[1])
    rows = index.execute(
        "SELECT name, difference, standard_error, shared_items "
        "FROM evaluation_difference('poor', 'good') WHERE NOT name LIKE 'ppl%'"
    ).fetchall()
    assert {row[0] for row in rows} == set(found)
    for name, difference, error, shared in rows:
        assert difference == pytest.approx(found[name].difference)
        assert error == pytest.approx(found[name].standard_error)
        assert shared == found[name].shared_items
    saved = index.execute(
        "SELECT domain, run_id, target_loss_nats, tokens, other_tokens, share "
        "FROM tokens_saved('poor', 'good')"
    ).fetchall()
    expected = [
        (one.domain, {"first": "poor", "second": "good"}[one.run], one.target_loss, one.tokens,
         one.other_tokens, one.share)
        for one in sorted(result.tokens_saved, key=lambda one: one.domain)
        if not one.domain.startswith("mean of")
    ]  # fmt: skip
    assert expected
    assert [row[:2] for row in saved] == [row[:2] for row in expected]
    for row, numbers in zip(saved, expected, strict=True):
        assert row[2:] == pytest.approx(numbers[2:])


def test_without_items_each_run_has_its_own_error(two: tuple[Path, Path]) -> None:
    shutil.rmtree(two[0] / "evaluations")
    (one,) = [d for d in compare(*two).differences if d.name == "loss:code"]
    records = [read_record(run / "result.json").evaluation["code"] for run in two]
    assert one.shared_items is None
    assert one.standard_error == pytest.approx(np.hypot(*(r.standard_error for r in records)))  # type: ignore[arg-type]
    assert one.high == pytest.approx(one.difference + 1.959964 * one.standard_error)  # type: ignore[operator]


def test_the_command(two: tuple[Path, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mixscale", "compare", "poor", "good",
               "--out", str(two[0].parents[1])]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "loss:code" in shown
    assert "B reaches the final loss of A" in shown
    values = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    )
    assert {one["name"] for one in values["differences"]} >= {"loss:code", "bpb:tables"}
    assert all(0 < one["share"] < 1 for one in values["tokens_saved"])
    with pytest.raises(UserError, match="Did you mean 'good'"):
        compare("poor", "goud", out=two[0].parents[1])


def with_curve(record: RunRecord, losses: dict[int, float]) -> RunRecord:
    points = tuple(CurvePoint(tokens=t, losses={"code": loss}) for t, loss in losses.items())
    return record.model_copy(
        update={"learning_curve": points, "evaluation": {"code": record.evaluation["code"]}}
    )


def test_tokens_saved_where_the_curves_allow(two: tuple[Path, Path]) -> None:
    record = read_record(two[0] / "result.json")
    slow = with_curve(record, {1000: 6.0, 2000: 5.0, 4000: 4.0})
    fast = with_curve(record, {1000: 5.0, 2000: 3.0, 4000: 2.0})
    (saved,) = tokens_saved(slow, fast)
    assert (saved.run, saved.tokens, saved.other_tokens) == ("second", 1500, 4000)
    assert saved.share == pytest.approx(0.625)
    (other_way,) = tokens_saved(fast, slow)
    assert other_way.run == "first"
    # Below its first evaluation nothing is known, nor from the ends alone.
    assert tokens_saved(slow, with_curve(record, {1000: 3.0, 4000: 2.0})) == []
    assert tokens_saved(slow, with_curve(record, {4000: 2.0})) == []
    assert tokens_saved(slow, slow) == []
    elsewhere = fast.model_copy(update={"shardset_sha256": "another"})
    assert tokens_saved(slow, elsewhere) == []


def test_runs_of_different_shard_sets_are_told(two: tuple[Path, Path]) -> None:
    record = read_record(two[1] / "result.json")
    write_record(two[1], record.model_copy(update={"shardset_sha256": "another"}))
    assert "different shard sets" in compare(*two).warnings[0]
