"""What pytest loads where this package is installed (entry point ``pytest11``): nothing, unless the conformance kit is asked
for.

Rules: a run of pytest that does not name ``ringbuffer.conformance`` gets no option, no hook and no import of this package; so
this module stands outside of it.
"""

from __future__ import annotations

from typing import Any

import pytest

KIT = "ringbuffer.conformance"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Load the kit's plugin, whose options come into force with the parsing that follows."""
    if any(argument == KIT or argument.startswith(KIT + "::") for argument in args):
        plugin: Any
        try:
            from ringbuffer.conformance import plugin
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "hypothesis":
                raise
            raise pytest.UsageError(
                "the conformance kit needs Hypothesis: pip install 'shm-ringbuffer-reference[conformance]'"
            ) from error
        plugin.add_options(parser)
        early_config.pluginmanager.register(plugin, KIT)
