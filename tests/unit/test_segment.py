"""The real segment: what a new one holds, what is refused, and that nothing is left behind, however a process ends."""

from __future__ import annotations

import errno
import mmap
import os
import pickle
import secrets
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import LONG_SECONDS, SHM, MakeRing, RunPython, is_mapped

from ringbuffer import ShmRingBuffer
from ringbuffer.errors import SegmentFormatError, SegmentMissingError, SegmentSpaceError
from ringbuffer.memory.layout import CHUNK_BYTES_MAX, FRAME_BYTES, HEADER_BYTES, TOTAL_BYTES_MAX, Header, Layout, field_sizes
from ringbuffer.memory.shared import NAME_PREFIX, Segment
from ringbuffer.protocol import PROTOCOL

LAYOUT = Layout(2, 100, 3)
TOKEN = secrets.token_bytes(16)
TOKEN_NAME = NAME_PREFIX + TOKEN.hex()[:16]

MakeFile = Callable[[bytes], str]


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(LAYOUT)
    yield made
    made.unlink()
    made.close()


@pytest.fixture
def make_file() -> Iterator[MakeFile]:
    """Files of any content where segments live."""
    names: list[str] = []

    def make(content: bytes) -> str:
        names.append(NAME_PREFIX + secrets.token_hex(8))
        (SHM / names[-1]).write_bytes(content)
        return names[-1]

    yield make
    for name in names:
        (SHM / name).unlink()


@pytest.fixture
def known_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name that every segment made by this test gets."""

    def token_bytes(count: int) -> bytes:
        return TOKEN[:count]

    monkeypatch.setattr("ringbuffer.memory.shared.secrets.token_bytes", token_bytes)
    return TOKEN_NAME


def exists(name: str) -> bool:
    return (SHM / name).exists()


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def content(segment: Segment) -> bytes:
    return (SHM / segment.name).read_bytes()


def awake(layout: Layout) -> bytes:
    """The end of a new segment: everybody is awake."""
    words = struct.pack(f"={1 + layout.n_reader}I", *(1 + layout.n_reader) * [1])
    return words.ljust(layout.total_bytes - layout.awake_offset, b"\0")


def test_new_segment_is_zeroed_but_for_its_header_and_all_are_awake(segment: Segment) -> None:
    found = content(segment)
    packed = segment.header.pack()
    assert found == packed.ljust(LAYOUT.awake_offset, b"\0") + awake(LAYOUT)
    assert segment.header.creator_pid == os.getpid()


def test_new_segment_has_memory_behind_every_byte_and_is_private(segment: Segment) -> None:
    status = (SHM / segment.name).stat()
    assert status.st_size == LAYOUT.total_bytes
    assert status.st_blocks * 512 >= LAYOUT.total_bytes
    assert status.st_mode & 0o777 == 0o600


@pytest.mark.parametrize("n_reader", [0, 1, 3])
def test_read_flags_start_as_the_protocol_says(n_reader: int, make_ring: MakeRing) -> None:
    ring = make_ring(n_reader, max_chunks=3, protocol=PROTOCOL.replace(initial_read_flag=1))
    assert ring.segment.header.initial_read_flag == 1
    assert [ring.flags(block) for block in range(3)] == 3 * [b"\0" + n_reader * b"\1"]
    flags_at = [ring.segment.layout.entry_offset(block) + rank + 1 for block in range(3) for rank in range(n_reader)]
    found = content(ring.segment)
    layout = ring.segment.layout
    assert [offset for offset in range(HEADER_BYTES, layout.awake_offset) if found[offset]] == flags_at
    assert found[layout.awake_offset :] == awake(layout)


def test_attached_segment_is_the_same_memory(segment: Segment) -> None:
    other = Segment.attach(segment.name)
    assert (other.layout, other.header) == (LAYOUT, segment.header)
    with segment.frame(1) as block, other.frame(1) as same, other.readonly_frame(1) as readonly:
        block[:5] = b"hello"
        assert bytes(same[:5]) == bytes(readonly[:5]) == b"hello"
        assert readonly.readonly
        assert len(block) == FRAME_BYTES + 100
    other.close()


def test_no_room_is_an_error_at_creation_and_leaves_nothing(known_name: str) -> None:
    status = os.statvfs(SHM)
    space_bytes = status.f_blocks * status.f_frsize
    chunk_bytes = min(space_bytes, CHUNK_BYTES_MAX)
    chunks = space_bytes // max(1, chunk_bytes) + 1
    if not 0 < space_bytes < TOTAL_BYTES_MAX // 2:
        pytest.skip("/dev/shm has no size here")
    with pytest.raises(SegmentSpaceError) as caught:
        ShmRingBuffer(1, chunk_bytes, chunks)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.total_bytes == Layout(1, chunk_bytes, chunks).total_bytes > space_bytes
    assert str(caught.value.total_bytes) in str(caught.value)
    assert not exists(known_name)
    assert os.statvfs(SHM).f_bavail * status.f_frsize > space_bytes // 2, "what was allocated by then is given back"


def _half_then_no_room(descriptor: int, _: int, size_bytes: int) -> None:
    os.ftruncate(descriptor, size_bytes // 2)
    raise OSError(errno.ENOSPC, "No space left on device")


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _cannot_map(*_: object) -> None:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


@pytest.mark.parametrize(
    ("module", "function", "failure", "error"),
    [
        (os, "posix_fallocate", _half_then_no_room, SegmentSpaceError),
        (os, "posix_fallocate", _interrupted, KeyboardInterrupt),
        (mmap, "mmap", _cannot_map, SegmentSpaceError),
        (mmap, "mmap", _interrupted, KeyboardInterrupt),
    ],
)
def test_failed_creation_leaves_nothing(
    module: object,
    function: str,
    failure: Callable[..., None],
    error: type[BaseException],
    known_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_before = open_files()
    monkeypatch.setattr(module, function, failure)
    with pytest.raises(error):
        Segment.create(LAYOUT)
    assert not exists(known_name)
    assert open_files() <= open_before + 1, "at most the resource tracker's pipe is new"


def test_creation_does_not_touch_a_segment_of_its_name(known_name: str) -> None:
    first = Segment.create(LAYOUT)
    before = content(first)
    with pytest.raises(FileExistsError):
        Segment.create(LAYOUT)
    assert exists(known_name)
    assert content(first) == before
    first.unlink()
    first.close()


def test_missing_segment_is_named(segment: Segment) -> None:
    name = segment.name[:-1] + "x"
    with pytest.raises(SegmentMissingError, match=name) as caught:
        Segment.attach(name)
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.errno == errno.ENOENT


def _header_again(segment: Segment, **fields: int) -> bytes:
    header = segment.header
    return type(header)(**{name: fields.get(name, getattr(header, name)) for name in header.__slots__}).pack()


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda _, __: b"", "size"),
        (lambda _, found: found[: HEADER_BYTES - 1], "size"),
        (lambda _, found: found[:-1], "total_bytes"),
        (lambda _, found: bytes(len(found)), "magic"),
        (lambda _, found: b"\x93NUMPY\1\0" + found[8:], "magic"),
        (lambda segment, found: _header_again(segment, version=1) + found[sum(field_sizes()) :], "version"),
        (lambda segment, found: _header_again(segment, max_chunks=4) + found[sum(field_sizes()) :], "metadata_offset"),
        (lambda _, found: found[:110] + b"\0\0" + found[112:], "checksum"),
    ],
)
def test_foreign_or_damaged_file_is_refused_and_unmapped(
    edit: Callable[[Segment, bytes], bytes], field: str, segment: Segment, make_file: MakeFile
) -> None:
    name = make_file(edit(segment, content(segment)))
    with pytest.raises(SegmentFormatError, match=name) as caught:
        Segment.attach(name)
    assert caught.value.field == field
    assert not is_mapped(name)


@pytest.mark.parametrize("geometry", [(1, 100, 3), (3, 100, 3), (2, 101, 3), (2, 100, 4)])
def test_another_geometry_is_refused(geometry: tuple[int, int, int], make_file: MakeFile, segment: Segment) -> None:
    name = make_file(content(segment))
    with pytest.raises(SegmentFormatError) as caught:
        ShmRingBuffer(*geometry, name)
    assert caught.value.field == "geometry"
    assert not is_mapped(name)


def test_segment_rounded_up_to_pages_is_accepted(segment: Segment) -> None:
    os.truncate(SHM / segment.name, -(-LAYOUT.total_bytes // mmap.PAGESIZE) * mmap.PAGESIZE)
    ring = ShmRingBuffer(2, 100, 3, segment.name)
    assert ring.segment.layout == LAYOUT
    ring.close()


def test_unlink_removes_the_name_only_and_again_does_nothing(segment: Segment) -> None:
    other = Segment.attach(segment.name)
    segment.unlink()
    assert not exists(segment.name)
    segment.unlink()
    with pytest.raises(SegmentMissingError):
        Segment.attach(segment.name)
    with segment.flags(0) as flags, other.flags(0) as same:
        flags[0] = 1
        assert same[0] == 1
    other.close()


def test_close_unmaps_only_and_again_does_nothing(segment: Segment) -> None:
    assert is_mapped(segment.name)
    segment.close()
    assert not is_mapped(segment.name)
    assert exists(segment.name)
    segment.close()


def test_close_waits_for_views(segment: Segment) -> None:
    view = segment.frame(0)
    with pytest.raises(BufferError):
        segment.close()
    view.release()
    segment.close()
    assert not is_mapped(segment.name)


# Processes. Each script's output is what it was to print, and its standard error is empty: the resource tracker says there
# what it thinks has leaked, or what it was told of by mistake.

ATTACH = """
import os, pickle, signal, sys
from multiprocessing import resource_tracker
ring = pickle.loads(bytes.fromhex(sys.argv[1]))
assert resource_tracker._resource_tracker._fd is None, "attaching has started a resource tracker"
print(ring.name, flush=True)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "status"), [("", 0), ("os._exit(0)", 0), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)]
)
def test_process_that_attached_leaves_the_segment_alone(
    ending: str, status: int, make_ring: MakeRing, run_python: RunPython
) -> None:
    ring = make_ring(2)
    done = run_python(ATTACH.format(ending=ending), pickle.dumps(ring).hex())
    assert (done.returncode, done.stdout, done.stderr) == (status, ring.name + "\n", "")
    pickle.loads(pickle.dumps(ring)).close()


SPAWN = """
import multiprocessing, sys
from ringbuffer import ShmRingBuffer
from ringbuffer.memory.shared import Segment
if __name__ == "__main__":
    ring = ShmRingBuffer(2, 100, 3)
    process = multiprocessing.get_context("spawn").Process(target=Segment.attach, args=(ring.name,))
    process.start()
    process.join()
    assert process.exitcode == 0
    Segment.attach(ring.name).close()
    ring.unlink()
    print("alive")
"""


def test_attaching_tells_a_shared_resource_tracker_nothing(run_python: RunPython) -> None:
    """A child made by ``multiprocessing`` talks to its parent's tracker."""
    done = run_python(SPAWN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


CREATE = """
import os, pickle, signal, sys
from ringbuffer import ShmRingBuffer, ShmRingBufferIO
ring = ShmRingBuffer(1, 100, 3)
print(ring.name, flush=True)
writer, reader = ShmRingBufferIO(ring, -1), ShmRingBufferIO(ring, 0)
writer.enqueue("one")
hold = reader.acquire_read()
block = hold.__enter__()
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "status", "says"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise RuntimeError('boom')", 1, "RuntimeError: boom\n"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt\n"),
        ("kept = block[1:3]", 0, ""),
        ("ring.unlink()", 0, ""),
        ("other = pickle.loads(pickle.dumps(ring)); other.unlink()", 0, ""),
        ("other = pickle.loads(pickle.dumps(ring)); other.unlink(); ring.unlink()", 0, ""),
        ("del ring, writer, reader, hold, block", 0, ""),
    ],
)
def test_creator_that_ends_leaves_nothing(ending: str, status: int, says: str, run_python: RunPython) -> None:
    done = run_python(CREATE.format(ending=ending))
    name = done.stdout.strip()
    assert name.startswith(NAME_PREFIX)
    assert not exists(name)
    assert done.returncode == status, done.stderr
    assert done.stderr == "" if not says else done.stderr.endswith(says)
    assert "leaked" not in done.stderr
    assert "resource_tracker" not in done.stderr


CREATE_IN_CHILD = """
import multiprocessing, os, sys
from multiprocessing import resource_tracker
CHILD = '''
import builtins
from ringbuffer import ShmRingBuffer
builtins.kept = ShmRingBuffer(1, 100, 3)
print(kept.name, flush=True)
'''
if __name__ == "__main__":
    resource_tracker.ensure_running()
    process = multiprocessing.get_context(sys.argv[1]).Process(target=exec, args=(CHILD,))
    process.start()
    process.join()
    print(*(name for name in os.listdir("/dev/shm") if name.startswith("shm_ring_")))
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_creator_that_multiprocessing_has_started_leaves_nothing(method: str, run_python: RunPython) -> None:
    """Its end is one of its own: a forked child runs no ``atexit`` functions, and the resource tracker is its parent's."""
    done = run_python(CREATE_IN_CHILD, method)
    assert (done.returncode, done.stderr) == (0, "")
    name, after = done.stdout.splitlines()
    assert name.startswith(NAME_PREFIX)
    assert name not in after.split()


@pytest.mark.parametrize(
    "ending", ["os.kill(os.getpid(), signal.SIGKILL)", "signal.raise_signal(signal.SIGTERM)", "os._exit(1)"]
)
def test_creator_that_is_killed_leaves_nothing_in_the_end(ending: str, run_python: RunPython) -> None:
    done = run_python(CREATE.format(ending=ending))
    name = done.stdout.strip()
    assert name.startswith(NAME_PREFIX)
    deadline = time.monotonic() + LONG_SECONDS
    while exists(name) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not exists(name)


FAIL = """
from ringbuffer import ShmRingBuffer
from ringbuffer.errors import SegmentSpaceError
import os
def no_room(*_):
    raise OSError(28, "No space left on device")
os.posix_fallocate = no_room
try:
    ShmRingBuffer(1, 100, 3)
except SegmentSpaceError as error:
    print(error.total_bytes)
"""


def test_failed_creation_leaves_the_resource_tracker_even(run_python: RunPython) -> None:
    done = run_python(FAIL)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == Layout(1, 100, 3).total_bytes


def test_what_is_no_plain_file_is_refused_and_not_opened(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder, a link, a pipe: each in the folder of shared memory, under a name of ours, and gone afterwards."""
    target = tmp_path_factory.mktemp("elsewhere") / "file"
    target.write_bytes(bytes(4096))
    made: dict[str, Callable[[Path], object]] = {
        "folder": os.mkdir,
        "pipe": os.mkfifo,
        "link": lambda path: path.symlink_to(target),
    }
    for kind, make in made.items():
        name = f"{NAME_PREFIX}{secrets.token_hex(8)}"
        make(SHM / name)
        try:
            with pytest.raises(SegmentFormatError, match=name) as caught:
                Segment.attach(name)
            assert caught.value.field == "file", kind
        finally:
            (SHM / name).rmdir() if kind == "folder" else (SHM / name).unlink()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 300, "\udc80", 5])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises((SegmentFormatError, SegmentMissingError)):
        Segment.attach(name)


def test_a_file_without_memory_behind_it_is_refused(segment: Segment, make_file: MakeFile) -> None:
    """Its first writer would be killed where shared memory is full."""
    name = make_file(segment.header.pack())
    os.truncate(SHM / name, LAYOUT.total_bytes + (1 << 20))
    layout = Layout(2, 1 << 20, 4)
    header = Header.of(layout, initial_read_flag=0, creator_pid=1, identity=bytes(16))
    (SHM / name).write_bytes(header.pack())
    os.truncate(SHM / name, layout.total_bytes)
    with pytest.raises(SegmentFormatError, match="no memory behind") as caught:
        Segment.attach(name)
    assert caught.value.field == "size"
