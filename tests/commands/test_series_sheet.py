"""The table of series: its columns, its times, and that it is made a piece at a time."""

from __future__ import annotations

import csv
import io
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from karnak_core.cli import cli
from karnak_core.commands.cells import cell
from karnak_core.commands.series_sheet import COLUMNS, _dicom_time, series_rows
from karnak_core.config.models import Configuration
from karnak_core.database import Database, open_database
from karnak_core.database.tables import delivery, instance
from karnak_core.spool.views import Filter, deliveries

PER_STUDY = 100


def fill(database: Database, first: int, last: int) -> None:
    numbers = range(first, last)
    with database.write() as connection:
        connection.execute(
            sa.insert(instance),
            [
                {
                    "id": n, "forward_node": "FORWARD", "calling_ae_title": "CT1", "peer_host": "127.0.0.1",
                    "received_at": n, "sop_class_uid": "1.2", "sop_instance_uid": f"2.25.{n}",
                    "study_instance_uid": f"2.25.{n // PER_STUDY}", "series_instance_uid": f"2.26.{n // PER_STUDY}",
                    "transfer_syntax_uid": "1.2", "path": None, "dataset_offset": 1, "size": 1,
                    "facts": {"PatientID": f"P{n}", "StudyDescription": "x" * 100},
                }
                for n in numbers
            ],
        )  # fmt: skip
        connection.execute(
            sa.insert(delivery),
            [
                {"instance_id": n, "forward_node": "FORWARD", "destination": "pacs", "state": "sent", "created_at": n}
                for n in numbers
            ],
        )


def test_an_export_takes_no_more_memory_for_ten_times_as_much(tmp_path: Path) -> None:
    def peak(database: Database) -> tuple[int, int, int]:
        """Rows of both kinds, and the bytes that were in use at once."""
        tracemalloc.start()
        with database.read() as connection:
            singles = sum(1 for _ in deliveries(connection, Filter()))
            _, most = tracemalloc.get_traced_memory()
            series = sum(1 for _ in series_rows(connection, Configuration(), Filter()))
        tracemalloc.stop()
        return singles, series, most

    with closing(open_database(None, tmp_path)) as database:
        fill(database, 1, 2001)
        deliveries_once = peak(database)
        little = peak(database)
        fill(database, 2001, 20_001)
        much = peak(database)
    assert deliveries_once[:2] == little[:2] == (2000, 21)
    assert much[:2] == (20_000, 201)
    assert much[2] < 2 * little[2]


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("20260131", "101112.5", "31/01/2026 10:11:12.500000"),
        ("20260131", "101112", "31/01/2026 10:11:12.000000"),
        ("20260131", "1011", "31/01/2026 10:11:00.000000"),
        ("20260131", "", "31/01/2026 00:00:00.000000"),
        ("20260131", "no time", "31/01/2026 00:00:00.000000"),
        ("January", "10", "January"),
        ("", "", ""),
    ],
)
def test_times_are_written_as_the_java_karnak_does(date: str, time: str, expected: str) -> None:
    assert _dicom_time({"StudyDate": date, "StudyTime": time}, "Study") == expected


def test_there_are_33_columns() -> None:
    assert (len(COLUMNS), len(set(COLUMNS))) == (33, 33)
    assert "Sent" in COLUMNS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("1.2.840", "1.2.840"),
        ("a=b", "a=b"),
        ("", ""),
        (None, ""),
        (-1, -1),
    ],
)
def test_text_that_would_be_a_formula_gets_an_apostrophe_before_it(value: Any, expected: Any) -> None:
    assert cell(value) == expected


@pytest.mark.parametrize(
    ("options", "column", "expected"),
    [
        ((), "reason", "'=HYPERLINK(1)"),
        (("--aggregate",), "Patient Id Original", "'@P1"),
        (("--aggregate",), "Reasons", "'=HYPERLINK(1)"),
    ],
)
def test_no_cell_of_an_export_is_a_formula(
    options: tuple[str, ...], column: str, expected: str, tmp_path: Path
) -> None:
    with closing(open_database(None, tmp_path)) as database:
        fill(database, 1, 2)
        with database.write() as connection:
            connection.execute(sa.update(instance).values(facts={"PatientID": "@P1"}))
            connection.execute(sa.update(delivery).values(state="failed", reason="=HYPERLINK(1)"))
    result = CliRunner().invoke(cli, ["deliveries", "export", *options, "--data", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (0, "")
    [row] = csv.DictReader(io.StringIO(result.stdout))
    assert row[column] == expected
