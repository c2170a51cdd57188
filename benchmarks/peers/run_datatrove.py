"""Times datatrove's DocumentTokenizer: TOKENIZER_FOLDER OUT WORKERS FILE…

Documents are not shuffled, which would write everything a second time.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Tokenize, then print the seconds that it took."""
    tokenizer, out, workers, *files = sys.argv[1:]
    folder = Path(out)
    folder.mkdir(parents=True)
    root = Path(files[0]).parents[1]
    names = folder / "names.txt"
    names.write_text("".join(f"{Path(file).relative_to(root)}\n" for file in files))

    from datatrove.executor import LocalPipelineExecutor  # type: ignore
    from datatrove.pipeline.readers import JsonlReader  # type: ignore
    from datatrove.pipeline.tokens import DocumentTokenizer  # type: ignore

    executor = LocalPipelineExecutor(
        pipeline=[
            JsonlReader(str(root), paths_file=str(names)),
            DocumentTokenizer(
                str(folder / "tokens"),
                tokenizer_name_or_path=f"{tokenizer}/tokenizer.json",
                eos_token="<|endoftext|>",
                shuffle_documents=False,
            ),
        ],
        tasks=int(workers),
        workers=int(workers),
        logging_dir=str(folder / "logs"),
    )
    start = time.perf_counter()
    executor.run()
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
