"""What became of a file, as one JSON object on a line, for programs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from karnak_core.tryout.diff import Row, Value
from karnak_core.tryout.one import Tried


def as_line(tried: Tried, number: int, *, masked: bool, with_changes: bool) -> str:
    """Return the object, without a line end.

    Parameters
    ----------
    number
        Of the file, from 1.
    masked
        True: the names of files, which may be those of patients, and UIDs that are still the old ones are left out.
    with_changes
        False: what changed is left out.
    """
    uids = tried.has_new_uids or not masked
    entry: dict[str, Any] = {
        "number": number,
        "file": None if masked else _text(tried.path),
        "outcome": str(tried.ending),
        "reason": tried.reason,
        "excluded_by": tried.excluded_by,
        "output": None if masked or tried.output is None else _text(tried.output),
        "modality": tried.modality,
        "sop_class_uid": tried.sop_class_uid,
        "study_instance_uid": tried.study_instance_uid if uids else None,
        "series_instance_uid": tried.series_instance_uid if uids else None,
        "sop_instance_uid": tried.sop_instance_uid if uids else None,
        "transfer_syntax_uid": tried.transfer_syntax_uid,
        "cleaned": list(tried.cleaned),
        "pictures": [str(picture) for picture in tried.pictures],
    }
    if with_changes:
        entry["changes"] = [_row(row) for row in tried.rows]
    return json.dumps(entry, ensure_ascii=False)


def _text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


def _row(row: Row) -> dict[str, Any]:
    return {
        "what": str(row.what),
        "path": row.path,
        "name": row.name,
        "vr": row.vr,
        "before": _value(row.before),
        "after": _value(row.after),
        "element": row.element,
        "codename": row.codename,
    }


def _value(value: Value | None) -> dict[str, Any] | None:
    return None if value is None else {"text": value.text, "characters": value.characters}
