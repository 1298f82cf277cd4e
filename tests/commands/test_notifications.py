"""What could not be told is seen, however much it is, and stays until a person decides."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from karnak_core.cli import cli
from karnak_core.database import open_database
from karnak_core.database.tables import notification
from karnak_core.model import now_ms
from karnak_core.spool import retention

MANY = 3000
REASON = "mail server mx:25 refuses the recipient ward@x.org: 550 unknown user"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a gateway that could tell nobody for long."""
    long_ago = now_ms() - 400 * retention.DAY_MS
    with closing(open_database(None, tmp_path)) as database, database.write() as connection:
        connection.execute(
            sa.insert(notification),
            [
                {
                    "forward_node": "FORWARD",
                    "destination": "pacs",
                    "part": "mail",
                    "study_instance_uid": f"1.2.{number}",
                    "state": "failed",
                    "reason": REASON,
                    "attempts": 1,
                    "not_before": long_ago,
                    "created_at": long_ago,
                    "finished_at": long_ago,
                    "summary": {},
                }
                for number in range(MANY)
            ],
        )
    return tmp_path


def karnak(data: Path, *arguments: str) -> Result:
    done = CliRunner().invoke(cli, [*arguments, "--data", str(data)], env={"COLUMNS": "250"})
    assert done.exit_code == 0, done.output
    return done


def test_thousands_that_failed_are_one_line_of_the_status(data: Path) -> None:
    said = karnak(data, "status").stdout
    assert said.count(REASON) == 1
    assert f"FORWARD/pacs notification mail: {MANY} failed, the oldest for" in said
    assert "karnak notifications list --state failed --destination FORWARD/pacs" in said
    (row,) = json.loads(karnak(data, "status", "--json").stdout)["notifications"]
    assert (row["failed"], row["pending"], row["reason"]) == (MANY, 0, REASON)


def test_the_newest_are_listed_and_all_for_programs(data: Path) -> None:
    some = karnak(data, "notifications", "list", "--state", "failed", "--destination", "FORWARD/pacs")
    assert some.stdout.count("failed") == 100
    assert some.stderr == "the newest 100 are shown; --limit shows more\n"
    every = karnak(data, "notifications", "list", "--json").stdout.splitlines()
    assert len(every) == MANY
    assert json.loads(every[0])["study_instance_uid"] == f"1.2.{MANY - 1}"


def test_none_goes_before_a_person_has_decided(data: Path) -> None:
    with closing(open_database(None, data)) as database:
        assert retention.forget_afterwards(database, days=0)["notification"] == 0
    tried = karnak(data, "notifications", "retry", "--study", "1.2.7").stdout
    assert tried == "1 notifications are tried again\n"
    given_up = karnak(data, "notifications", "discard", "--state", "failed", "--yes", "--all").stdout
    assert given_up == f"{MANY - 1} notifications are discarded\n"
    (row,) = json.loads(karnak(data, "status", "--json").stdout)["notifications"]
    assert (row["failed"], row["pending"]) == (0, 1)
