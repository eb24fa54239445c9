"""A module that cannot be imported."""

raise ZeroDivisionError("the planted error")
