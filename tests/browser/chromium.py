"""A browser for the tests of pages: Chromium, from wherever. Without it they are skipped, except in CI (``CI=true``)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any, Final

import pytest

NAMES: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def _unavailable(what: str) -> None:
    reason = f"no {what}: pip install '.[test]' and apt-get install chromium-headless-shell"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _unavailable("playwright")
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        _unavailable("Chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable)
        yield chromium
        chromium.close()
