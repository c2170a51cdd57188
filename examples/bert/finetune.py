"""Fine-tune a masked model on a file of labelled sentences and measure it on another, as GLUE does.

    python -m examples.bert.finetune MODEL --train train.jsonl --validation validation.jsonl

The files are JSONL or CSV with the fields `text` and `label`. The recipe is that of BERT (Devlin et
al., arXiv 1810.04805, section 4.1): a new layer on the state of the first token, all weights
trained for some epochs with a small learning rate that rises and then falls.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from composer import DataSpec, Trainer
from composer.models import HuggingFaceModel
from composer.optim import DecoupledAdamW, LinearWithWarmupScheduler
from composer.utils import reproducibility
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy, MulticlassMatthewsCorrCoef
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from mixscale.contracts.errors import UserError
from mixscale.train.config import TokenizerConfig
from mixscale.train.run.device import choose_device
from mixscale.train.run.model import load_tokenizer

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A text with its label."""

    text: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to fine-tune."""

    epochs: int = 3
    learning_rate: float = 5e-5
    batch_size: int = 16
    max_length: int = 128
    """Tokens of a sentence; what is longer is cut."""
    seed: int = 17


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """What the fine-tuned model reaches on the validation file."""

    accuracy: float
    standard_error: float
    """Of the accuracy, over sentences."""
    matthews: float
    """Matthews' correlation coefficient: 0 for guessing, whatever the shares of the labels."""
    majority: float
    """Accuracy of always giving the label that is most frequent in training."""
    sentences: int
    cut: int
    """Sentences of both files that were cut."""
    labels: tuple[str, ...]


def read_sentences(path: str | Path) -> list[Sentence]:
    """Read a JSONL or CSV file with the fields `text` and `label`.

    Raises:
        UserError: The file is missing, empty or damaged, or a line lacks a field; with its number.
    """
    file = Path(path)
    try:
        lines = list(_rows(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot read: {error}") from error
    for number, row in lines:
        lacking = [name for name in ("text", "label") if row.get(name) in (None, "")]
        if lacking:
            raise UserError(f"{file}:{number}: no {' and no '.join(lacking)} (found {sorted(row)})")
    if not lines:
        raise UserError(f"{file}: no sentences")
    return [Sentence(text=str(row["text"]), label=str(row["label"])) for _, row in lines]


def _rows(file: Path) -> Iterator[tuple[int, dict]]:
    with file.open(encoding="utf-8", newline="") as stream:
        if file.suffix == ".csv":
            reader = csv.DictReader(stream)
            yield from ((reader.line_num, row) for row in reader)
            return
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{file}:{number}: no JSON: {error.msg}") from error
            if not isinstance(row, dict):
                raise UserError(f"{file}:{number}: expected an object with text and label")
            yield number, row


class Encoder:
    """Turns sentences into batches; the first token is the one that the answer is read from."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, labels: Sequence[str], max_length: int
    ) -> None:
        self.tokenizer = tokenizer
        self.numbers = {label: number for number, label in enumerate(labels)}
        self.max_length = max_length
        first = tokenizer.cls_token_id
        # Texts in shards follow an end-of-text token.
        self.first: Any = tokenizer.eos_token_id if first is None else first
        padding = tokenizer.pad_token_id
        self.padding = self.first if padding is None else padding

    def tokens(self, text: str) -> list[int]:
        """Encode a text, uncut."""
        return [self.first, *self.tokenizer.encode(text, add_special_tokens=False)]

    def __call__(self, sentences: Sequence[Sentence]) -> Batch:
        """Make `input_ids` and `attention_mask`, (batch, length), and `labels`, (batch,)."""
        rows = [self.tokens(sentence.text)[: self.max_length] for sentence in sentences]
        length = max(map(len, rows))
        return {
            "input_ids": torch.tensor([row + [self.padding] * (length - len(row)) for row in rows]),
            "attention_mask": torch.tensor(
                [[1] * len(row) + [0] * (length - len(row)) for row in rows]
            ),
            "labels": torch.tensor([self.numbers[sentence.label] for sentence in sentences]),
        }


def finetune(
    model: str | Path, train: Sequence[Sentence], validation: Sequence[Sentence], recipe: Recipe
) -> FineTuned:
    """Fine-tune a Hugging Face folder of a masked model.

    Args:
        model: The folder, of `mixscale export` or of the callback hf_checkpointer.
        train: Labelled sentences to learn from.
        validation: Others, with the same labels.
        recipe: How.

    Raises:
        UserError: There are fewer than two labels, or validation has others than training.
    """
    labels = sorted({sentence.label for sentence in train})
    if len(labels) < 2:
        raise UserError(f"all sentences have the label {labels[0]!r}: there is nothing to learn")
    unknown = sorted({sentence.label for sentence in validation} - set(labels))
    if unknown:
        raise UserError(f"validation has labels that training lacks: {unknown}; it has {labels}")
    reproducibility.seed_all(recipe.seed)
    tokenizer = load_tokenizer(TokenizerConfig(name=str(model)))
    network = _network(model, len(labels))
    length = min(recipe.max_length, network.config.max_position_embeddings)
    encoder = Encoder(tokenizer, labels, length)
    metrics = [
        MulticlassAccuracy(num_classes=len(labels), average="micro"),
        MulticlassMatthewsCorrCoef(num_classes=len(labels)),
    ]
    wrapped = HuggingFaceModel(
        network, tokenizer=tokenizer, use_logits=True, metrics=[], eval_metrics=metrics
    )
    order = torch.Generator().manual_seed(recipe.seed)
    trainer = Trainer(
        model=wrapped,
        train_dataloader=_loader(train, encoder, recipe.batch_size, order),
        eval_dataloader=_loader(validation, encoder, 4 * recipe.batch_size, None),
        optimizers=DecoupledAdamW(wrapped.parameters(), lr=recipe.learning_rate),
        schedulers=LinearWithWarmupScheduler(t_warmup="0.06dur"),
        max_duration=f"{recipe.epochs}ep",
        device=choose_device(),
        seed=recipe.seed,
        progress_bar=False,
    )
    trainer.fit()
    found = {name: float(metric.compute()) for name, metric in _metrics(trainer).items()}
    trainer.close()
    accuracy, count = found["MulticlassAccuracy"], len(validation)
    ((most, _),) = Counter(sentence.label for sentence in train).most_common(1)
    return FineTuned(
        accuracy=accuracy,
        standard_error=(accuracy * (1 - accuracy) / count) ** 0.5,
        matthews=found["MulticlassMatthewsCorrCoef"],
        majority=sum(sentence.label == most for sentence in validation) / count,
        sentences=count,
        cut=sum(len(encoder.tokens(one.text)) > length for one in (*train, *validation)),
        labels=tuple(labels),
    )


def _network(model: str | Path, labels: int) -> Any:
    try:
        return AutoModelForSequenceClassification.from_pretrained(model, num_labels=labels)
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: cannot load a model: {str(error).splitlines()[0]}") from error


def _loader(
    sentences: Sequence[Sentence], encoder: Encoder, size: int, order: torch.Generator | None
) -> DataSpec:
    loader = DataLoader(
        list(sentences),  # pyright: ignore[reportArgumentType]
        batch_size=size,
        shuffle=order is not None,
        generator=order,
        collate_fn=encoder,
    )
    return DataSpec(loader, get_num_samples_in_batch=lambda batch: len(batch["labels"]))


def _metrics(trainer: Trainer) -> dict[str, Any]:
    """Give the metrics of the evaluation at the end of the last epoch."""
    (metrics,) = trainer.state.eval_metrics.values()
    return dict(metrics)


def main() -> None:
    """Read the command line, fine-tune, print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m examples.bert.finetune")
    parser.add_argument("model", help="Hugging Face folder of a masked model")
    parser.add_argument("--train", required=True, help="JSONL or CSV with text and label")
    parser.add_argument("--validation", required=True, help="the same, with other sentences")
    defaults = Recipe()
    for name, kind in (("epochs", int), ("learning_rate", float), ("batch_size", int),
                       ("max_length", int), ("seed", int)):  # fmt: skip
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=getattr(defaults, name))
    given = parser.parse_args()
    recipe = Recipe(**{name: getattr(given, name) for name in asdict(defaults)})
    try:
        train, validation = read_sentences(given.train), read_sentences(given.validation)
        result = finetune(given.model, train, validation, recipe)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(json.dumps(asdict(result), indent=2))


if __name__ == "__main__":
    main()
