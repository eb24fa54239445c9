"""``ringbuffer bench``: this ring beside other ways to broadcast between processes, and beside what the hardware allows.

Rules: all peers are measured by the same processes, with the same messages, the same checks and the same loops; every reader
checks the order and the content of every message, and a fault fails the run; rounds are interleaved, so that a ratio
compares what was measured side by side. A peer that is not installed is left out, and the report says why. Limits: figures
are of this machine, while it did whatever else it does; a ratio of one run says more than a figure, and neither is a proof.
"""
