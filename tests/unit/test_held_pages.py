"""The pages are held to the code: a row, a picture, a claim or an instruction that changes without them is named."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ringbuffer import assurance, cli, figures, specification
from ringbuffer.assurance import differences
from ringbuffer.checker.claim import Scope
from ringbuffer.checker.claims import CLAIMS
from ringbuffer.checker.reach import reach_of
from ringbuffer.checker.wakeups import TWINS
from ringbuffer.errors import GeometryError, VariantError
from ringbuffer.instructions import C_TYPES, ROWS, Instruction, needed
from ringbuffer.protocol import PROTOCOL, Kind, Variant
from ringbuffer.protocol.succession import SHIPPED, Succession

SPEC = Path(__file__).parents[2] / "spec"
REPORT = assurance.read(SPEC)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A copy of the parts of the specification that are held here, without the chapters that take the explorer seconds."""
    folder = tmp_path / "spec"
    for name in ("figures", "tla", "vectors"):
        shutil.copytree(SPEC / name, folder / name)
    for name in ("03-cases.md", "05-properties.md", assurance.FILE):
        shutil.copy(SPEC / name, folder)
    text = (SPEC / "04-rows.md").read_text(encoding="utf-8")
    rows = [re.findall(rf"<!-- generated: {part} -->.*?<!-- end of {part} -->\n", text, re.DOTALL)[0] for part in PARTS]
    (folder / "04-rows.md").write_text("\n".join(rows), encoding="utf-8")
    return folder


PARTS = ("writer-rows", "writer-diagram", "reader-rows", "what-breaks")


def check(spec: Path) -> int:
    return cli.main(["spec", "--check", "--folder", str(spec)])


def test_what_is_committed_is_up_to_date(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(spec) == cli.EXIT_HOLDS, capsys.readouterr().out


def test_a_row_that_changes_is_named(spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(specification, "PROTOCOL", PROTOCOL.weakened("W5"))
    assert check(spec) == cli.EXIT_REFUTED
    assert capsys.readouterr().out.splitlines() == [f"{spec / '04-rows.md'}: writer-rows"]
    monkeypatch.setattr(specification, "PROTOCOL", PROTOCOL.swapped("W5", "W6"))
    assert check(spec) == cli.EXIT_REFUTED
    assert f"{spec / '04-rows.md'}: writer-diagram" in capsys.readouterr().out


@pytest.mark.parametrize(
    "edit",
    [
        lambda path: path.write_text(path.read_text(encoding="utf-8").replace("case", "Case", 1), encoding="utf-8"),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
    ],
    ids=["changed", "gone", "empty"],
)
def test_a_picture_that_differs_is_named_and_drawn_again(
    spec: Path, edit: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = spec / "figures" / "without-W5.svg"
    good = picture.read_bytes()
    edit(picture)
    assert check(spec) == cli.EXIT_REFUTED
    assert capsys.readouterr().out.splitlines() == [str(picture)]
    assert figures.update(spec / "figures", write=True) == [str(picture)]
    assert picture.read_bytes() == good


def test_a_picture_that_nobody_draws_is_named_and_removed(spec: Path) -> None:
    other = spec / "figures" / "without-W7.svg"
    other.write_text("<svg/>", encoding="utf-8")
    assert figures.update(spec / "figures", write=False) == [f"{other}: no such picture is made"]
    assert other.exists()
    figures.update(spec / "figures", write=True)
    assert not other.exists()


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_picture_is_whole_small_and_alone(name: str) -> None:
    drawn = figures.drawn(name)
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert len(drawn.encode()) < 64 << 10
    assert not re.search(r"<script|<a |href|url\(|@import|javascript", drawn)
    shown = {(text.text or "").removeprefix("⇣") for text in root.iter("{http://www.w3.org/2000/svg}text")}
    result, run = figures.found(name)
    assert {step.row for step in run.steps} - {""} <= shown  # a death has no row
    assert result.status == "refuted"


LOSES = [twin.edits for twin in TWINS if " " not in twin.edits]
"""Single edits that lose a wake-up."""


def test_every_row_and_every_ordering_has_its_picture() -> None:
    rows = [one.row for program in PROTOCOL.programs for one in program.instructions]
    ordered = [row.id for row in rows if row.access.ordering.acquires or row.access.ordering.releases]
    expected = {f"without-{row.id}" for row in rows} | {f"weaken-{row}" for row in ordered}
    expected |= {f"without-{edits.removeprefix('without=')}" for edits in LOSES if edits.startswith("without=")}
    assert set(figures.FIGURES) == expected | {"original-reorders"}


EDITED_CLAIMS = {
    "statement": (replace(CLAIMS[0], statement="all is well"), *CLAIMS[1:]),
    "method": (replace(CLAIMS[0], method="measured"), *CLAIMS[1:]),
    "not in the report": (replace(CLAIMS[0], id="safety-on-mars"), *CLAIMS[1:]),
    "no such claim any more": CLAIMS[1:],
}


@pytest.mark.parametrize("said", EDITED_CLAIMS)
def test_a_claim_that_changes_without_its_report_is_named(said: str) -> None:
    assert list(differences(REPORT)) == []
    assert any(said in difference for difference in differences(REPORT, EDITED_CLAIMS[said]))


@pytest.mark.parametrize(
    "edited", [PROTOCOL.weakened("W6"), PROTOCOL.swapped("W1", "W2"), PROTOCOL.replace(initial_read_flag=1)]
)
def test_a_row_that_changes_without_the_report_is_named(edited: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and pictures may have been written anew: what was tried was tried of the rows as they were."""
    report = {**REPORT, "tables": assurance.tables()}
    assert not any("other rows" in difference for difference in differences(report))
    assert any("not noted" in difference for difference in differences({**REPORT, "tables": "not noted"}))
    monkeypatch.setattr(assurance, "PROTOCOL", edited)
    assert any("made with other rows" in difference for difference in differences(report))


def test_the_rows_of_taking_over_are_rows_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = assurance.tables()
    monkeypatch.setattr(assurance, "SUCCESSIONS", {SHIPPED: Succession(reader_notes=True)})
    assert assurance.tables() != shipped


@pytest.mark.parametrize(
    ("name", "value"),
    [("statement", "all is well"), ("method", "proved"), ("command", "ringbuffer check"), ("bound", "readers×blocks 9×9")],
)
def test_a_report_of_something_else_is_refused(spec: Path, name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    report: dict[str, Any] = json.loads((spec / assurance.FILE).read_text(encoding="utf-8"))
    report["claims"][0][name] = value
    (spec / assurance.FILE).write_text(json.dumps(report), encoding="utf-8")
    specification.update(spec, write=True)
    assert check(spec) == cli.EXIT_REFUTED
    said = capsys.readouterr()
    assert f"{assurance.FILE}: {report['claims'][0]['id']}: its {name} now" in said.out.replace(" is now", " now")
    assert assurance.COMMAND in said.err


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"claims": []}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / assurance.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(GeometryError, match="is no report"):
        assurance.read(tmp_path)


def test_every_claim_says_how_far_it_reaches() -> None:
    for claim in CLAIMS:
        assert reach_of(claim.id, Scope())
        assert reach_of(claim.id, Scope(full=True))
    with pytest.raises(VariantError, match="no reach"):
        reach_of("safety-on-mars", Scope())


def test_the_table_has_a_line_for_each_claim_and_says_on_what_it_was_made() -> None:
    text = assurance.assurance(REPORT)
    assert [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")] == [claim.id for claim in CLAIMS]
    assert REPORT["machine"]["processor"] in text
    assert "z3-solver" in text


def compiled(compiler: str, forms: list[Instruction]) -> dict[Instruction, str]:
    """What a compiler makes of each form of access, as assembler."""
    lines = ["#include <stdatomic.h>", "#include <stdint.h>"]
    for number, form in enumerate(forms):
        c_type = C_TYPES[form.bytes_]
        result, back = ("uint64_t", "return ") if form.kind is Kind.LOAD else ("void", "")
        lines.append(f"{result} form_{number}(_Atomic {c_type} *place, {c_type} value) {{ (void)value; {back}{form.c11}; }}")
    command = [compiler, "-std=c11", "-O2", "-x", "c", "-S", "-o", "-", "-"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=60, check=True)
    functions = re.findall(r"^form_\d+:\n(.*?)^\s*\.size", done.stdout, re.DOTALL | re.MULTILINE)
    return dict(zip(forms, (re.sub(r"[ \t]+", " ", one) for one in functions), strict=True))


MACHINES = {"x86": "x86_64", "arm": "aarch64"}


@pytest.mark.parametrize("column", MACHINES)
def test_the_instructions_are_those_that_a_compiler_makes(column: str) -> None:
    compiler = "gcc" if platform.machine() == MACHINES[column] else f"{MACHINES[column]}-linux-gnu-gcc"
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    orders = r"\b(?:mfence|lock|xchg\w*|dmb|ldar\w*|ldapr\w*|stlr\w*)\b"
    for form, text in compiled(compiler, list(needed())).items():
        names = getattr(form, column)
        assert any(re.search(rf"^ {name}", text, re.MULTILINE) for name in names), (form, text)
        if not any(re.match(orders, name) for name in names):
            assert not re.search(orders, text), f"{form} needs no instruction that orders: {text}"


def test_the_table_of_instructions_has_every_row_that_touches_shared_memory_by_itself() -> None:
    listed = [row.id for rows in needed().values() for row in rows]
    kernel_or_caller = (Kind.FILL, Kind.READ, Kind.SLEEP, Kind.WAKE)
    assert sorted(listed) == sorted(row.id for row in ROWS if row.access.kind not in kernel_or_caller)
    assert len(listed) == len(set(listed))
