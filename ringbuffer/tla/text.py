"""The parts of the TLA+ files that no table decides: the ring's frame, the abstract queue, and how to run TLC.

Rules: what is printed from the rows is a ``$name`` in a template, and ``ring.py`` fills it in; the abstract queue has none,
because what the ring is held to must not be made from the ring. Limits: plain ASCII, which is what TLA+'s tools read.
"""

from __future__ import annotations

from string import Template
from typing import Final

RING: Final = Template(r"""-------------------------------- MODULE Ring --------------------------------
\* The shared-memory broadcast ring, one action for each row of its two tables.
\*
\* Generated from the tables ($edits) by `ringbuffer spec --write`:
\* change ringbuffer/protocol/table.py or ringbuffer/tla/, not this file.
\*
\* Granularity: a step is one access of one actor to shared memory. A row about
\* all read flags visits them one at a time, in any order; a payload is written
\* and read word by word, by a caller that may raise after any word.
\* Memory: sequentially consistent. What an access is ordered by stands in its
\* comment and has no effect here; weak memories are the explorer's subject.
\*
\* The names are those of the traces (`ringbuffer replay --itf`), letter for
\* letter: written, read, payload, pc, block; and those of the explorer's states.
\* "torn P1" and the like are the explorer's properties, by name and clause id.
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS
  N,       \* how many readers there are
  K,       \* how many blocks the ring has
  Words,   \* how many words a payload has; two are enough to see it torn
  Aborts   \* whether callers may raise while they fill or read

ASSUME /\ {N, K, Words} \subseteq Nat \ {0}
       /\ Aborts \in BOOLEAN

Ranks  == 0 .. N - 1
Blocks == 0 .. K - 1
Flags  == {0, 1}

Writer == "writer"
Reader == [r \in Ranks |-> "reader " \o ToString(r)]
Actors == {Writer} \cup {Reader[r] : r \in Ranks}

NoMessage == 0    \* in a payload word that nobody has written
Torn      == -1   \* held by a reader that has read words of two messages

\* Names of messages: for each block as many as its words and the readers can hold
\* at once, and one for a new message.
Message == 1 .. K * (Words + N + 1)

Nothing == [reader |-> -1, message |-> NoMessage]

VARIABLES
  \* the shared memory
  written,  \* written[b]: block b's written flag
  read,     \* read[b][r]: block b's read flag of reader r
  payload,  \* payload[b][w]: the message of which word w of block b is a part
$lock_variable  \* where each actor stands
  pc,       \* pc[a]: the clause id of the row that actor a runs next
  block,    \* block[a]: the block that it is at
  todo,     \* todo[a]: in a row about several flags, those not visited yet
  zeros,    \* zeros[a]: how many of those it has visited were 0
  word,     \* word[a]: in a payload row, how many words are done
  message,  \* message[a]: the message that it fills or reads
  \* what the world outside sees, of which no row knows
  owed,     \* owed[r]: the accepted messages that reader r has not received
  got       \* who received what in the step just taken, or Nothing

memory == <<written, read, payload$lock_in_memory>>
actors == <<pc, block, todo, zeros, word, message>>
vars   == <<memory, actors, owed, got>>

-----------------------------------------------------------------------------
\* What the rows have in common.

Elements(f) == {f[i] : i \in DOMAIN f}

Without(queue, gone) == SelectSeq(queue, LAMBDA m : m \notin gone)

Raising == IF Aborts THEN BOOLEAN ELSE {FALSE}

\* The flags that a row visits one by one; none for a row about a single one.
Visits(row) ==
$visits

\* Actor a is done with its row, and comes to another (or the same) at block b.
Go(a, row, b) ==
  /\ pc' = [pc EXCEPT ![a] = row]
  /\ block' = [block EXCEPT ![a] = b]
  /\ todo' = [todo EXCEPT ![a] = Visits(row)]
  /\ zeros' = [zeros EXCEPT ![a] = 0]
  /\ word' = [word EXCEPT ![a] = 0]
  /\ message' = [message EXCEPT ![a] = NoMessage]

\* Actor a has visited reader q's flag, and others are still to come.
Visited(a, q, unread) ==
  /\ todo' = [todo EXCEPT ![a] = @ \ {q}]
  /\ zeros' = [zeros EXCEPT ![a] = unread]
  /\ UNCHANGED <<pc, block, word, message>>

\* Actor a's caller has written or read one word of message m, and goes on.
NextWord(a, m) ==
  /\ word' = [word EXCEPT ![a] = @ + 1]
  /\ message' = [message EXCEPT ![a] = m]
  /\ UNCHANGED <<pc, block, todo, zeros>>

\* A new message takes the smallest of its block's names that is nowhere to be found
\* any more, but for the word that it is written over. So a run without end needs few
\* names, and no two messages are mixed up.
InUse ==
  LET over   == <<block[Writer], word[Writer]>>
      others == (Blocks \X (0 .. Words - 1)) \ {over}
  IN  {payload[place[1]][place[2]] : place \in others}
        \cup Elements(message)
        \cup UNION {Elements(owed[r]) : r \in Ranks}

NewMessage ==
  LET free == {m \in Message : m % K = block[Writer]} \ InUse
  IN  CHOOSE m \in free : \A n \in free : m <= n

\* Reader r gives back block b: what it was owed of it, it will not get.
GivenBack(r, b) == [owed EXCEPT ![r] = Without(@, Elements(payload[b]))]

-----------------------------------------------------------------------------
\* The writer's rows.

$writer_rows
-----------------------------------------------------------------------------
\* A reader's rows.

$reader_rows
-----------------------------------------------------------------------------
\* The whole.

Init ==
  /\ written = [b \in Blocks |-> 0]
  /\ read = [b \in Blocks |-> [r \in Ranks |-> $initial_read_flag]]
  /\ payload = [b \in Blocks |-> [w \in 0 .. Words - 1 |-> NoMessage]]
$lock_init  /\ pc = [a \in Actors |-> IF a = Writer THEN "$first_writer_row" ELSE "$first_reader_row"]
  /\ block = [a \in Actors |-> 0]
  /\ todo = [a \in Actors |-> Visits(pc[a])]
  /\ zeros = [a \in Actors |-> 0]
  /\ word = [a \in Actors |-> 0]
  /\ message = [a \in Actors |-> NoMessage]
  /\ owed = [r \in Ranks |-> <<>>]
  /\ got = Nothing

$steps

Next == WriterStep \/ \E r \in Ranks : ReaderStep(r)

$caller_raises

\* Every actor takes steps for ever, and no caller raises for ever. These are the
\* runs that the explorer judges for liveness. (A look that leads back to itself
\* changes nothing, so weak fairness does not ask for it, nor does it matter.)
Fairness ==
  /\ WF_vars(WriterStep)
  /\ \A r \in Ranks : WF_vars(ReaderStep(r))
  /\ <>[][~CallerRaises]_vars

Spec == Init /\ [][Next]_vars /\ Fairness

-----------------------------------------------------------------------------
\* What must always hold.

TypeOK ==
  /\ written \in [Blocks -> Flags]
  /\ read \in [Blocks -> [Ranks -> Flags]]
  /\ payload \in [Blocks -> [0 .. Words - 1 -> Message \cup {NoMessage}]]
$lock_type  /\ pc \in [Actors -> {$row_names}]
  /\ block \in [Actors -> Blocks]
  /\ \A a \in Actors : todo[a] \subseteq Ranks /\ zeros[a] \in 0 .. N
  /\ word \in [Actors -> 0 .. Words - 1]
  /\ message \in [Actors -> Message \cup {NoMessage, Torn}]
  /\ \A r \in Ranks : Elements(owed[r]) \subseteq Message
  /\ got = Nothing \/ (got.reader \in Ranks /\ got.message \in Message \cup {NoMessage, Torn})

\* Reader r receives a message that it is owed; the oldest of them.
Receives(r) == got'.reader = r /\ got'.message \in Elements(owed[r])
ReceivesOldest(r) == Receives(r) /\ got'.message = Head(owed[r])

$safety
-----------------------------------------------------------------------------
\* What must happen in the end.

\* The writer's caller has filled a block.
$fills

$liveness

-----------------------------------------------------------------------------
\* The ring is a broadcast queue.
\*
\* The mapping is the plainest there is: a message is sent when its caller has
\* filled the block, and received when the reader's caller has read all of it.
\* A step that delivers nothing and accepts nothing is a step of the ring alone.
\* Every delivery shows in `got`, also one that changes nothing of what is owed:
\* nothing stale or repeated can pass for a step that the queue does not notice.

Queue == INSTANCE BroadcastQueue WITH owed <- owed, got <- got

Refines == Queue!Spec

\* `owed` is a record of what happened, kept for the queue's sake; so that it is
\* seen to add nothing to the ring, the same can be read off the ring itself: block
\* by block, from the oldest on, what is there and not marked, counting the message
\* that the writer has filled and the mark that a reader is about to set. It speaks
\* of rings whose blocks are used in order; a variant can break it and still deliver.

$turns

Oldest == block[Writer] + IF HasFilled THEN 1 ELSE 0

IsHeld(b, r) ==
  IF HasFilled /\ block[Writer] = b
  THEN TRUE
  ELSE written[b] = 1 /\ read[b][r] = 0 /\ ~(HasRead(r) /\ block[Reader[r]] = b)

Held(r) ==
  LET order  == [i \in 1 .. K |-> (Oldest + i - 1) % K]
      blocks == SelectSeq(order, LAMBDA b : IsHeld(b, r))
  IN  [i \in DOMAIN blocks |-> payload[blocks[i]][0]]

OwedIsHeld == \A r \in Ranks : owed[r] = Held(r)

-----------------------------------------------------------------------------
\* States that differ in the messages' names only are one state, as they are for
\* the explorer: nothing here asks of two messages more than whether they are the
\* same (data independence). A VIEW for counting and for what must always hold,
\* in which each message is named by the first place that holds it. What the last
\* step has delivered is not in it. TLC cannot use it for what must happen.

RECURSIVE QueuesFrom(_)
QueuesFrom(r) == IF r = N THEN <<>> ELSE owed[r] \o QueuesFrom(r + 1)

UpToNames ==
  LET places  == [i \in 1 .. K * Words |-> payload[(i - 1) \div Words][(i - 1) % Words]]
                   \o <<message[Writer]>>
                   \o [i \in 1 .. N |-> message[Reader[i - 1]]]
                   \o QueuesFrom(0)
      name(m) == IF m \in {NoMessage, Torn}
                 THEN m
                 ELSE CHOOSE i \in DOMAIN places :
                        places[i] = m /\ \A j \in 1 .. i - 1 : places[j] # m
  IN  << written, read, pc, block, todo, zeros, word$lock_in_memory,
         [b \in Blocks |-> [w \in 0 .. Words - 1 |-> name(payload[b][w])]],
         [a \in Actors |-> name(message[a])],
         [r \in Ranks |-> [i \in DOMAIN owed[r] |-> name(owed[r][i])]] >>

=============================================================================
""")

QUEUE: Final = r"""--------------------------- MODULE BroadcastQueue ---------------------------
\* What a broadcast ring is for: one sender, N receivers, every receiver gets every
\* message, whole, once, in the order in which it was sent.
\*
\* Printed by `ringbuffer spec --write` from ringbuffer/tla/text.py, and not from
\* the protocol's tables: what the ring is held to is not made from the ring.
\*
\* The queue is an endless sequence of messages with a cursor for each reader. What
\* lies before all cursors matters to nobody, so it is seen from the cursors on:
\* owed[r] is what reader r has still to receive. No reader is more than K behind.
EXTENDS Integers, Sequences

CONSTANTS
  N,        \* how many readers there are
  K,        \* the capacity: how many messages a reader can be behind
  Message   \* the names of messages; a message may take the name of one long gone

VARIABLES
  owed,     \* owed[r]: the messages that reader r has not received, oldest first
  got       \* who received what in the step just taken, or Nothing

vars == <<owed, got>>

Ranks == 0 .. N - 1

Nothing == [reader |-> -1, message |-> 0]

Init ==
  /\ owed = [r \in Ranks |-> <<>>]
  /\ got = Nothing

\* Message m is sent to all readers at once. Two messages that are both still owed
\* to somebody have different names.
Send(m) ==
  /\ \A r \in Ranks : Len(owed[r]) < K /\ \A i \in DOMAIN owed[r] : owed[r][i] # m
  /\ owed' = [r \in Ranks |-> Append(owed[r], m)]
  /\ got' = Nothing

\* Reader r receives the oldest message that it is owed, and is seen to.
Receive(r) ==
  /\ owed[r] # <<>>
  /\ got' = [reader |-> r, message |-> Head(owed[r])]
  /\ owed' = [owed EXCEPT ![r] = Tail(@)]

\* The moment of a delivery passes.
Pass ==
  /\ got # Nothing
  /\ got' = Nothing
  /\ UNCHANGED owed

Next ==
  \/ \E m \in Message : Send(m)
  \/ \E r \in Ranks : Receive(r)
  \/ Pass

\* Whoever can send sends in the end; whoever is owed a message receives it.
Fairness ==
  /\ WF_vars(\E m \in Message : Send(m))
  /\ \A r \in Ranks : WF_vars(Receive(r))

Spec == Init /\ [][Next]_vars /\ Fairness

=============================================================================
"""

README: Final = Template(r"""# The protocol in TLA+

Printed by `ringbuffer spec --write` from the protocol's tables and from `ringbuffer/tla/`; nothing here is edited by hand, and
`ringbuffer spec --check` says what is out of date.

| file | what it is |
|---|---|
| [`Ring.tla`](Ring.tla) | the ring: an action for each row, one access to shared memory a step, sequentially consistent |
| [`BroadcastQueue.tla`](BroadcastQueue.tla) | what the ring is for: each of N receivers gets each message once, in order |
$configurations

`Ring.tla` ends with the refinement: each run of the ring is a run of the queue, in which a message is sent when its caller has
filled the block, and received when the reader's caller has read all of it. What is delivered shows in `got`, in both modules.

## Running TLC by hand

TLC needs Java, and its jar comes with a Python package: `pip install 'shm-ringbuffer-reference[tla]'`. In this folder:

```sh
jar="$$(python -c 'from ringbuffer.tla import tlc; print(tlc.find_jar())')"
meta="$$(mktemp -d)"
for checks in $names; do
  java -XX:+UseParallelGC -Djava.io.tmpdir="$$meta" -cp "$$jar" tlc2.TLC -metadir "$$meta" -config "$$checks.cfg" Ring.tla
done
rm -r "$$meta"
```

Any other `tla2tools.jar` will do. To ask about another ring, change `N`, `K`, `Words` or `Aborts` in a configuration. To ask
about edited tables, print them first:

```python
from pathlib import Path

from ringbuffer import tla
from ringbuffer.protocol import Variant

folder = Path("edited")
folder.mkdir(exist_ok=True)
for name, text in tla.files(Variant.parse("swap=W5,W6")).items():
    (folder / name).write_text(text, encoding="utf-8")
```

`python -m pytest proofs/tla` does all of this for the shipped tables and for tables that must fail.

## Two checkers, one number

TLC shares no code with `ringbuffer check`. With `Safety.cfg` it must find as many distinct states as the explorer does without
reductions, for the shipped tables with two words a payload and callers that may raise:

| readers (`N`) | blocks (`K`) | distinct states |
|---|---|---|
$counts

`explore(PROTOCOL, 2, 2, properties=SAFETY, reductions=(), words=2).states` is the explorer's. Both name messages by the place
where they are first met: the explorer in every state, `Ring.tla` in the view `UpToNames`. TLC's other figures agree as well: it
generates one state more than the explorer takes steps, and its depth is one more, because it counts the initial state.

TLC cannot use a view for what must happen in the end, so `Liveness.cfg` has none, and finds more states ($raw_count for 2
readers and 2 blocks): the same ones under other names, and with what the last step has delivered.

## Limits

What TLC finds is about the numbers of readers, blocks and words that a configuration names. The memory is sequentially
consistent, so the orderings of the rows are shown and not tried. There is one writer, and nobody is killed.
""")
