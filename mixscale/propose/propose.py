"""The main job: look at a folder, decide, write the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError
from mixscale.propose.corpus_yaml import corpus_yaml
from mixscale.propose.decide import Decision, decide, tokens_of
from mixscale.propose.experiment_yaml import experiment_yaml
from mixscale.propose.grouping import domain_name
from mixscale.propose.run_yaml import run_yaml
from mixscale.propose.survey import survey_folder

NAMES = ("corpus.yaml", "experiment.yaml", "run.yaml")
_SHARDSET = "shardset"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What was found in a folder, and the files that were written."""

    decision: Decision
    written: tuple[Path, ...]

    def as_json(self) -> dict[str, Any]:
        """Give plain values."""
        decision = self.decision
        survey = decision.survey
        return {
            "folder": str(survey.listing.folder),
            "preset": survey.layout.preset if survey.layout else None,
            "route_field": survey.route_field,
            "domains": [
                {
                    "name": domain.name,
                    "files": len(domain.files),
                    "bytes": domain.raw_bytes,
                    "formats": sorted({look.ending for look in domain.looks}),
                    "text": domain.text,
                    "documents": round(domain.amount.documents),
                    "tokens": round(tokens_of(domain)),
                    "is_used": domain in decision.domains,
                }
                for domain in survey.domains
            ],
            "left_out": {
                reason: [file.path for file in files[:20]]
                for reason, files in survey.left_out.items()
            },
            "is_cut": survey.listing.is_cut,
            "tokenizer": decision.tokenizer,
            "sequence_length": decision.sequence_length,
            "written": [str(path) for path in self.written],
        }


def propose(folder: Path, out: Path, *, force: bool = False) -> Proposal:
    """Look at a folder of text, and write corpus.yaml, experiment.yaml and run.yaml.

    A bounded number of files and bytes is read, whatever the size of the folder.

    Args:
        folder: With the text.
        out: Gets the files; what they name is relative to it.
        force: Replace such files.

    Raises:
        UserError: There are such files, or the folder holds no text.
    """
    present = [name for name in NAMES if (out / name).exists()]
    if present and not force:
        raise UserError(
            f"{out / present[0]}: is there already; --force replaces it, "
            "--out FOLDER writes somewhere else"
        )
    decision = decide(survey_folder(folder))
    texts = {"corpus.yaml": corpus_yaml(decision, out)}
    if decision.proxies is not None:
        name = domain_name(folder.resolve().name).lstrip("_.-") or "first"
        texts["experiment.yaml"] = experiment_yaml(decision, decision.proxies, name, _SHARDSET)
        texts["run.yaml"] = run_yaml(decision, decision.proxies, _SHARDSET)
    for name, text in texts.items():
        with atomic_write(out / name) as stream:
            stream.write(text)
    return Proposal(decision=decision, written=tuple(out / name for name in texts))
