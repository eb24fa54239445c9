-------------------------------- MODULE Ring --------------------------------
\* The shared-memory broadcast ring, one action for each row of its two tables.
\*
\* Generated from the tables (shipped) by `ringbuffer spec --write`:
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
  \* where each actor stands
  pc,       \* pc[a]: the clause id of the row that actor a runs next
  block,    \* block[a]: the block that it is at
  todo,     \* todo[a]: in a row about several flags, those not visited yet
  zeros,    \* zeros[a]: how many of those it has visited were 0
  word,     \* word[a]: in a payload row, how many words are done
  message,  \* message[a]: the message that it fills or reads
  \* what the world outside sees, of which no row knows
  owed,     \* owed[r]: the accepted messages that reader r has not received
  got       \* who received what in the step just taken, or Nothing

memory == <<written, read, payload>>
actors == <<pc, block, todo, zeros, word, message>>
vars   == <<memory, actors, owed, got>>

-----------------------------------------------------------------------------
\* What the rows have in common.

Elements(f) == {f[i] : i \in DOMAIN f}

Without(queue, gone) == SelectSeq(queue, LAMBDA m : m \notin gone)

Raising == IF Aborts THEN BOOLEAN ELSE {FALSE}

\* The flags that a row visits one by one; none for a row about a single one.
Visits(row) ==
  CASE row \in {"W2", "W5"} -> Ranks
    [] OTHER -> {}

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

\* W1  look at the written flag
\*   load written, relaxed: 0 -> W3; 1 -> W2
\*   A block that was never written, or whose write was aborted, is free
\*   although no reader has marked it.
W1 ==
  LET a == Writer
      b == block[a]
  IN  /\ pc[a] = "W1"
      /\ IF written[b] = 1
         THEN Go(a, "W2", b)
         ELSE Go(a, "W3", b)
      /\ got' = Nothing
      /\ UNCHANGED <<written, read, payload, owed>>

\* W2  look at the read flags
\*   load read[*], acquire: 1 -> W3; 0 -> wait, then W1
\*   A written block is free only when every reader has marked it; a single flag
\*   that is still 0 means wait.
\*   Acquire with R4: what each reader read happens before the writer fills the
\*   block again.
W2 ==
  LET a == Writer
      b == block[a]
  IN  /\ pc[a] = "W2"
      /\ \E q \in todo[a] :
           LET unread == zeros[a] + 1 - read[b][q]
           IN  IF unread > 0 THEN Go(a, "W1", b)
               ELSE IF todo[a] = {q} THEN Go(a, "W3", b)
               ELSE Visited(a, q, unread)
      /\ got' = Nothing
      /\ UNCHANGED <<written, read, payload, owed>>

\* W3  claim the block
\*   store written <- 0, relaxed: done -> W4
\*   From here on no reader may begin to read, so that the read flags can be
\*   cleared before there is anything new.
W3 ==
  LET a == Writer
      b == block[a]
  IN  /\ pc[a] = "W3"
      /\ written' = [written EXCEPT ![b] = 0]
      /\ Go(a, "W4", b)
      /\ got' = Nothing
      /\ UNCHANGED <<read, payload, owed>>

\* W4  fill
\*   payload writes, by the caller, plain: done -> W5; aborted -> W1, same block
\*   The caller writes in place; if it raises, nothing is published and the same
\*   block is used next.
W4(raises) ==
  LET a == Writer
      b == block[a]
      w == word[a]
      m == IF w = 0 THEN NewMessage ELSE message[a]
      left == [r \in Ranks |-> Without(owed[r], {payload[b][w]})]
  IN  /\ pc[a] = "W4"
      /\ payload' = [payload EXCEPT ![b][w] = m]
      /\ IF raises THEN Go(a, "W1", b) /\ owed' = left
         ELSE IF w + 1 < Words THEN NextWord(a, m) /\ owed' = left
         ELSE Go(a, "W5", b) /\ owed' = [r \in Ranks |-> Append(left[r], m)]
      /\ got' = Nothing
      /\ UNCHANGED <<written, read>>

\* W5  clear the read flags
\*   store read[*] <- 0, release: done -> W6
\*   Every reader is to read the new message; cleared after publishing, a flag
\*   could wipe out a reader's mark.
\*   Release with R1: a reader that sees its flag cleared sees the block claimed
\*   (W3), not the last lap's written flag.
W5 ==
  LET a == Writer
      b == block[a]
  IN  /\ pc[a] = "W5"
      /\ \E q \in todo[a] :
           /\ read' = [read EXCEPT ![b][q] = 0]
           /\ IF todo[a] = {q} THEN Go(a, "W6", b) ELSE Visited(a, q, 0)
      /\ got' = Nothing
      /\ UNCHANGED <<written, payload, owed>>

\* W6  publish
\*   store written <- 1, release: done -> W1, next block
\*   The one store that makes the message visible, to all readers at once, when
\*   nothing is left to be done.
\*   Release with R2: the payload happens before any reader reads it.
W6 ==
  LET a == Writer
      b == block[a]
  IN  /\ pc[a] = "W6"
      /\ written' = [written EXCEPT ![b] = 1]
      /\ Go(a, "W1", (b + 1) % K)
      /\ got' = Nothing
      /\ UNCHANGED <<read, payload, owed>>

-----------------------------------------------------------------------------
\* A reader's rows.

\* R1  look at one's own read flag
\*   load read[r], acquire: 0 -> R2; 1 -> wait, then R1
\*   A block that this reader has marked holds nothing new for it until the
\*   writer clears the flag.
\*   Acquire with W5: seeing the flag cleared, the reader cannot then load a
\*   written flag from before the claim.
R1(r) ==
  LET a == Reader[r]
      b == block[a]
  IN  /\ pc[a] = "R1"
      /\ IF read[b][r] = 1
         THEN Go(a, "R1", b)
         ELSE Go(a, "R2", b)
      /\ got' = Nothing
      /\ UNCHANGED <<written, read, payload, owed>>

\* R2  look at the written flag
\*   load written, acquire: 1 -> R3; 0 -> wait, then R1
\*   While the writer fills the block the read flags may be 0 already; only the
\*   written flag says that it is whole.
\*   Acquire with W6: the payload that the writer wrote happens before this
\*   reader reads it.
R2(r) ==
  LET a == Reader[r]
      b == block[a]
  IN  /\ pc[a] = "R2"
      /\ IF written[b] = 1
         THEN Go(a, "R3", b)
         ELSE Go(a, "R1", b)
      /\ got' = Nothing
      /\ UNCHANGED <<written, read, payload, owed>>

\* R3  read
\*   payload reads, by the caller, plain: done -> R4; aborted -> R1, same block
\*   The caller reads in place; if it raises, the message stays unread and comes
\*   again.
R3(r, raises) ==
  LET a == Reader[r]
      b == block[a]
      w == word[a]
      value == payload[b][w]
      m == IF w = 0 \/ message[a] = value THEN value ELSE Torn
  IN  /\ pc[a] = "R3"
      /\ IF raises THEN Go(a, "R1", b) /\ got' = Nothing /\ UNCHANGED owed
         ELSE IF w + 1 < Words THEN NextWord(a, m) /\ got' = Nothing /\ UNCHANGED owed
         ELSE /\ Go(a, "R4", b)
              /\ got' = [reader |-> r, message |-> m]
              /\ owed' = [owed EXCEPT ![r] = Without(@, {m})]
      /\ UNCHANGED memory

\* R4  mark as read
\*   store read[r] <- 1, release: done -> R1, next block
\*   The reader gives the block back; marked before it was read, the writer
\*   could fill it under the reader's eyes.
\*   Release with W2: what this reader read happens before the writer fills the
\*   block again.
R4(r) ==
  LET a == Reader[r]
      b == block[a]
  IN  /\ pc[a] = "R4"
      /\ read' = [read EXCEPT ![b][r] = 1]
      /\ Go(a, "R1", (b + 1) % K) /\ owed' = GivenBack(r, b)
      /\ got' = Nothing
      /\ UNCHANGED <<written, payload>>

-----------------------------------------------------------------------------
\* The whole.

Init ==
  /\ written = [b \in Blocks |-> 0]
  /\ read = [b \in Blocks |-> [r \in Ranks |-> 0]]
  /\ payload = [b \in Blocks |-> [w \in 0 .. Words - 1 |-> NoMessage]]
  /\ pc = [a \in Actors |-> IF a = Writer THEN "W1" ELSE "R1"]
  /\ block = [a \in Actors |-> 0]
  /\ todo = [a \in Actors |-> Visits(pc[a])]
  /\ zeros = [a \in Actors |-> 0]
  /\ word = [a \in Actors |-> 0]
  /\ message = [a \in Actors |-> NoMessage]
  /\ owed = [r \in Ranks |-> <<>>]
  /\ got = Nothing

WriterStep ==
  \/ W1
  \/ W2
  \/ W3
  \/ \E raises \in Raising : W4(raises)
  \/ W5
  \/ W6

ReaderStep(r) ==
  \/ R1(r)
  \/ R2(r)
  \/ \E raises \in Raising : R3(r, raises)
  \/ R4(r)

Next == WriterStep \/ \E r \in Ranks : ReaderStep(r)

CallerRaises ==
  \/ W4(TRUE)
  \/ \E r \in Ranks : R3(r, TRUE)

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
  /\ pc \in [Actors -> {"W1", "W2", "W3", "W4", "W5", "W6", "R1", "R2", "R3", "R4"}]
  /\ block \in [Actors -> Blocks]
  /\ \A a \in Actors : todo[a] \subseteq Ranks /\ zeros[a] \in 0 .. N
  /\ word \in [Actors -> 0 .. Words - 1]
  /\ message \in [Actors -> Message \cup {NoMessage, Torn}]
  /\ \A r \in Ranks : Elements(owed[r]) \subseteq Message
  /\ got = Nothing \/ (got.reader \in Ranks /\ got.message \in Message \cup {NoMessage, Torn})

\* Reader r receives a message that it is owed; the oldest of them.
Receives(r) == got'.reader = r /\ got'.message \in Elements(owed[r])
ReceivesOldest(r) == Receives(r) /\ got'.message = Head(owed[r])

\* P1 torn: what a reader reads from one block belongs to one message
P1_torn == [][got'.message # Torn]_vars

\* P2 stale: no reader receives a message twice, nor one that was never
\* published
P2_stale == [][\A r \in Ranks : got'.reader = r => got'.message \in Elements(owed[r]) \cup {Torn}]_vars

\* P3 reordered: each reader receives the messages in the order they were
\* written
P3_reordered == [][\A r \in Ranks : Receives(r) => ReceivesOldest(r)]_vars

\* P4 lost: no reader gives back a block whose message it has not received
P4_lost == [][\A r \in Ranks : R4(r) => UNCHANGED owed]_vars

\* P5 overwritten: the writer does not write into a block whose message some
\* reader has not received
P5_overwritten ==
  pc[Writer] = "W4" =>
    \A r \in Ranks : payload[block[Writer]][word[Writer]] \notin Elements(owed[r])

\* P6 exclusion: while a writer is in a block, nobody else is in that block
P6_exclusion ==
  \A r \in Ranks :
    ~(pc[Writer] = "W4" /\ pc[Reader[r]] = "R3" /\ block[Writer] = block[Reader[r]])

-----------------------------------------------------------------------------
\* What must happen in the end.

\* The writer's caller has filled a block.
Fills == word[Writer] + 1 = Words /\ W4(FALSE)

\* P7 progress: as long as all run, the writer publishes again and again, and no
\* reader that is owed a message waits for ever
P7_progress ==
  /\ []<><<Fills>>_vars
  /\ \A r \in Ranks : []<>(owed[r] = <<>>) \/ []<><<Receives(r)>>_vars

\* P8 starved: as long as all run, every reader receives, in the end, the oldest
\* message that it is owed
P8_starved ==
  \A r \in Ranks : []<>(owed[r] = <<>>) \/ []<><<ReceivesOldest(r)>>_vars

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

HasFilled == pc[Writer] \in {"W5", "W6"}
HasRead(r) == pc[Reader[r]] \in {"R4"}

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
  IN  << written, read, pc, block, todo, zeros, word,
         [b \in Blocks |-> [w \in 0 .. Words - 1 |-> name(payload[b][w])]],
         [a \in Actors |-> name(message[a])],
         [r \in Ranks |-> [i \in DOMAIN owed[r] |-> name(owed[r][i])]] >>

=============================================================================
