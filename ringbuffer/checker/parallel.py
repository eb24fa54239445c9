"""Several explorations at once, in processes of their own.

Rules: answers come in the order of the questions, whoever is done first; one job asks in this process, with no other; the
processes are fresh ones (spawned), at most :data:`JOBS_MAX`, and all of them are gone when the caller is, whether it ends, is
interrupted or raises. Limits: questions and answers are pickled, so a question's function stands at the top of a module.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

JOBS_MAX: Final = 2
"""More than two explorations at once fill the memory of a small machine."""

Question = TypeVar("Question")
Answer = TypeVar("Answer")


def answers(function: Callable[[Question], Answer], questions: Sequence[Question], jobs: int = 1) -> Iterator[Answer]:
    """What ``function`` says to each question, in order; by up to ``jobs`` processes, as far as :data:`JOBS_MAX` allows."""
    jobs = min(jobs, JOBS_MAX, len(questions))
    if jobs <= 1:
        yield from map(function, questions)
        return
    context = multiprocessing.get_context("spawn")
    pool = context.Pool(jobs, initializer=_leave_interrupts_to_the_caller)
    try:
        yield from pool.imap(function, questions)
        pool.close()
    finally:
        pool.terminate()
        pool.join()


def _leave_interrupts_to_the_caller() -> None:
    """An interrupt at the keyboard reaches every process; the caller ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
