"""What figures were measured on, and what claims were tried with: the machine, the system, and the versions.

Rules: nothing is asked of any network, and nothing that names the machine or its user is told. Limits: Linux; what cannot be
read is left out or ``None``.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from ringbuffer.version import __version__

_CPU_INFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_TOOLS: Final = ("z3-solver", "crosshair-tool", "hypothesis")
"""The distributions on which claims rest."""


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, governor, load before the run, system and interpreter."""
    info = _read(_CPU_INFO)
    flags = _value(info, "flags").split()
    return {
        "processor": _value(info, "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "virtual": "hypervisor" in flags,
        "governor": _read(_GOVERNOR).strip() or None,
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(backend: str) -> dict[str, str | None]:
    """The release, what executes the rows, and the tools that prove and sample; ``None`` for one that is not installed."""
    return {"ringbuffer": __version__, "backend": backend, **{name: _installed(name) for name in _TOOLS}}


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def sentence(found: dict[str, Any]) -> str:
    """The same, to be read."""
    kind = "virtual " if found["virtual"] else ""
    governor = f"governor {found['governor']}" if found["governor"] else "governor unknown"
    return (
        f"{found['cores']} {kind}cores of {found['processor']}, {governor}, load {found['load']} before the run;"
        f" {found['system']}, {found['python']}"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _value(info: str, key: str) -> str:
    for line in info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
