"""Masked language models: what is hidden, and that it is the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.data.batches import Batch, MaskedBatches
from mixscale.train.data.dataset import SAMPLE_ID
from mixscale.train.data.loaders import dataset_of, evaluators, train_loader
from mixscale.train.evaluate.loss import IGNORED, TokenLoss
from mixscale.train.evaluate.model import evaluate_model
from mixscale.train.run.model import load_tokenizer
from mixscale.train.run.training import train


@pytest.fixture
def masked_values(run_values: dict[str, Any], masked_model: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    return run_values | masked_model


def make(values: dict[str, Any], **changes: Any) -> RunConfig:
    return validate({**values, **changes}, RunConfig, "test")


def training_batches(config: RunConfig) -> list[Batch]:
    return list(train_loader(config, load_tokenizer(config.tokenizer)).dataloader)


def test_bert_learns_and_is_counted(masked_values: dict[str, Any], tmp_path: Path) -> None:
    masked_values["train_loader"]["dataset"]["epoch_size"] = 400
    config = make(masked_values, max_duration="400sp", eval_interval="200sp")
    record = train(config, tmp_path / "run")
    assert record.status == "finished"
    assert record.seen_tokens == 400 * 32  # all tokens of the batches, hidden or not
    first, last = record.learning_curve
    assert sum(last.losses.values()) < sum(first.losses.values())
    for loss in record.evaluation.values():
        assert 0 < loss.tokens < 24 * 32 * 0.25
        assert loss.standard_error is not None
        assert loss.bits_per_byte is None
    again = train(config, tmp_path / "again")
    assert again.evaluation == record.evaluation


def test_hidden_tokens_that_are_found(
    masked_values: dict[str, Any], shardset: Path, tmp_path: Path
) -> None:
    """Against the exported model, asked the same batches with transformers alone."""
    masked_values["train_loader"]["dataset"]["epoch_size"] = 360
    masked_values["optimizer"] = {"name": "decoupled_adamw", "lr": 0.03}
    exported = {"hf_checkpointer": {"save_folder": str(tmp_path)}}
    config = make(masked_values, max_duration="8ep", eval_interval="1dur", callbacks=exported)
    record = train(config, tmp_path / "run")
    (folder,) = tmp_path.glob("huggingface/ba*")
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    for evaluator in evaluators(config, load_tokenizer(config.tokenizer)):
        right, hidden = [], []
        for batch in evaluator.dataloader.dataloader:
            with torch.no_grad():
                logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            chosen = batch["labels"] != IGNORED
            right += ((logits.argmax(-1) == batch["labels"]) & chosen).sum(1).tolist()
            hidden += chosen.sum(1).tolist()
        found = record.evaluation[evaluator.label]
        share = sum(right) / sum(hidden)
        assert found.masked_accuracy == pytest.approx(share)
        residuals = np.array(right) - share * np.array(hidden)
        error = np.sqrt((residuals**2).sum() * 24 / 23) / sum(hidden)
        assert found.masked_accuracy_error == pytest.approx(error)
    assert max(loss.masked_accuracy or 0 for loss in record.evaluation.values()) > 0
    # The same numbers again, of the model alone, whatever the batch size.
    losses = evaluate_model(folder, shardset, batch_size=5)
    for domain, loss in losses.items():
        assert loss.masked_accuracy == pytest.approx(record.evaluation[domain].masked_accuracy)
        assert loss.loss_nats == pytest.approx(record.evaluation[domain].loss_nats, abs=1e-5)


def test_tokens_are_hidden_as_bert_hides_them(masked_values: dict[str, Any]) -> None:
    masked_values["train_loader"]["dataset"]["epoch_size"] = 360
    config = make(masked_values, global_train_batch_size=360)
    tokenizer = load_tokenizer(config.tokenizer)
    spec = train_loader(config, tokenizer)
    (batch,) = list(spec.dataloader)
    originals = np.stack([dataset_of(spec)[int(i)]["tokens"] for i in batch[SAMPLE_ID]])
    tokens = torch.from_numpy(originals.astype(np.int64))
    chosen = batch["labels"] != IGNORED
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.02)
    assert torch.equal(batch["labels"][chosen], tokens[chosen])
    assert torch.equal(batch["input_ids"][~chosen], tokens[~chosen])
    hidden = batch["input_ids"][chosen] == tokenizer.mask_token_id
    assert hidden.float().mean().item() == pytest.approx(0.8, abs=0.05)


def test_the_same_batch_is_hidden_the_same_way_and_the_next_epoch_another(
    masked_values: dict[str, Any],
) -> None:
    config = make(masked_values)
    first, again = training_batches(config), training_batches(config)
    assert all(
        torch.equal(one["input_ids"], two["input_ids"])
        for one, two in zip(first, again, strict=True)
    )
    tokenizer = load_tokenizer(config.tokenizer)
    dataset = dataset_of(train_loader(config, tokenizer))
    collate = MaskedBatches(dataset, tokenizer, 0.15, training=True)
    samples = [dataset[number] for number in range(8)]
    before = collate(samples)["labels"]
    dataset.next_epoch += 1
    assert not torch.equal(before, collate(samples)["labels"])


def test_evaluation_hides_the_same_whatever_the_seed_and_the_batch_size(
    masked_values: dict[str, Any],
) -> None:
    def labels(config: RunConfig) -> torch.Tensor:
        (first, *_) = evaluators(config, load_tokenizer(config.tokenizer))
        return torch.cat([batch["labels"] for batch in first.dataloader.dataloader])

    assert torch.equal(
        labels(make(masked_values)), labels(make(masked_values, seed=5, device_eval_batch_size=5))
    )


def test_a_tokenizer_without_mask_token_is_refused(
    masked_values: dict[str, Any], run_values: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"kwargs: \{mask_token: <mask>\}"):
        train(make(masked_values, tokenizer=run_values["tokenizer"]), tmp_path / "run")


def test_hiding_is_not_for_causal_models(run_values: dict[str, Any]) -> None:
    run_values["train_loader"]["dataset"]["mlm_probability"] = 0.3
    with pytest.raises(UserError, match=r"mlm_probability is for `model\.name: hf_masked_lm`"):
        make(run_values)


def test_standard_error_with_samples_that_predict_different_numbers_of_tokens() -> None:
    """Against the spread of the mean over many drawn validation sets."""
    generator = torch.Generator().manual_seed(0)
    means, errors = [], []
    for _ in range(150):
        labels = torch.randint(0, 7, (64, 16), generator=generator)
        labels[torch.rand(64, 16, generator=generator) < 0.6] = IGNORED
        difficulty = 1 + torch.rand(64, 1, 1, generator=generator)
        metric = TokenLoss()
        metric.update(difficulty * torch.randn(64, 16, 7, generator=generator), labels)
        mean, error, tokens = metric.summary()
        assert tokens == (labels != IGNORED).sum()
        assert error is not None
        means.append(mean)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.15)
