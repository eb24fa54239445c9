"""Which files are code under test, by default: all but the standard library, installed packages, and this package.

Limits: code without a file (``exec``, what ``dataclass`` generates) counts as the library's; importing a module is never
switched in.
"""

from __future__ import annotations

import functools
import linecache
import sys
import sysconfig
from pathlib import Path
from types import CodeType

_OURS = str(Path(__file__).parent) + "/"
_LIBRARIES = tuple(
    sorted({str(Path(sysconfig.get_path(name))) + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {_OURS})
)


@functools.cache
def is_default_code(file: str) -> bool:
    """Whether a file is neither of the standard library, nor installed, nor the scheduler's own."""
    return not file.startswith(("<", *_LIBRARIES)) and "/site-packages/" not in file and "/dist-packages/" not in file


def is_ours(file: str) -> bool:
    """Whether a file belongs to the scheduler: it is never traced, whatever the scenario's own predicate says."""
    return file.startswith(_OURS)


def bytecode_version() -> str:
    """What a schedule by opcodes depends on: the version of Python whose bytecode it counts."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def line_in_words(code: CodeType, line: int) -> str:
    """A line of source: its file, its number and its text."""
    text = linecache.getline(code.co_filename, line).strip()
    return f"{Path(code.co_filename).name}:{line}" + (f" `{text}`" if text else "")
