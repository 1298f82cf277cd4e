"""Karnak, a DICOM gateway: receive, keep, filter, forward, report."""

from karnak_core.hookspecs import hookimpl

__all__ = ["__version__", "hookimpl"]

__version__ = "0.1.0"
