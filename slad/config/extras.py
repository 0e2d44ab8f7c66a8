"""Which of the optional packages are installed."""

from __future__ import annotations

from importlib.util import find_spec


def is_installed(package: str) -> bool:
    """Whether `package` can be imported."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it would lie in
        return False


def has_console() -> bool:
    """Whether what the extra slad[console] brings can be imported."""
    return is_installed("aiohttp") and is_installed("jinja2")
