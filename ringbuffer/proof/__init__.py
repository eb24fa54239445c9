"""Proofs about the protocol for every number of readers and blocks, read off the same tables that everything else runs."""
