"""What ``import ringbuffer`` needs, and what it leaves alone: the core works without torch, and never imports it by itself."""

from __future__ import annotations

import subprocess
import sys

IMPORT_SECONDS = 60

WITHOUT_TORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "numpy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run(program: str) -> str:
    """What a new process prints that runs the program without a warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_imports_no_optional_dependency() -> None:
    found = run("import ringbuffer, sys; print(*{'torch', 'numpy', 'hypothesis', 'rich', 'z3'} & set(sys.modules))")
    assert found.split() == []


def test_the_ring_works_without_torch() -> None:
    program = """
from ringbuffer import ShmRingBuffer, ShmRingBufferIO
with ShmRingBuffer(1, 64, 1) as ring:
    ShmRingBufferIO(ring, -1).enqueue("sent")
    print(ShmRingBufferIO(ring, 0).dequeue())
"""
    assert run(WITHOUT_TORCH + program) == "sent\n"


def test_a_process_group_without_torch_names_the_extra() -> None:
    program = """
from ringbuffer.errors import MissingExtraError
try:
    from ringbuffer import create_from_process_group
except MissingExtraError as error:
    print(error.extra, error)
"""
    assert run(WITHOUT_TORCH + program) == (
        "torch create_from_process_group needs the extra 'torch': pip install 'shm-ringbuffer-reference[torch]'\n"
    )


def test_with_torch_the_name_is_there() -> None:
    program = "from ringbuffer import create_from_process_group as c; import sys; print(c.__module__, 'torch' in sys.modules)"
    assert run(program) == "ringbuffer.distributed True\n"
