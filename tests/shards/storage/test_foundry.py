"""LLM Foundry reads the streams as they are, in an environment of its own."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from streaming import StreamingDataset

from mixscale.contracts.shardset import SPLITS, read_shardset

PYTHON = Path(__file__).resolve().parents[3] / "build" / "peers" / "llm-foundry" / "bin" / "python"
READER = """
import sys
import numpy as np
from llmfoundry.data.text_data import StreamingTextDataset
from transformers import AutoTokenizer

folder, domain, split, length, out = sys.argv[1:]
dataset = StreamingTextDataset(
    tokenizer=AutoTokenizer.from_pretrained(f"{folder}/tokenizer"),
    max_seq_len=int(length),
    local=f"{folder}/{domain}",
    split=split,
    shuffle=False,
    batch_size=1,
)
np.save(out, np.stack([dataset[n].numpy() for n in range(len(dataset))]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="`make test-foundry` installs LLM Foundry")
@pytest.mark.parametrize("split", SPLITS)
def test_llm_foundry_reads_what_streaming_reads(real: Path, tmp_path: Path, split: str) -> None:
    length = read_shardset(real).sequence_length
    command = [PYTHON, "-c", READER, real, "wikipedia", split, str(length), tmp_path / "read.npy"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    dataset = StreamingDataset(
        local=str(real / "wikipedia"), split=split, shuffle=False, batch_size=1
    )
    expected = np.stack([dataset[n]["tokens"] for n in range(len(dataset))])
    found = np.load(tmp_path / "read.npy")
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)
