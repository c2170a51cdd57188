"""What the fork server of a sweep loads before it makes the first run."""

from __future__ import annotations

from train.worker import prepare

prepare()
