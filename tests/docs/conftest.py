from __future__ import annotations

import pytest

from tests.docs.folders import Made


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The folders that commands of the pages are run in."""
    return Made(tmp_path_factory.mktemp("pages"))
