"""Recording what an endpoint does: the file, and, where Python makes the accesses, the runner that writes it.

``ShmRingBufferIO(ring, rank, record=PATH)`` records into that file; with the variable ``RINGBUFFER_RECORD`` set to a folder,
every endpoint records into a file of its own there, named after ring, role, holder and process. Nothing is overwritten. What
a file holds is said in ``trace/recording.py``, and what can be learned from it in ``validate``.

With the extension, rows are recorded in C, by the runner that runs them (``memory/_recording.h``). Without it, rows are
interpreted one by one (``interpreted.py``), which takes some microseconds for each.

Rules: off, this costs one test in each call of the runner. An error at the beginning leaves nothing behind, no file and no
role; a file that cannot grow any more ends the recording (a warning says so) and nothing else. A forked child records nothing.
Limits: who reads in the place of an evicted reader is not recorded, which the writer's file says. In Python, an interrupt that
comes between two rows is a record of its own, and whoever validates it has no answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ringbuffer.compiled import Runner
from ringbuffer.environment import variable_set
from ringbuffer.errors import TraceFileError
from ringbuffer.interpreted import RecordedRunner
from ringbuffer.memory import participants
from ringbuffer.memory.backend import NATIVE, chosen, require_total_store_order
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Program, Variant
from ringbuffer.trace.recording import HEAD_BYTES, STOOD_IN, Head, mark, seal, stop

VARIABLE: Final = "RINGBUFFER_RECORD"
SUFFIX: Final = ".ringrec"
_log = logging.getLogger("ringbuffer")


def asked_for(record: str | os.PathLike[str] | None, ring: str, claim: participants.Role) -> Path | None:
    """The file into which an endpoint is to record, if it is to: ``record``, or one in the environment's folder."""
    if record is not None:
        return Path(record)
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        return None
    name = "writer" if claim.rank == -1 else f"reader{claim.rank}"
    return Path(folder) / f"{ring}-{name}-{claim.entry().generation}-{os.getpid()}{SUFFIX}"


@contextlib.contextmanager
def into(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Inside, the endpoints of this process, and of those that it starts, record into that new folder (``None``: as before).

    Raises :class:`TraceFileError` where the folder cannot be made, or has something in it.
    """
    if folder is None:
        yield
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        is_empty = not any(Path(folder).iterdir())
    except OSError as error:
        raise TraceFileError(f"{folder} cannot be made, to record into: {error.strerror}") from error
    if not is_empty:
        raise TraceFileError(f"{folder} has something in it: the recordings of one run go into a folder of their own")
    with variable_set(VARIABLE, str(Path(folder).resolve())):
        yield


def runner_for(bind: Callable[[Program, Segment, int], Runner], program: Program, segment: Segment, rank: int) -> Runner:
    """A runner that can be recorded: that of ``bind``, where that is the extension's."""
    if chosen() == NATIVE:
        return bind(program, segment, rank)
    require_total_store_order()
    return RecordedRunner(program, segment, rank)


class Recorder:
    """One endpoint's recording. Made when the runner stands where it begins; raises :class:`TraceFileError`."""

    def __init__(
        self, path: Path, runner: Any, program: Program, segment: Segment, rank: int, generation: int, tables: Variant
    ) -> None:
        self.path, self._runner, self._pid = path, runner, os.getpid()
        layout = segment.layout
        head = Head(
            ring=segment.name,
            identity=segment.header.identity.hex(),
            readers=layout.n_reader,
            blocks=layout.max_chunks,
            initial_read_flag=segment.header.initial_read_flag,
            rank=rank,
            generation=generation,
            start=runner.done(),
            tables=str(tables),
            rows=tuple(one.row.id for one in program.instructions),
            pid=self._pid,
            by=f"ringbuffer ({'python' if isinstance(runner, RecordedRunner) else 'native'})",
        )
        try:
            packed = head.pack()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TraceFileError(f"{path} cannot be made, to record into: {error.strerror}") from error
        try:
            os.pwrite(descriptor, packed, 0)
            runner.record(descriptor, HEAD_BYTES)
        except OSError as error:
            path.unlink()
            raise TraceFileError(f"{path} cannot be recorded into: {error.strerror}") from error
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)

    def stands_in(self) -> None:
        """From here on the writer reads in the place of a reader that is gone."""
        mark(self.path, STOOD_IN)

    def end(self) -> None:
        """The endpoint is closed: bring the file to its end. Again, or in a forked child, this does nothing to the file."""
        recorded = self._runner.recorded()
        if recorded is None or self._pid != os.getpid():
            return
        end, error = recorded
        try:
            if error:
                stop(self.path, end)
                _log.warning("the recording %s ends early: %s", self.path, os.strerror(error))
            else:
                seal(self.path, end)
        except OSError as problem:
            _log.warning("the recording %s could not be brought to its end: %s", self.path, problem)
