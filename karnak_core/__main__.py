"""``python -m karnak_core`` is ``karnak``."""

from karnak_core.cli import main

main()
