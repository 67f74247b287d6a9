"""Whole agents over real HTTP: a provider that can be told to fail, and one thread to run on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provider import Provider, provider

from rlm_agent import Home


@pytest.fixture
def service() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "runs")


@pytest.fixture
def thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": "over-http"}}
