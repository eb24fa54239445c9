"""What ``ringbuffer check`` shows on a terminal: the table of claims as it fills, the counterexamples, the verdict.

Limits: needs rich (the extra ``check``); away from a terminal it prints the finished table only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringbuffer.checker.claims import Claim, Scope, Verdict, check_claims
from ringbuffer.errors import MissingExtraError

try:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as error:
    raise MissingExtraError("the table of claims (use --json without it)", "check") from error


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would end the process with status 1, which means refuted here."""
        raise BrokenPipeError


_STYLES = {"holds": "bold green", "refuted": "bold red", "unknown": "bold yellow"}
_PLAIN_WIDTH = 120
"""Columns, where there is no terminal to ask."""


def show_claims(scope: Scope, claims: Sequence[Claim], overall: Callable[[Sequence[Verdict]], str]) -> list[Verdict]:
    """Try the claims, show them as they come out, and return their verdicts."""
    console = _Console(highlight=False)
    if not console.is_terminal:
        console = _Console(highlight=False, width=_PLAIN_WIDTH)
    verdicts: list[Verdict] = []
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8) as live:

            def advance(claim_id: str, text: str) -> None:
                live.update(_table(claims, verdicts, (claim_id, text)))

            for verdict in check_claims(scope, [claim.id for claim in claims], advance):
                verdicts.append(verdict)
                live.update(_table(claims, verdicts))
    else:
        verdicts += check_claims(scope, [claim.id for claim in claims], lambda *_: None)
        console.print(_table(claims, verdicts))
    for verdict in verdicts:
        _show_details(console, verdict)
    status = overall(verdicts)
    console.print(Text(f"verdict: {status}", _STYLES[status]), Text(f"  ({scope.edits})"))
    return verdicts


def _table(claims: Sequence[Claim], verdicts: Sequence[Verdict], running: tuple[str, str] = ("", "")) -> Table:
    done = {verdict.id: verdict for verdict in verdicts}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("claim", "method", "status", "bound", "states", "time"):
        table.add_column(name, justify="right" if name in ("states", "time") else "left", overflow="fold")
    for claim in claims:
        verdict = done.get(claim.id)
        if verdict is None:
            table.add_row(claim.id, claim.method, "…", running[1] if running[0] == claim.id else "", "", "")
            continue
        states = "" if verdict.states is None else f"{verdict.states:,}"
        status = Text(verdict.status, _STYLES[verdict.status])
        table.add_row(claim.id, claim.method, status, verdict.bound, states, f"{verdict.seconds:.1f} s")
    return table


def _show_details(console: Console, verdict: Verdict) -> None:
    """The statement behind a claim, what was noticed, and the counterexample."""
    console.print(Text(f"\n{verdict.id}: ", "bold") + Text(verdict.statement, "default"), soft_wrap=True)
    if verdict.note:
        console.print(Text(f"  {verdict.note}"), soft_wrap=True)
    if verdict.counterexample:
        console.print(Text(verdict.counterexample), soft_wrap=True)
    if verdict.token:
        console.print(Text(f"  replay: ringbuffer replay {verdict.token}"), soft_wrap=True)
