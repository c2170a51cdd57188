"""Models and tokenizers that are not there are refused without waiting for a network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.train.config import ModelConfig, RunConfig, TokenizerConfig
from mixscale.train.run.hub import load
from mixscale.train.run.model import load_tokenizer, model_config

PROGRAM = """
from mixscale.contracts.errors import UserError
from mixscale.train.config import ModelConfig, TokenizerConfig
from mixscale.train.run.model import load_tokenizer, model_config
tried = (
    lambda: load_tokenizer(TokenizerConfig(name="owner/some-tokenizer")),
    lambda: model_config(ModelConfig(name="hf_causal_lm", pretrained=False,
                         pretrained_model_name_or_path="lama"), 32, None),
)
for attempt in tried:
    try:
        attempt()
    except UserError as error:
        print(error)
"""


def test_without_a_network_the_hub_is_not_asked(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # never listens: connections are refused
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path),
            "no_proxy": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
    tokenizer, model = done.stdout.strip().splitlines()
    assert "tokenizer.name: cannot load 'owner/some-tokenizer'" in tokenizer
    assert f"not in the hub's cache, and {endpoint} cannot be reached" in tokenizer
    assert "pretrained_model_name_or_path: cannot load 'lama'" in model
    assert model.endswith("Did you mean 'llama'?")
    assert "Retrying" not in done.stderr


@pytest.mark.parametrize("name", ["./tokenizer", "/nowhere/tokenizer", "a/b/c", "shardset/t/"])
def test_a_folder_that_is_missing_is_no_name_on_the_hub(name: str) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        load_tokenizer(TokenizerConfig(name=name))


def test_offline_is_respected() -> None:
    with pytest.raises(OSError, match="HF_HUB_OFFLINE is set"):
        load(AutoConfig.from_pretrained, "owner/never-downloaded")


def test_flash_attention_falls_back(run_values: dict[str, Any]) -> None:
    """LLM Foundry's files ask for it; where it is missing, PyTorch's own computes the same."""
    run_values["model"] |= {"use_flash_attention_2": True}
    config = validate(run_values, RunConfig, "test")
    made = model_config(config.model, 32, load_tokenizer(config.tokenizer))
    assert made.vocab_size == 64
    assert isinstance(config.model, ModelConfig)
