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

from ringbuffer import specification
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
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


EXPLORED = ("alternatives", "drops", "scan-trace", "scan-verdicts", "state-counts", "weakenings")
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
    assert [name for name in specification.PARTS if f"<!-- generated: {name} -->" not in text] == []


def test_a_part_that_is_out_of_date_is_named_and_mended(spec: Path) -> None:
    chapter = spec / "04-rows.md"
    good = chapter.read_text(encoding="utf-8")
    chapter.write_text(good.replace("store written ← 1", "store written ← 0"), encoding="utf-8")
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
