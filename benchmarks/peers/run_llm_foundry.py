"""Times LLM Foundry's convert_text_to_mds: TOKENIZER_FOLDER OUT WORKERS FILE…

It reads plain text, so the texts of the files, joined by the end-of-text token, are written to
.txt files first; that is not timed.
"""

import json
import os
import sys
import time
from pathlib import Path

EOS = "<|endoftext|>"


def main() -> None:
    """Convert, then print the seconds that it took."""
    tokenizer, out, workers, *files = sys.argv[1:]
    texts = Path(out) / "texts"
    texts.mkdir(parents=True)
    for number, file in enumerate(files):
        with open(file, encoding="utf-8") as lines:
            joined = EOS.join(json.loads(line)["text"] for line in lines)
        (texts / f"{number:03}.txt").write_text(joined, encoding="utf-8")

    from llmfoundry.command_utils.data_prep.convert_text_to_mds import (  # type: ignore
        convert_text_to_mds,
    )

    start = time.perf_counter()
    convert_text_to_mds(
        tokenizer_name=tokenizer,
        output_folder=os.path.join(out, "shards"),
        input_folder=str(texts),
        concat_tokens=2048,
        eos_text=EOS,
        bos_text="",
        no_wrap=False,
        compression="",
        processes=int(workers),
        args_str="",
        reprocess=True,
        trust_remote_code=False,
    )
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
