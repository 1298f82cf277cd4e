"""Nothing that somebody else has changed meanwhile is overwritten or deleted by a program."""

from __future__ import annotations

import re

from web_support import ConsoleApp

#: never changed, and their numbers are used once; a group is named by what it is
WITHOUT_STATE = {"/api/v1/tokens/{token_id}", "/api/v1/tools/groups/{group}"}


def test_every_put_patch_and_delete_asks_for_what_was_seen(console_app: ConsoleApp) -> None:
    paths = console_app.app.openapi()["paths"]
    asked = {
        (method, path): any(one["name"].lower() == "if-match" for one in operation.get("parameters", ()))
        and "428" in operation["responses"]
        for path, operations in paths.items()
        for method, operation in operations.items()
        if method in ("put", "patch", "delete") and path not in WITHOUT_STATE
    }
    assert len(asked) > 20
    assert [one for one, asks in asked.items() if not asks] == []


def test_nothing_is_deleted_without_what_was_seen(console_app: ConsoleApp) -> None:
    program = console_app.with_token("read", "configuration", "pseudonyms", "tools", "users")
    paths = console_app.app.openapi()["paths"]
    deleted = [path for path in paths if "delete" in paths[path] and path not in WITHOUT_STATE]
    assert len(deleted) > 8
    for path in deleted:
        # whatever is there, or is not
        assert program.delete(re.sub(r"\{[^}]+\}", "1", path)).status_code == 428, path
