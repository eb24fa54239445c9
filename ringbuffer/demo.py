"""``ringbuffer demo``: real processes, real objects, every message checked, and a small picture of the ring."""

from __future__ import annotations

import json
from dataclasses import asdict

from ringbuffer.checker.processes import RunReport, run_processes
from ringbuffer.protocol import Variant, classify, missing_readers
from ringbuffer.ring import ShmRingBuffer


def run_demo(readers: int, blocks: int, messages: int, variant: Variant, seed: int, *, as_json: bool) -> bool:
    """Run the demonstration, print what it shows, and return whether every reader got every message once, in order, whole."""
    if not as_json:
        print(f"1 writer, {readers} readers, {blocks} blocks, {messages} messages; tables: {variant}")

    def show(ring: ShmRingBuffer, sent: int, seconds: float) -> None:
        if not as_json:
            print(f"\n{sent} sent, {sent / seconds:,.0f} messages/s\n{picture(ring)}", flush=True)

    report = run_processes(readers, blocks, messages, protocol=variant, seed=seed, show=show)
    print(json.dumps({**asdict(report), "rate": report.rate, "clean": report.clean}, indent=2) if as_json else _summary(report))
    return report.clean


def picture(ring: ShmRingBuffer) -> str:
    """The blocks of a ring as they are now, a line each: flags, case, and who has not read. Reading it disturbs nobody."""
    lines = [f"{'block':>7}  {'written':<8} {'read by':<{max(8, ring.n_reader)}} case"]
    for block in range(ring.max_chunks):
        flags = ring.flags(block)
        marks = "".join("■" if flag else "□" for flag in flags[1:])
        missing = ", ".join(map(str, missing_readers(flags)))
        waits = f"waits for reader {missing}" if missing else ""
        mark = "■" if flags[0] else "□"
        lines.append(f"{block:>7}  {mark:<8} {marks:<{max(8, ring.n_reader)}} {classify(flags):d} {waits}".rstrip())
    return "\n".join(lines)


def _summary(report: RunReport) -> str:
    took = f"in {report.seconds:.2f} s: {report.rate:,.0f} messages/s"
    lines = [f"\n{report.messages} messages to {len(report.readers)} readers {took}"]
    for reader in report.readers:
        verdict = "each once, in order, whole"
        if not reader.clean:
            counts = f"{reader.torn} torn, {reader.reordered} out of order, {reader.repeated} repeated, {reader.lost} lost"
            verdict = f"{counts}; first: {reader.first_fault}"
        lines.append(f"reader {reader.rank}: {reader.received} received, {verdict}")
    return "\n".join(lines)
