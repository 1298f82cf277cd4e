"""See what a profile does before trusting it: files are de-identified as a gateway would, and every change is shown.

`try_file` and `try_files` do it; `diff_of` tells what changed, and `as_page`, `as_line` and `show_rows` show it to
browsers, programs and people.
"""

from __future__ import annotations

from karnak_core.tryout.diff import Row, Value, What, diff_of
from karnak_core.tryout.lines import as_line
from karnak_core.tryout.many import ProcessDied, Recipe, try_files, worthwhile_processes
from karnak_core.tryout.naming import files_in, written
from karnak_core.tryout.noting import Settings
from karnak_core.tryout.one import Ending, Output, Tried, try_file
from karnak_core.tryout.page import Heading, as_page
from karnak_core.tryout.tally import Tally
from karnak_core.tryout.terminal import show_rows, show_tally

__all__ = [
    "Ending",
    "Heading",
    "Output",
    "ProcessDied",
    "Recipe",
    "Row",
    "Settings",
    "Tally",
    "Tried",
    "Value",
    "What",
    "as_line",
    "as_page",
    "diff_of",
    "files_in",
    "show_rows",
    "show_tally",
    "try_file",
    "try_files",
    "worthwhile_processes",
    "written",
]
