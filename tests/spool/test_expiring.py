"""When tokens of follow-ups expire, as it was told last."""

from __future__ import annotations

from karnak_core.database import Database
from karnak_core.spool import expiring
from karnak_core.spool.expiring import Expiring

ALBUM, OTHER = ("FORWARD", "cloud", "album"), ("FORWARD", "cloud", "other")


def known(database: Database) -> list[Expiring]:
    with database.read() as connection:
        return expiring.read(connection)


def test_what_was_told_last_is_kept_and_what_nothing_was_told_of_stays(database: Database) -> None:
    with database.write() as connection:
        expiring.keep(connection, ALBUM, "aaaaaa", {"source token": 1000, "destination token": 2000})
        expiring.keep(connection, OTHER, "cccccc", {"source token": 3000, "destination token": None})
    with database.write() as connection:
        expiring.keep(connection, ALBUM, "bbbbbb", {"destination token": 4000})
    source = Expiring(of=ALBUM, name="source token", secrets="aaaaaa", at=1000)
    other = Expiring(of=OTHER, name="source token", secrets="cccccc", at=3000)
    assert known(database) == [
        Expiring(of=ALBUM, name="destination token", secrets="bbbbbb", at=4000),
        source,
        other,
    ]
    with database.write() as connection:
        expiring.keep(connection, ALBUM, "bbbbbb", {"destination token": None})
        expiring.keep(connection, ALBUM, "bbbbbb", {})
    assert known(database) == [source, other]


def test_what_is_configured_no_more_is_forgotten(database: Database) -> None:
    with database.write() as connection:
        for of in (ALBUM, OTHER):
            expiring.keep(connection, of, "aaaaaa", {"a token": 1000, "another": 2000})
        assert expiring.forget_all_but(connection, {OTHER, ("FORWARD", "cloud", "new")}) == 1
    assert {one.of for one in known(database)} == {OTHER}


def test_name_that_no_column_takes_is_kept_as_far_as_it_goes(database: Database) -> None:
    with database.write() as connection:
        expiring.keep(connection, ALBUM, "aaaaaa", {"\0" + "x" * 100: 1000})
    assert [one.name for one in known(database)] == ["x" * 80]
