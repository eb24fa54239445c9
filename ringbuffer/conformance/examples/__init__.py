"""Rings that are wrong on purpose, and one that is right: what the kit is tried on, and what the how-to works through."""
