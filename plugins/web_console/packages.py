"""The packages of the extra ``web``, without which the plugin is there and says what to install."""

from __future__ import annotations

from importlib.util import find_spec

#: what of the extra is imported
PACKAGES = ("fastapi", "uvicorn", "jinja2", "pwdlib", "argon2", "python_multipart", "markdown_it")


def missing() -> str:
    """Return what is to be said about packages that are not installed; empty: all are."""
    lacking = [name for name in PACKAGES if find_spec(name) is None]
    return f"needs {', '.join(lacking)}: pip install 'karnak-gateway[web]'" if lacking else ""
