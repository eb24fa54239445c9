"""The kit's plugin for pytest: its options, its items (one for each clause), its header, and how it tells a failure.

Rules: it is registered only where ``ringbuffer.conformance`` is named on the command line (``ringbuffer_pytest.py``); bad usage
is one line; what a clause raises is told in words, without a traceback; a clause that hangs ends, and those behind it are
skipped, because what hangs may still run. Limits: for a clause that is at fault itself, pytest's own traceback is shown.
"""

from __future__ import annotations

import platform
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from ringbuffer.conformance.adapter import FEATURES, AdapterError, Subject, load
from ringbuffer.conformance.clauses import CLAUSES, TIERS, Clause, Context
from ringbuffer.conformance.effort import NORMAL, QUICK, Effort
from ringbuffer.conformance.expected import FAIL, SKIP, Expectation, ExpectationError, read_all
from ringbuffer.conformance.interrupts import Remembering, end
from ringbuffer.conformance.report import NOTHING_TRIED, REPORTED, verdict_of, write_report
from ringbuffer.conformance.story import Violation
from ringbuffer.interleaving import Blocked, Diverged, NothingTraced, TokenMalformed
from ringbuffer.version import __version__

HERE: Final = Path(__file__).parent
COLLECTED: Final = HERE / "clauses.py"
SEED_DEFAULT: Final = 0
NO_VERDICT: Final = (Blocked, Diverged, NothingTraced, TokenMalformed)
"""What the step level raises where it cannot judge, in one sentence."""


def add_options(parser: pytest.Parser) -> None:
    """The options of the kit."""
    group = parser.getgroup("ringbuffer.conformance", "conformance of a broadcast ring")
    group.addoption(
        "--ring", metavar="MODULE:FACTORY", help="what is tested: factory(readers, blocks, block_bytes) makes a ring"
    )
    tiers, known = ", ".join(TIERS), "--clauses lists them"
    group.addoption("--tier", action="append", default=[], metavar="TIER", help=f"only this tier ({tiers}); can be repeated")
    group.addoption("--clause", action="append", default=[], metavar="ID", help=f"only this clause ({known}); can be repeated")
    group.addoption("--clauses", action="store_true", help="list the clauses, and end")
    group.addoption(
        "--expected", action="append", default=[], metavar="FILE", help="lines 'fail CLAUSE reason', 'skip CLAUSE reason'"
    )
    group.addoption("--report", metavar="FILE", help="write what was found as JSON")
    group.addoption("--quick", action="store_true", help="try less")
    group.addoption("--seed", type=int, default=SEED_DEFAULT, help=f"of all that is drawn (default: {SEED_DEFAULT})")
    group.addoption("--granularity", choices=("line", "opcode"), default="line", help="of the steps (default: line)")
    group.addoption("--replay", metavar="CLAUSE:TOKEN", help="run one failure again")


class Kit:
    """What the options ask for."""

    def __init__(self, config: pytest.Config) -> None:
        option = config.option
        self.seed: int = option.seed
        self.granularity: str = option.granularity
        self.effort: Effort = QUICK if option.quick else NORMAL
        self.report: str | None = option.report
        self.replayed: tuple[str, str] | None = None
        self.clauses = _selected(option)
        if option.replay is not None:
            self.replayed = _replayed(option.replay)
            self.clauses = [CLAUSES[self.replayed[0]]]
        try:
            self.expected: dict[str, Expectation] = read_all(option.expected, CLAUSES)
            if option.ring is None:
                raise AdapterError("which ring? --ring=package.module:factory says so; spec/20-conformance.md tells the rest")
            sys.path.insert(0, str(config.invocation_params.dir))
            self.subject: Subject = load(option.ring)
        except (AdapterError, ExpectationError) as error:
            raise pytest.UsageError(str(error)) from None
        if self.report is not None:
            _check_writable(self.report)
        self.hung: str | None = None
        self.verdict = NOTHING_TRIED

    def command(self, clause: Clause, token: str) -> str:
        """What runs a failure again."""
        finer = f" --granularity={self.granularity}" if self.granularity != "line" and clause.tier == "step" else ""
        return f"pytest --pyargs ringbuffer.conformance --ring={self.subject.name}{finer} --replay='{clause.id}:{token}'"

    def header(self) -> list[str]:
        """What is tested."""
        subject = self.subject
        offered = [feature.name for feature in FEATURES if feature in subject.features]
        lacking = [f"{feature.name} ({subject.lacks(feature)})" for feature in FEATURES if feature not in subject.features]
        tiers = [tier for tier in TIERS if any(clause.tier == tier for clause in self.clauses)]
        lines = [
            f"ring: {subject.name}, {subject.version}, from {subject.file}",
            f"kit: {__version__}; CPython {platform.python_version()} on {platform.machine()}; {self.effort.name} effort; "
            f"seed {self.seed}; steps are {self.granularity}s; tiers: {', '.join(tiers)}",
            "rings: 1 to 3 readers, 1 to 4 blocks of 64 bytes; in processes: up to 3 readers, 4 blocks of 4096 bytes",
            f"offered: {', '.join(offered) or 'nothing beyond the calls that must be there'}",
        ]
        return lines + [f"not offered: {one}" for one in lacking]


def _selected(option: Any) -> list[Clause]:
    """The clauses that are asked for. Raises :class:`pytest.UsageError`."""
    for tier in option.tier:
        if tier not in TIERS:
            raise pytest.UsageError(f"--tier={tier}: the tiers are {', '.join(TIERS)}")
    for id_ in option.clause:
        if id_ not in CLAUSES:
            raise pytest.UsageError(f"--clause={id_}: there is no such clause; --clauses lists them")
    wanted = [one for one in CLAUSES.values() if not option.clause or one.id in option.clause]
    wanted = [one for one in wanted if not option.tier or one.tier in option.tier]
    if not wanted:
        raise pytest.UsageError("no clause of --clause is in a tier of --tier")
    return wanted


def _replayed(text: str) -> tuple[str, str]:
    clause, _, token = text.partition(":")
    if clause not in CLAUSES or not CLAUSES[clause].replays or not token:
        raise pytest.UsageError(f"--replay={text:.80}: write CLAUSE:TOKEN, as a failure tells it")
    try:
        CLAUSES[clause].check_token(token)
    except ValueError as error:
        raise pytest.UsageError(f"--replay: {error}") from None
    return clause, token


def _check_writable(file: str) -> None:
    """Before anything is run: a report that cannot be written at the end would be a run in vain."""
    try:
        with Path(file).open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise pytest.UsageError(f"--report={file}: {error}") from None


KIT: pytest.StashKey[Kit] = pytest.StashKey()


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """List the clauses, if that is asked."""
    if not config.option.clauses:
        return None
    for clause in CLAUSES.values():
        needs = f" [needs {', '.join(feature.name for feature in clause.needs)}]" if clause.needs else ""
        print(f"{clause.id:4} {clause.tier:8} {clause.slug}: {clause.statement}{needs}")
    return 0


def pytest_configure(config: pytest.Config) -> None:
    """Read the options. Raises :class:`pytest.UsageError`."""
    if not config.option.clauses and not config.option.help:
        config.stash[KIT] = Kit(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is tested."""
    return config.stash[KIT].header()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """The kit's modules are no tests, but for the clauses."""
    if HERE in collection_path.parents:
        return collection_path != COLLECTED
    return None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The clauses."""
    if file_path != COLLECTED:
        return None
    collected: pytest.Collector = ClauseFile.from_parent(parent, path=file_path)
    return collected


class ClauseFile(pytest.File):
    """Gives an item for each clause that is asked for."""

    def collect(self) -> Iterator[pytest.Item]:
        """The clauses that are asked for."""
        for clause in self.config.stash[KIT].clauses:
            yield ClauseItem.from_parent(self, name=f"{clause.id}-{clause.slug}", clause=clause)


class ClauseItem(pytest.Item):
    """One clause."""

    def __init__(self, *, clause: Clause, **named: Any) -> None:
        super().__init__(**named)
        self.clause = clause
        self.kit: Kit = self.config.stash[KIT]
        self.user_properties += [("clause", clause.id), ("tier", clause.tier), ("statement", clause.statement)]

    def runtest(self) -> None:
        """Run the clause, unless it is to be skipped, and compare with what is expected."""
        lacking = [why for feature in self.clause.needs if (why := self.kit.subject.lacks(feature)) is not None]
        expectation = self.kit.expected.get(self.clause.id)
        if lacking:
            pytest.skip(f"{self.clause.id}: {lacking[0]}")
        if expectation is not None and expectation.verb == SKIP:
            pytest.skip(f"{self.clause.id}: {expectation.where}: {expectation.reason}")
        if self.kit.hung is not None:
            pytest.skip(f"{self.clause.id}: {self.kit.hung} hung, and may still run")
        try:
            self._run()
        except Violation as violation:
            if expectation is None or expectation.verb != FAIL:
                raise
            self._note(violation)
            pytest.xfail(f"{self.clause.id}: {violation.what} ({expectation.where}: {expectation.reason})")
        if expectation is not None and expectation.verb == FAIL and self.kit.replayed is None:
            raise UnexpectedPass(f"{self.clause.id} passes, and {expectation.where} expects it to fail ({expectation.reason})")

    def _run(self) -> None:
        """Run the clause in a thread of its own, and wait for it: a call of the ring may hang."""
        token = None if self.kit.replayed is None else self.kit.replayed[1]
        rings = Remembering(self.kit.subject.factory)
        context = Context(replace(self.kit.subject, factory=rings), self.kit.effort, self.kit.seed, self.kit.granularity, token)
        raised: list[BaseException] = []

        def target() -> None:
            try:
                self.clause.run(context)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=target, name=self.name, daemon=True)
        thread.start()
        try:
            thread.join(self.kit.effort.wall_seconds)
        except KeyboardInterrupt:
            end(thread, rings)
            raise
        if context.tried:
            self.user_properties.append(("tried", "; ".join(context.tried)))
        if context.cut_off and not raised:
            self.user_properties.append(("cut_off", "; ".join(context.cut_off)))
        if thread.is_alive():
            self.kit.hung = self.clause.id
            what = f"a call of the ring did not come back within {self.kit.effort.wall_seconds:.0f} s"
            story = context.story() if context.story is not None else []
            raise Violation(what, "the ring that was tried last", story)
        if raised:
            raise raised[0]

    def _note(self, violation: Violation) -> None:
        """For the reports."""
        self.user_properties += [("what", violation.what), ("story", violation.text())]
        if violation.token is not None:
            self.user_properties += [("token", violation.token), ("command", self.kit.command(self.clause, violation.token))]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """In words, for what the ring did; with a traceback, for what nobody has foreseen."""
        error = excinfo.value
        if isinstance(error, UnexpectedPass):
            return str(error)
        if isinstance(error, NO_VERDICT):
            return f"{self.clause.id} could not be judged: {error}"
        if not isinstance(error, Violation):
            return super().repr_failure(excinfo, style)
        self._note(error)
        lines = [f"{self.clause.id} does not hold: {self.clause.statement}", "", error.text()]
        if error.token is not None:
            lines += ["", "again:", f"  {self.kit.command(self.clause, error.token)}"]
        return "\n".join(lines)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """How the item is called in the summary."""
        return self.path, None, f"{self.clause.id} {self.clause.slug}"


class UnexpectedPass(Exception):
    """A clause holds that a file expects to fail."""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the report; a run in which nothing was tried is not one that passed."""
    kit = session.config.stash.get(KIT, None)
    if kit is None or hasattr(session.config, "workerinput"):
        return
    is_whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    kit.verdict = verdict_of(_results, is_whole=is_whole)
    if kit.verdict == NOTHING_TRIED and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
    if kit.report is not None:
        try:
            write_report(Path(kit.report), kit, _results, kit.verdict)
        except OSError as error:
            kit.verdict += f"; --report={kit.report} could not be written: {error}"
            session.exitstatus = pytest.ExitCode.USAGE_ERROR


_results: list[pytest.TestReport] = []


def pytest_sessionstart() -> None:
    """Nothing was found yet."""
    _results.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what was found."""
    if report.when == "call" or (report.when == "setup" and report.outcome != REPORTED):
        _results.append(report)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What time was too short for; the verdict; and what a run that passed does not say."""
    for report in _results:
        told = dict(report.user_properties)
        if "cut_off" in told:
            terminalreporter.write_line(f"{told['clause']}: {told['cut_off']}")
    terminalreporter.write_line(f"verdict: {terminalreporter.config.stash[KIT].verdict}")
    if terminalreporter.stats.get("passed") and not terminalreporter.stats.get("failed"):
        terminalreporter.write_line("what passed was tried up to the bounds that the report tells; it is not verified")
