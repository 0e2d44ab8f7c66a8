"""What the help of every command has in common."""

from __future__ import annotations


def example(*lines: str) -> str:
    """The epilog of a command: its examples, which click must not wrap."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])
