"""Whether what real processes did, as they have recorded it, is one possible run of the table.

``follow.py`` holds each recording to the control flow of its program, by itself; ``order.py`` looks for an interleaving of all
of them that explains every value; ``judge.py`` puts the two together, and says in words what cannot be explained.

Rules: nothing here knows the endpoints, a memory or a clock: it takes tables and records. Limits: ``judge.py`` says what is
decided.
"""

from ringbuffer.validate.judge import Validation as Validation
from ringbuffer.validate.judge import validate as validate
