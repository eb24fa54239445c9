"""The conformance kit, run as its users run it: on our own rings, on rings with planted faults, and with bad usage."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import pytest
from support import needs_total_store_order

import ringbuffer
from ringbuffer.conformance import calls, clauses, messages, plugin, processes, report, segments
from ringbuffer.conformance.adapter import load
from ringbuffer.conformance.clauses import CLAUSES, Context
from ringbuffer.conformance.effort import QUICK
from ringbuffer.conformance.examples import planted
from ringbuffer.conformance.peer import DIE
from ringbuffer.conformance.story import Violation
from ringbuffer.endpoint.waiter import Waiter

ROOT: Final = Path(__file__).parents[2]
CHAPTER: Final = ROOT / "spec" / "20-conformance.md"
EXAMPLES: Final = ROOT / "ringbuffer" / "conformance" / "examples"
RUN_SECONDS: Final = 200.0
IMPORTED: Final = Path(ringbuffer.__file__).parents[1]
"""Where this package is imported from: what is installed, or a checkout."""
SCANNING: Final = "ringbuffer.conformance.examples.scanning:Adapter"
TOY: Final = "ringbuffer.conformance.examples.toy_adapter:Adapter"


def run_pytest(folder: Path, *arguments: str, without_plugin: bool = False) -> subprocess.CompletedProcess[str]:
    """Pytest in a new interpreter, in a folder of its own."""
    plugin = () if without_plugin else ("-p", "ringbuffer_pytest")  # by name, for a checkout that is not installed
    command = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(IMPORTED), os.environ.get("PYTHONPATH", "")])}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False, cwd=folder, env=environment
    )


def run_kit(
    folder: Path, ring: str, *arguments: str, effort: str = "--quick"
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """The kit on a ring, quickly; and its report, by the clause's id."""
    written = folder / "report.json"
    done = run_pytest(
        folder,
        "--pyargs",
        "ringbuffer.conformance",
        f"--ring={ring}",
        *([effort] if effort else []),
        f"--report={written}",
        *arguments,
    )
    told: dict[str, Any] = json.loads(written.read_text(encoding="utf-8")) if written.exists() else {"clauses": []}
    told["by_id"] = {clause["id"]: clause for clause in told["clauses"]}
    return done, told


@pytest.mark.parametrize("kind", ["native", pytest.param("python", marks=needs_total_store_order)])
def test_our_own_ring_passes_and_no_clause_is_skipped(tmp_path: Path, kind: str) -> None:
    some = ("C7", "S2")
    chosen = () if kind == "native" else tuple(f"--clause={one}" for one in some)
    done, told = run_kit(tmp_path, f"ringbuffer.conformance.own:{kind}", *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = [one.id for one in CLAUSES.values() if kind == "native" or one.id in some]
    assert [clause["id"] for clause in told["clauses"]] == expected
    assert {clause["outcome"] for clause in told["clauses"]} == {"passed"}
    assert all(clause["tried"] for clause in told["clauses"]), "each says what it has tried"
    assert told["not_offered"] == {}
    assert "it is not verified" in done.stdout
    assert "verdict: passed\n" in done.stdout
    if kind == "native":  # two seconds are too short for all of its schedules, and all who read of it are told so
        assert re.search(r"^S1: Exhaustive by lines: cut off by time after 2 s; complete for: ", done.stdout, re.MULTILINE)
        assert "cut off by time after 2 s; complete for: " in told["by_id"]["S1"]["cut_off"]


BRIEF: Final = replace(QUICK, search_seconds=0.3, search_runs=2)


def test_the_step_level_reaches_the_code_in_which_our_own_ring_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it naps there, where the scheduler sees it, and not in the kernel."""
    naps: list[bool] = []
    rest = Waiter._rest

    def counting(self: Waiter, until: float) -> bool:
        naps.append(self._runner.can_rest)
        return rest(self, until)

    monkeypatch.setattr(Waiter, "_rest", counting)
    CLAUSES["S4"].run(Context(load("ringbuffer.conformance.own:native"), BRIEF, seed=0))
    assert naps
    assert not any(naps), "nobody sleeps in the kernel"


STORY: Final = """\
C1 does not hold: each reader gets each message once, in the order in which they were written, whole

reader 0 reads m3, though m2 (4 bytes) is due
with 1 reader, 2 blocks of 64 bytes:
    1. writer writes m1 (4 bytes)
    2. writer writes m2 (4 bytes)
    3. reader 0 reads m1
    4. writer writes m3 (4 bytes)
    5. reader 0 reads m3

again:
  pytest --pyargs ringbuffer.conformance --ring=ringbuffer.conformance.examples.scanning:Adapter --replay='C1:1,2,64:w4w4r0w4r0'
"""


def test_the_scanning_policy_is_found_to_reorder_and_its_story_is_the_shortest(tmp_path: Path) -> None:
    done, told = run_kit(tmp_path, SCANNING, *(f"--clause={one}" for one in ("C1", "C2", "C3", "C7", "S2")))
    assert done.returncode == 1
    assert STORY in done.stdout
    assert "Traceback" not in done.stdout
    assert "hypothesis" not in done.stdout.partition("collected")[2].lower()
    outcomes = {id_: clause["outcome"] for id_, clause in told["by_id"].items()}
    assert outcomes == {"C1": "failed", "C2": "passed", "C3": "passed", "C7": "passed", "S2": "failed"}
    assert re.fullmatch(r"reader 0 reads m\d, though m\d \(\d+ bytes\) is due", told["by_id"]["S2"]["what"])
    replay = re.search(r"--replay='(S2:\S+)'", told["by_id"]["S2"]["command"])
    assert replay is not None
    again, _ = run_kit(tmp_path, SCANNING, f"--replay={replay[1]}")
    assert again.returncode == 1
    assert told["by_id"]["S2"]["story"].splitlines()[-1] in again.stdout


FAULTS: Final = ("MarksEarly", "PublishesEarly", "FreesEarly", "LosesAdvance", "ReadsPastLength", "SharedCount")
BELOW_CALLS: Final = ("MarksEarly", "PublishesEarly", "ReadsPastLength", "SharedCount")
"""What shows in no order of whole calls."""


PATIENT: Final = replace(QUICK, search_seconds=15.0, search_runs=60)
"""Finding is not to be a matter of how busy the machine is."""


def found_by(clause: str, ring: str) -> Violation | None:
    """What a clause finds in a ring, in this process."""
    context = Context(load(ring), PATIENT if "planted" in ring else QUICK, seed=0)
    try:
        CLAUSES[clause].run(context)
    except Violation as violation:
        return violation
    assert context.tried
    return None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_below_call_level_and_replays(fault: str) -> None:
    ring = f"{planted.__name__}:{fault}"
    assert (found_by("C1", ring) is None) == (fault in (*BELOW_CALLS, "LosesAdvance"))
    step = "S3" if fault == "SharedCount" else "S4"
    found = found_by(step, ring)
    assert found is not None
    assert found.token is not None
    assert "m" in found.what or "wait" in found.what
    again = Context(load(ring), QUICK, seed=0, replayed=found.token)
    with pytest.raises(Violation) as caught:
        CLAUSES[step].run(again)
    assert caught.value.text() == found.text()


def test_real_processes_find_a_block_that_is_freed_early() -> None:
    found = found_by("P2", f"{planted.__name__}:FreesEarly")
    assert found is not None
    assert found.what == "the writer found room, though reader 1 has not read"


def test_a_ring_without_a_fault_passes_at_the_step_level() -> None:
    for clause in ("C9", "S2"):
        assert found_by(clause, "ringbuffer.conformance.examples.ordinary:Ring") is None


# ---- The how-to ----------------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    """The code of the chapter in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", CHAPTER.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_how_to_is_true_to_the_letter(tmp_path: Path) -> None:
    """Its ring and its adapter are those that are shipped; the fault is found; the mended ring passes."""
    ring, adapter = blocks("python")
    assert ring == (EXAMPLES / "toy.py").read_text(encoding="utf-8")
    assert adapter == (EXAMPLES / "toy_adapter.py").read_text(encoding="utf-8")
    (tmp_path / "toy.py").write_text(ring, encoding="utf-8")
    (tmp_path / "toy_adapter.py").write_text(adapter.replace("ringbuffer.conformance.examples.toy", "toy"), encoding="utf-8")
    done, told = run_kit(tmp_path, "toy_adapter:Adapter", "--clause=C1", "--clause=C7", "--clause=S1", effort="")
    assert done.returncode == 1
    assert {id_: clause["outcome"] for id_, clause in told["by_id"].items()} == {
        "C1": "passed",
        "C7": "skipped",
        "S1": "failed",
    }
    story = next(text for text in blocks("text") if text.startswith("S1 does not hold"))
    assert story in done.stdout
    (diff,) = blocks("diff")
    removed = [line[1:] for line in diff.splitlines() if line.startswith("-")]
    mended = ring.replace(removed[0] + "\n", "").replace(
        "        self.index = (self.index + 1) % ring.blocks\n        return data",
        removed[0] + "\n        self.index = (self.index + 1) % ring.blocks\n        return data",
    )
    assert mended != ring
    (tmp_path / "toy.py").write_text(mended, encoding="utf-8")
    done, told = run_kit(tmp_path, "toy_adapter:Adapter", "--tier=call", "--tier=step", "--clause=S1")
    assert done.returncode == 0, done.stdout


def test_the_chapter_lists_the_clauses_as_they_are() -> None:
    text = CHAPTER.read_text(encoding="utf-8")
    assert clauses.table() in text
    assert all(
        f"`--{option}" in text for option in ("ring", "tier", "clause", "clauses", "expected", "report", "quick", "seed")
    )


# ---- Files, reports, usage -----------------------------------------------------------------------------------------------


def test_expected_failures_and_skips_come_from_files_and_what_passes_against_them_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "expected.txt"
    file.write_text("# known\nfail C1 scans past a busy block\nfail C2 we thought so\nskip C3 later\n", encoding="utf-8")
    junit = tmp_path / "junit.xml"
    done, told = run_kit(
        tmp_path, SCANNING, f"--expected={file}", *(f"--clause={one}" for one in ("C1", "C2", "C3")), f"--junitxml={junit}"
    )
    assert done.returncode == 1
    by_id = told["by_id"]
    assert by_id["C1"]["outcome"] == "failed as expected"
    assert by_id["C1"]["command"].endswith("--replay='C1:1,2,64:w4w4r0w4r0'")
    assert (by_id["C2"]["outcome"], by_id["C3"]["outcome"]) == ("failed", "skipped")
    assert "C2 passes, and" in by_id["C2"]["reason"]
    assert "later" in by_id["C3"]["reason"]
    cases = list(ElementTree.parse(junit).iter("testcase"))
    properties = [{one.get("name"): one.get("value") for one in case.iter("property")} for case in cases]
    assert [(one["clause"], one["tier"]) for one in properties] == [("C1", "call"), ("C2", "call"), ("C3", "call")]


def test_the_header_and_the_report_say_what_was_tested(tmp_path: Path) -> None:
    done, told = run_kit(tmp_path, TOY, "--clause=C2", "--clause=S5", "--seed=7")
    assert done.returncode == 0
    for said in ("ring: ringbuffer.conformance.examples.toy_adapter:Adapter", "toy_adapter.py", "seed 7", "tiers: call, step"):
        assert said in done.stdout
    assert "not offered: exceptions (the ends have no abort_write(data) and abort_read())" in done.stdout
    assert told["by_id"]["S5"]["reason"].startswith("S5: the ring has no lockstep")
    assert told["seed"] == 7
    assert (told["verdict"], told["method"]) == ("passed", "sampled")


BROKEN: Final = """
class End:
    def try_write(self, data): return True
class NoReader:
    def __init__(self, *size): pass
    def writer(self): return End()
    def reader(self, rank): return End()
def raising(*size): raise RuntimeError("no memory\\nat all")
number = 3
class Hanging(NoReader):
    def reader(self, rank): return self
    def try_read(self): return None
    def close(self): raise RuntimeError("not again")
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "which ring? --ring=package.module:factory says so"),
        (("--ring=broken",), "--ring=broken: write package.module:factory"),
        (("--ring=nowhere.at.all:make",), "nowhere.at.all cannot be imported: ModuleNotFoundError"),
        (("--ring=broken:make",), "module broken has no make"),
        (("--ring=broken:number",), "number is no function or class, but a int"),
        (("--ring=broken:raising",), "it raises RuntimeError: no memory"),
        (("--ring=broken:End",), "--ring=broken:End: called with 1 reader, 2 blocks and 64 bytes a block, it raises TypeError"),
        (("--ring=broken:NoReader",), "reader(0), a End, has no method try_read"),
        (("--ring=broken:Hanging", "--clause=C99"), "--clause=C99: there is no such clause"),
        (("--ring=broken:Hanging", "--tier=all"), "--tier=all: the tiers are call, step, process, crash"),
        (("--ring=broken:Hanging", "--clause=C1", "--tier=step"), "no clause of --clause is in a tier of --tier"),
        (("--ring=broken:Hanging", "--replay=X1:1"), "--replay=X1:1: write CLAUSE:TOKEN"),
        (("--ring=broken:Hanging", "--replay=C1:9,2,64:w4"), "--replay: '9,2,64:w4' is no token of a call-level run"),
        (("--ring=broken:Hanging", "--replay=C1:1,2,64:w99999999999999"), "is no token of a call-level run"),
        (("--ring=broken:Hanging", "--replay=S1:1,1,2,try:rubbish"), "--replay: not a replay token: 'rubbish'"),
        (("--ring=broken:Hanging", "--replay=S1:9,9,9,try:il1.line.3.11.n2m9."), "is no token of a step-level run"),
        (("--ring=broken:Hanging", "--replay=S1:1,1,2,try:il1.line.3.11.n3m9."), "the token is of 3 actors"),
        (("--ring=broken:Hanging", "--replay=S1:1,1,2,try:il1.line.3.11.n2m999999999."), "up to 999999999 steps"),
        (("--ring=broken:Hanging", "--replay=S1:1,1,2,try:il1.opcode.2.7.n2m9."), "counts opcodes of Python 2.7"),
        (("--ring=broken:Hanging", "--report=nowhere/at/all.json"), "--report=nowhere/at/all.json: [Errno 2]"),
        (("--ring=broken:Hanging", "--report=."), "--report=.: [Errno 21]"),
        (("--ring=broken:Hanging", "--expected=missing"), "--expected=missing: [Errno 2]"),
        (("--ring=broken:Hanging", "--expected=broken.py"), "broken.py:2: write 'fail CLAUSE reason' or 'skip CLAUSE reason'"),
    ],
)
def test_bad_usage_is_one_line(tmp_path: Path, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("broken", None)
    parser = pytest.Parser(_ispytest=True)
    plugin.add_options(parser)

    class Config:
        option = parser.parse(list(arguments))
        invocation_params = type("Params", (), {"dir": tmp_path})

    with pytest.raises(pytest.UsageError) as caught:
        plugin.Kit(Config())  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_usage_ends_with_status_4_and_no_traceback(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--pyargs", "ringbuffer.conformance", "--ring=nowhere:make")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.strip().splitlines() == [
        "ERROR: --ring=nowhere:make: nowhere cannot be imported: ModuleNotFoundError: No module named 'nowhere'"
    ]


STUBBORN: Final = """
import os, signal, time
from pathlib import Path
from multiprocessing.shared_memory import SharedMemory
class Ring:
    def __init__(self, readers, blocks, block_bytes):
        self.memory = SharedMemory(create=True, size=64)
        self.queues = [[] for _ in range(readers)]
    def writer(self): return Stubborn(self)
    def reader(self, rank): return Reader(self, rank)
    def close(self):
        self.memory.close()
        self.memory.unlink()
class Leaving(Ring):
    def writer(self): return Writer(self)
    def close(self): self.memory.close()
class Raising(Leaving):
    def close(self):
        Ring.close(self)
        raise RuntimeError("not again")
class Writer:
    def __init__(self, ring): self.ring = ring
    def try_write(self, data):
        if max(map(len, self.ring.queues)) == 3: return False
        for queue in self.ring.queues: queue.append(data)
        return True
class Stubborn(Writer):
    def try_write(self, data):
        Path("made").write_text(self.ring.memory.name)
        os.kill(os.getpid(), signal.SIGINT)
        while True: time.sleep(0.01)
class Reader:
    def __init__(self, ring, rank): self.queue = ring.queues[rank]
    def try_read(self): return self.queue.pop(0) if self.queue else None
"""


def test_an_interrupted_run_is_none_that_passed_and_leaves_no_ring_behind(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN, encoding="utf-8")
    done, told = run_kit(tmp_path, "stubborn:Ring", "--clause=C1", "--clause=C2")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert told["verdict"] == "interrupted"
    assert "verdict: interrupted\n" in done.stdout
    name = (tmp_path / "made").read_text(encoding="utf-8")
    assert not Path("/dev/shm", name).exists()
    assert "leaked" not in done.stderr, "it was closed by the kit, not by the interpreter at its end"


def test_nothing_tried_is_no_pass(tmp_path: Path) -> None:
    done, told = run_kit(tmp_path, TOY, "--clause=S5", "--clause=C7")
    assert (done.returncode, told["verdict"]) == (pytest.ExitCode.NO_TESTS_COLLECTED, "nothing tried")
    assert "verdict: nothing tried\n" in done.stdout
    assert report.verdict_of([], is_whole=True) == "nothing tried"
    assert report.verdict_of([], is_whole=False) == "interrupted"


@pytest.mark.parametrize(
    ("kind", "says"),
    [("Raising", "closing raises RuntimeError: not again"), ("Leaving", r"closing the ring left \S+ behind in /dev/shm")],
)
def test_closing_is_judged_by_the_clause_about_closing_alone(
    kind: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stubborn", raising=False)
    before = segments.present()
    made = set()
    memory = SharedMemory.__init__

    def noting(self: SharedMemory, *arguments: Any, **named: Any) -> None:
        memory(self, *arguments, **named)
        made.add(self.name)

    monkeypatch.setattr(SharedMemory, "__init__", noting)
    try:
        assert found_by("C4", f"stubborn:{kind}") is None
        found = found_by("C10", f"stubborn:{kind}")
        assert found is not None
        assert re.fullmatch(says, found.what)
    finally:
        for name in made & segments.present() - before:
            left = SharedMemory(name)
            left.close()
            left.unlink()


def test_a_writer_whose_process_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the reader, that gets nothing then."""
    monkeypatch.setattr(processes, "WRITE_STREAM", DIE)
    found = found_by("P3", f"{planted.__name__}:FreesEarly")
    assert found is not None
    assert found.what == "the writer's process ended (exit code -9)"


def test_clauses_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    class Config:
        option = type("Option", (), {"clauses": True})

    assert plugin.pytest_cmdline_main(Config()) == 0  # type: ignore[arg-type]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(CLAUSES)


def test_other_projects_do_not_notice_the_plugin(tmp_path: Path) -> None:
    """Options of the same names are theirs, and nothing of ours is imported."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n"
        "    for name in ('--ring', '--quick', '--report', '--tier', '--seed'):\n"
        "        parser.addoption(name, action='store_true')\n",
        encoding="utf-8",
    )
    (tmp_path / "test_it.py").write_text(
        "import sys\ndef test_it(pytestconfig):\n"
        "    assert pytestconfig.option.quick\n    assert 'ringbuffer' not in sys.modules\n",
        encoding="utf-8",
    )
    done = run_pytest(tmp_path, "--quick", "--report", "test_it.py")
    assert done.returncode == 0, done.stdout + done.stderr


# ---- The parts -----------------------------------------------------------------------------------------------------------


class Broken:
    """A ring that is a list, and can be told to be wrong in one way."""

    def __init__(self, readers: int, blocks: int, block_bytes: int, fault: str = "") -> None:
        del block_bytes
        self.queues: list[list[bytes]] = [[] for _ in range(readers)]
        self.blocks, self.fault = blocks, fault

    def writer(self) -> BrokenEnd:
        return BrokenEnd(self, -1)

    def reader(self, rank: int) -> BrokenEnd:
        return BrokenEnd(self, rank)


class BrokenEnd:
    def __init__(self, ring: Broken, rank: int) -> None:
        self.ring, self.rank = ring, rank
        self.count = 0
        self.last = b""

    def try_write(self, data: bytes) -> bool:
        fault, self.count = self.ring.fault, self.count + 1
        room = self.ring.blocks + (fault == "overwrites") - (fault == "keeps one free" and self.ring.blocks > 1)
        if max(map(len, self.ring.queues)) >= room:
            return False
        for queue in self.ring.queues:
            if fault == "overwrites" and len(queue) == self.ring.blocks:
                queue.pop(0)
            queue.append(data[:-1] if fault == "cuts" and len(data) == messages.TAG_BYTES * 16 else data)
        if fault == "raises" and self.count == 2:
            raise OSError("out of luck")
        return fault != "counts to 255" or self.count % 256 != 0

    def try_read(self) -> bytes | None:
        queue = self.ring.queues[self.rank]
        if not queue:
            return self.last if self.ring.fault == "repeats" and self.last else None
        self.last = queue.pop(0)
        return self.last.decode("latin-1") if self.ring.fault == "decodes" else self.last  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("fault", "clause", "says"),
    [
        ("overwrites", "C3", "the writer found room, though reader 0 has not read m1"),
        ("overwrites", "C1", "reader 0 reads m2, though m1 (4 bytes) is due"),
        ("keeps one free", "C2", "the writer found no room, though there is room for 1 more"),
        ("repeats", "C4", "reader 0 reads m1, though it has read all that was written"),
        ("cuts", "C5", "reader 0 reads 63 bytes of m1, which has 64, though m1 (64 bytes) is due"),
        ("decodes", "C1", "reader 0: try_read returned a str, which is neither bytes nor None"),
        ("raises", "C1", "try_write raises OSError: out of luck"),
        ("counts to 255", "C6", "the writer found no room, though there is room for 2 more"),
    ],
)
def test_each_call_level_clause_finds_what_it_is_about(
    fault: str, clause: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(readers: int, blocks: int, block_bytes: int) -> Broken:
        return Broken(readers, blocks, block_bytes, fault)

    monkeypatch.setitem(globals(), "make", make)
    ring = f"{__name__}:make"
    assert found_by("C4" if clause == "C2" else "C2", ring) is None or fault in ("counts to 255", "raises", "decodes")
    found = found_by(clause, ring)
    assert found is not None
    assert found.what == says
    assert found.token is not None
    with pytest.raises(Violation, match=re.escape(says)):
        CLAUSES[clause].run(Context(load(ring), QUICK, seed=0, replayed=found.token))


@pytest.mark.parametrize(
    "token", ["", "1,2,64", "1,2,64:r1", "0,2,64:w4", "1,2,64:q4", "1,2,64:w4 ", "1,2,64:w65", "4,2,64:w4"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="no token"):
        calls.parse(token)


def test_what_arrives_is_described() -> None:
    sent = [(1, messages.body_of(1, 12)), (2, messages.body_of(2, 8))]
    said = {
        messages.body_of(2, 8): "m2",
        messages.body_of(1, 8): "8 bytes of m1, which has 12",
        messages.body_of(2, 4) + messages.body_of(1, 8): "12 bytes: 4 bytes of m2, then 8 bytes of m1",
        bytes(8): "8 bytes: 8 bytes of no message",
        b"": "an empty message, which was never sent",
    }
    for data, words in said.items():
        assert messages.describe(data, sent).startswith(words.split(": ")[0])
        if ":" in words or words.startswith("m"):
            assert messages.describe(data, sent) == words
