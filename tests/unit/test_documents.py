"""What the pages say is true: their code runs, and their generated parts are what the code prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from ringbuffer import cli, specification
from ringbuffer.errors import GeometryError
from ringbuffer.specification import MarkerError, update

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "spec").glob("*.md"))]


def code_of(page: Path, language: str) -> list[str]:
    return [token.content for token in MarkdownIt().parse(page.read_text(encoding="utf-8")) if token.info == language]


EXAMPLES = [(page, number) for page in PAGES for number in range(len(code_of(page, "python")))]
README = (ROOT / "README.md", 0)
"""The example of the README, of which more is asked than that it runs."""


def run_code(page: Path, number: int, folder: Path) -> str:
    """What the code of a page prints; it must end well, and without a word on standard error."""
    script = folder / "example.py"
    script.write_text(code_of(page, "python")[number], encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(("page", "number"), [example for example in EXAMPLES if example != README], ids=str)
def test_code_in_pages_runs(page: Path, number: int, tmp_path: Path) -> None:
    run_code(page, number, tmp_path)


def test_the_readmes_example_delivers_every_message_to_every_reader(tmp_path: Path) -> None:
    said_in_all = run_code(*README, tmp_path)
    for rank in range(2):
        said = re.findall(rf"reader {rank}: (hello|{{'step': 1}})", said_in_all)  # the processes' lines may run into each other
        assert said == ["hello", "{'step': 1}"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), target


def anchors_of(page: Path) -> set[str]:
    """What the headings of a page can be linked to as, by the rule of repository browsers."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


NOT_RUN = {
    "pip install": "it installs, from the network",
    "ringbuffer check": "minutes; CI runs it as a step of its own",
    "pytest": "it would run itself",
    "crosshair check": "minutes; proofs/contracts runs it",
    "ringbuffer check --claim": "seconds to minutes each; proofs/ and the tests of the claims run them",
    "ringbuffer check --swap W5,W6 --memory all": "half a minute; test_explore and test_claims ask it in small",
    "ringbuffer bench": "minutes of both cores; test_bench runs it in small",
    "ringbuffer soak": "an hour; tests/process runs it in small",
    "ringbuffer inspect": "it is about the rings of this machine, whosever they are; test_inspection has rings of its own",
    "ringbuffer clean": "the same",
}
"""Commands of the pages that these tests only parse, by how they begin, and why. The longest that fits counts."""
STATUSES = {
    "ringbuffer check --swap W5,W6 --readers 2 --blocks 2": cli.EXIT_REFUTED,
    "ringbuffer check --weaken R4 --memory ra --readers 1 --blocks 1": cli.EXIT_REFUTED,
    "ringbuffer check --killed reader --property progress": cli.EXIT_REFUTED,
    "ringbuffer demo --messages 2000 --record run1": cli.EXIT_HOLDS,
    "ringbuffer validate run1": cli.EXIT_HOLDS,
    "ringbuffer validate run1 --json": cli.EXIT_HOLDS,
}
"""Commands of the pages that are run, and how they end."""


def commands_of(page: Path) -> list[str]:
    """The commands of a page's console blocks; one behind ``$`` has its output below it, and is tried elsewhere."""
    blocks = [block for block in code_of(page, "console") if not block.startswith("$ ")]
    return [part for block in blocks for line in block.splitlines() for part in line.split(" && ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_can_be_given(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that are run, are run one after the other in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    for command in commands_of(page):
        reason = next((NOT_RUN[start] for start in sorted(NOT_RUN, reverse=True) if command.startswith(start)), "")
        if command in STATUSES:
            assert cli.main(command.split()[1:]) == STATUSES[command], capsys.readouterr().err
        else:
            assert reason, f"{command}: neither run, nor a reason why not"


TYPED = re.compile(r"`(ringbuffer (?:check|demo|replay|inspect|clean|validate|bench|soak|spec)(?: [^`]*)?)`")
PLACEHOLDER = re.compile(r"\b(?:[A-Z]{3,}|ROW)\b|…")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_has_the_options_that_it_names(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those in tables and in sentences are too many to run: they are parsed, and the edits in them made."""
    text = page.read_text(encoding="utf-8").replace("\n", " ")
    for command in {*TYPED.findall(text), *filter(lambda one: one.startswith("ringbuffer "), commands_of(page))}:
        if PLACEHOLDER.search(command) or len(command.split()) == 2:
            continue  # a name to be put in, or the command's own name
        try:
            options = cli._parser().parse_args(command.partition(" > ")[0].split()[1:])
        except SystemExit:
            pytest.fail(f"{command}: {capsys.readouterr().err}")
        if options.command == "check":
            cli._scope(options)


TRANSCRIPTS = [
    pytest.param(*block.removeprefix("$ ").split("\n", 1), id=f"{page.name}: {block.splitlines()[0]}")
    for page in PAGES
    for block in code_of(page, "console")
    if block.startswith("$ ")
]
SECONDS = re.compile(r" +\d+\.\d s")


@pytest.mark.parametrize(("command", "expected"), TRANSCRIPTS)
def test_a_command_prints_what_its_page_says(command: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(command.split()[1:])
    said = SECONDS.sub(" … s", "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()))
    assert said.rstrip() == SECONDS.sub(" … s", expected).rstrip()
    assert status == (cli.EXIT_REFUTED if "✗" in expected else cli.EXIT_HOLDS)


EXPLORED = ("alternatives", "drops", "scan-trace", "scan-verdicts", "state-counts", "weakenings", "what-breaks")
"""The parts that the explorer prints: seconds each."""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the specification, with the parts that take the explorer seconds left as they are."""
    for slow in EXPLORED:
        text = next(text for page in PAGES if f"<!-- generated: {slow} -->" in (text := page.read_text(encoding="utf-8")))
        body = re.search(rf"<!-- generated: {slow} -->\n(.*?)<!-- end of {slow} -->", text, re.DOTALL)
        assert body is not None
        monkeypatch.setitem(specification.PARTS, slow, partial(str, body[1]))
    return Path(shutil.copytree(ROOT / "spec", tmp_path / "spec"))


def test_generated_parts_are_up_to_date() -> None:
    assert update(ROOT / "spec", write=False) == []


def test_every_part_is_in_a_chapter() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in specification.NAMES if f"<!-- generated: {name} -->" not in text] == []


def test_a_part_that_is_out_of_date_is_named_and_mended(spec: Path) -> None:
    chapter = spec / "04-rows.md"
    good = chapter.read_text(encoding="utf-8")
    chapter.write_text(good.replace("| W6 | publish |", "| W6 | hide |"), encoding="utf-8")
    assert update(spec, write=False) == [f"{chapter}: writer-rows"]
    assert update(spec, write=True) == [f"{chapter}: writer-rows"]
    assert chapter.read_text(encoding="utf-8") == good
    assert update(spec, write=False) == []


@pytest.mark.parametrize(
    "text",
    [
        "<!-- generated: rows-of-nobody -->\n<!-- end of rows-of-nobody -->\n",
        "<!-- generated: cases -->\n",
        "<!-- end of cases -->\n",
        "<!-- generated: cases -->\n<!-- end of header -->\n",
    ],
)
def test_a_marker_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "chapter.md").write_text(text, encoding="utf-8")
    with pytest.raises(MarkerError, match=r"chapter\.md"):
        update(tmp_path, write=True)
    assert (tmp_path / "chapter.md").read_text(encoding="utf-8") == text


def test_a_folder_without_chapters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="no chapters"):
        update(tmp_path, write=False)
