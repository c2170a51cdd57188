"""Rows that went in favour of rows that went themselves, led to the row that stays in the end.

In every round each group asks the groups of its winners whether they still stay. What is found
halves the way that is left, so that a chain of n rows takes about log2(n) rounds; a chain has at
most one row for each band.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixscale.ingest.dedup.exact import LOSS, Ints, read_exact
from mixscale.ingest.dedup.exchange import Exchange
from mixscale.ingest.dedup.groups import Group
from mixscale.ingest.dedup.near_duplicates import NearStage, read_gone
from mixscale.ingest.dedup.order import order_of
from mixscale.ingest.runtime.intermediate import (
    intermediate_path,
    read_completion,
    write_completion,
)

_STEP = 1 << 48


@dataclass(frozen=True, kw_only=True)
class ChainTask:
    """One round for the rows of one group."""

    stage: NearStage
    group: Group
    round: int

    @property
    def questions(self) -> Exchange:
        """Rows that went, for the group of the row in whose favour each did."""
        return self._exchange(f"questions-{self.round}")

    @property
    def answers(self) -> Exchange:
        """Rows in whose favour those went, for the group that asked."""
        return self._exchange(f"answers-{self.round}")

    @property
    def copy_of(self) -> Path:
        """The (rows,) row in whose favour each went, or -1, as far as it is known in this round."""
        return self.stage.folder / f"copies-{self.round}" / str(self.group.number)

    def _exchange(self, name: str) -> Exchange:
        groups = self.stage.exact.groups
        folder = self.stage.folder / name
        return Exchange(folder=folder, writers=groups, readers=groups, dtype=LOSS)

    def before(self) -> ChainTask:
        """Give the same group's task of the round before."""
        return ChainTask(stage=self.stage, group=self.group, round=self.round - 1)


def ask(task: ChainTask) -> None:
    """Take in the answers of the round before, and ask about each row that changed by them."""
    number = task.group.number
    completion = task.copy_of.with_suffix(".json")
    if read_completion(completion) is not None:
        return
    if task.round == 0:
        copy_of = _first_copies(task)
        rows = np.flatnonzero(copy_of >= 0)
    else:
        copy_of = np.fromfile(task.before().copy_of, np.int64)
        answers = task.before().answers.read(number)
        rows = answers["row"] - task.group.first
        copy_of[rows] = answers["winner"]
    with intermediate_path(task.copy_of) as path:
        copy_of.tofile(path)
    questions = np.empty(len(rows), LOSS)
    questions["row"], questions["winner"] = rows + task.group.first, copy_of[rows]
    questions = questions.take(order_of(questions["winner"]))
    readers = questions["winner"] // task.stage.exact.group_rows
    task.questions.write(number, questions, readers)
    write_completion(completion, {}, [task.copy_of, task.questions.path(number)])


def _first_copies(task: ChainTask) -> Ints:
    _, copy_of = read_exact(task.stage.exact, task.group)
    texts, gone = read_gone(task.stage, task.group.number, task.stage.near.bands()[0])
    copy_of[texts["rank"] % _STEP - task.group.first] = gone
    return copy_of


def answer(task: ChainTask) -> int:
    """Answer with the rows in whose favour the asked ones went; returns how many of them did."""
    number = task.group.number
    completion = task.answers.folder / f"{number}.json"
    done = read_completion(completion)
    if done is not None:
        return done["answers"]
    asked = task.questions.read(number)
    further = np.fromfile(task.copy_of, np.int64)[asked["winner"] - task.group.first]
    answers = np.empty(int((further >= 0).sum()), LOSS)
    answers["row"], answers["winner"] = asked["row"][further >= 0], further[further >= 0]
    answers = answers.take(order_of(answers["row"]))
    task.answers.write(number, answers, answers["row"] // task.stage.exact.group_rows)
    write_completion(completion, {"answers": len(answers)}, [task.answers.path(number)])
    return len(answers)
