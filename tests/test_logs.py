"""What is logged of an exception: where it came from, never what it says of a patient."""

from __future__ import annotations

import subprocess
import sys

import pytest

from karnak_core.errors import Permanent
from karnak_core.logs import without_values

NAME = "Zebulon^Quentin"


def logged(error: BaseException) -> str:
    try:
        raise error
    except BaseException as caught:
        event = without_values(None, "error", {"event": "failed", "exc_info": caught})
    return str(event["exception"])


def test_the_text_of_an_exception_is_left_out_and_its_type_and_places_stay() -> None:
    text = logged(ValueError(f"could not convert string to float: '{NAME}'"))
    assert NAME not in text
    assert "builtins.ValueError" in text
    assert "test_logs.py" in text


def test_the_text_of_what_led_to_it_is_left_out_too() -> None:
    error = RuntimeError("second")
    error.__cause__ = ValueError(NAME)
    text = logged(error)
    assert NAME not in text
    assert "builtins.ValueError" in text
    assert text.index("ValueError") < text.index("RuntimeError")


@pytest.mark.parametrize(
    ("error", "told"),
    [(Permanent("the spool file is missing"), "the spool file is missing"), (OSError(28, "No space left"), "No space")],
)
def test_errors_that_never_hold_a_value_say_what_is_wrong(error: Exception, told: str) -> None:
    assert told in logged(error)


@pytest.mark.parametrize("how", ["logger.exception('failed')", "logger.error('failed', exc_info=error)"])
def test_a_process_of_the_gateway_logs_no_text_of_an_exception(how: str) -> None:
    program = f"""
import logging
from karnak_core import logs
logs.configure(role="deliver")
logger = logging.getLogger("karnak_core.test")
try:
    float({NAME!r})
except ValueError as error:
    {how}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "ValueError" in done.stderr
    assert NAME not in done.stderr
