--------------------------- MODULE BroadcastQueue ---------------------------
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
