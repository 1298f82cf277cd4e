"""The API keeps to its own description, whatever is sent to it."""

from __future__ import annotations

import traceback
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from web_support import ConsoleApp

from karnak_plugins.web_console.access.roles import Scope

#: of every operation
EXAMPLES = 12
#: a value of the right type may still break a rule of the configuration, and is refused with the words of `check`
LEFT_OUT = [positive_data_acceptance]


@schemathesis.serializer("application/dicom")
def as_it_is(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Return the body of a request whose body is a file."""
    return bytes(value.data if hasattr(value, "data") else str(value).encode())


def test_every_answer_is_as_described(console_app: ConsoleApp) -> None:
    program = console_app.with_token(*Scope)
    headers = {"Authorization": program.headers["Authorization"], "Host": "127.0.0.1"}
    described = schemathesis.openapi.from_asgi("/api/v1/openapi.json", console_app.app, headers=headers)
    found: dict[str, str] = {}
    tried = 0
    for result in described.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answers_as_described(case: Any) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(headers=headers, excluded_checks=LEFT_OUT)

        try:
            answers_as_described()
        except (Exception, BaseExceptionGroup) as error:
            found[operation.label] = "".join(traceback.format_exception_only(error))
    assert tried > 20 * EXAMPLES
    assert not found, "\n\n".join(f"{label}: {said}" for label, said in found.items())
