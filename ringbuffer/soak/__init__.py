"""``ringbuffer soak``: a long run of real processes in which everything happens that may happen to a ring at work.

Messages of all sizes and kinds; pauses, so that the ring runs full and empty and its ends fall asleep; ends that close and
attach anew; readers that end, or are killed, and are followed by others. Limits: what a long run did not show, it does not
exclude: its findings are measured, not proved.
"""
