"""Times litdata's optimize with a tokenizer of `tokenizers`: TOKENIZER_FOLDER OUT WORKERS FILE…

The workers are forked, which is the faster of its ways to start them.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path


def encode(file: str, tokenizer: str) -> Iterator[object]:
    """Yield the ids of every document, the end-of-text token at the end."""
    import torch
    from tokenizers import Tokenizer

    model = Tokenizer.from_file(f"{tokenizer}/tokenizer.json")
    eos = model.token_to_id("<|endoftext|>")
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            yield torch.tensor([*model.encode(json.loads(line)["text"]).ids, eos])


def main() -> None:
    """Tokenize, then print the seconds that it took."""
    tokenizer, out, workers, *files = sys.argv[1:]
    os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = str(Path(out) / "cache")

    from litdata import TokensLoader, optimize  # type: ignore

    start = time.perf_counter()
    optimize(
        fn=partial(encode, tokenizer=tokenizer),
        inputs=files,
        output_dir=str(Path(out) / "chunks"),
        chunk_bytes="64MB",
        num_workers=int(workers),
        item_loader=TokensLoader(block_size=2048),
        start_method="fork",
    )
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
