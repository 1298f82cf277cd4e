"""The versions of the configuration in the database. Each is the whole document; secrets in it are encrypted."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from karnak_core.config.default import default_configuration
from karnak_core.config.export import to_document
from karnak_core.config.load import disabled_in, load
from karnak_core.config.models import Configuration
from karnak_core.config.plan import changes
from karnak_core.config.seal import sealed
from karnak_core.database import Database
from karnak_core.database.secrets import Vault
from karnak_core.database.tables import config_version, delivery
from karnak_core.errors import ConfigProblem, ConfigurationError, Conflict, NotFound, PluginError
from karnak_core.model import now_ms
from karnak_core.plugins import Plugins
from karnak_core.projects import generate_missing

logger = logging.getLogger(__name__)

MAX_COMMENT = 255
MAX_AUTHOR = 128


class PluginLoader(Protocol):
    """Something that loads plugins, such as the ``Place`` that a command was given."""

    def plugins(self, disabled: Collection[str] = ()) -> Plugins:
        """Load the installed plugins without the disabled ones."""
        ...


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version as ``karnak history`` lists it."""

    number: int
    created_at: int
    author: str
    comment: str
    changes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What applying did."""

    #: the version that applies now
    version: int
    #: what it changed, one line each
    changes: tuple[str, ...]
    #: false: everything was as asked for, and no version was made
    new: bool


def version_number(db: Database) -> int:
    """Return the number of the version that applies; 0: none was ever applied. Cheap enough to ask every second."""
    with db.read() as connection:
        return _newest(connection)


def _newest(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.max(config_version.c.id))).scalar() or 0


def disabled_plugins(db: Database) -> tuple[str, ...]:
    """Return the plugins that the version that applies disables: load plugins without these before reading it."""
    with db.read() as connection:
        return disabled_in(_document(connection, _newest(connection)) or {})


def current(db: Database, plugins: Plugins) -> tuple[int, Configuration] | None:
    """Return the version that applies and its configuration; None: none was ever applied.

    Raises
    ------
    ConfigurationError
        It does not fit the plugins that are loaded now.
    """
    with db.read() as connection:
        return _current(connection, plugins)


def current_or_default(db: Database, plugins: Plugins) -> tuple[int, Configuration]:
    """Return the version that applies and its configuration; 0 and the default when none was ever applied.

    Raises
    ------
    ConfigurationError
        It does not fit the plugins that are loaded now.
    """
    return current(db, plugins) or (0, default_configuration(plugins))


def _current(connection: sa.Connection, plugins: Plugins) -> tuple[int, Configuration] | None:
    number = _newest(connection)
    document = _document(connection, number)
    return None if document is None else (number, load(document, plugins, ask_plugins=False))


def _document(connection: sa.Connection, number: int) -> dict[str, Any] | None:
    query = sa.select(config_version.c.document).where(config_version.c.id == number)
    document: dict[str, Any] | None = connection.execute(query).scalar()
    return document


def apply(
    db: Database,
    plugins: Plugins | PluginLoader,
    vault: Vault,
    configuration: Configuration,
    *,
    author: str,
    comment: str = "",
    expected: int | None = None,
    within: Callable[[sa.Connection, Applied], None] | None = None,
) -> Applied:
    """Make ``configuration`` the version that applies, in one transaction.

    Projects that have no secret get one in it.

    Parameters
    ----------
    plugins
        To read what applies so far with, and to tell what changes; given what loads them, that is read without the
        plugins that it disables.
    expected
        The number of the version that this one was made from; None: it replaces whatever applies.
    within
        Called at the end of the transaction, to write down what was done; where it raises, nothing is changed.

    Raises
    ------
    Conflict
        Another version than the expected one applies by now.
    ConfigurationError
        A stored secret does not open with the key, or the comment is too long.
    """
    if len(comment) > MAX_COMMENT:
        words = f"is {len(comment)} characters long; at most {MAX_COMMENT} are allowed"
        raise ConfigurationError([ConfigProblem(place="comment", message=words)])
    with db.write() as connection:
        if not db.is_sqlite:
            # readers go on; a second writer waits, and then sees this one's version
            connection.exec_driver_sql("LOCK TABLE config_version IN SHARE ROW EXCLUSIVE MODE")
        number = _newest(connection)
        if expected is not None and expected != number:
            raise Conflict(f"the configuration is version {number} by now, and this was made from version {expected}")
        old = _before(connection, plugins)
        configuration = sealed(configuration, vault, old)
        document = to_document(configuration)
        without = [project.name for project in configuration.projects if project.secret is None]
        generate_missing(connection, db.is_sqlite, vault, without, author)
        if number and document == _document(connection, number):
            done = Applied(version=number, changes=(), new=False)
            if within is not None:
                within(connection, done)
            return done
        lines = tuple(_lines(connection, number, old, configuration))
        connection.execute(
            sa.insert(config_version).values(
                id=number + 1,
                created_at=now_ms(),
                author=author[:MAX_AUTHOR],
                comment=comment,
                document=document,
                changes=list(lines),
            )
        )
        done = Applied(version=number + 1, changes=lines, new=True)
        if within is not None:
            within(connection, done)
    return done


def before(db: Database, plugins: Plugins | PluginLoader) -> Configuration | None:
    """Return what applies, or the default; None: it does not fit the installed plugins, and can only be replaced."""
    with db.read() as connection:
        return _before(connection, plugins)


def _before(connection: sa.Connection, plugins: Plugins | PluginLoader) -> Configuration | None:
    document = _document(connection, _newest(connection))
    try:
        fitting = _without(plugins, document or {})
        return default_configuration(fitting) if document is None else load(document, fitting, ask_plugins=False)
    except (ConfigurationError, PluginError):
        return None


def _without(plugins: Plugins | PluginLoader, document: Mapping[str, Any]) -> Plugins:
    return plugins if isinstance(plugins, Plugins) else plugins.plugins(disabled_in(document))


def open_deliveries(connection: sa.Connection, node: str, destination: str) -> int:
    """Return how many deliveries to a destination are not finished."""
    query = sa.select(sa.func.count()).where(
        delivery.c.forward_node == node, delivery.c.destination == destination, delivery.c.not_before.is_not(None)
    )
    return connection.execute(query).scalar() or 0


def _lines(connection: sa.Connection, number: int, old: Configuration | None, new: Configuration) -> list[str]:
    if old is None:
        replaced = f"version {number}" if number else "the default"
        return [f"~ everything: {replaced} does not fit the plugins and is replaced"]
    return changes(old, new, functools.partial(open_deliveries, connection))


def history(db: Database, *, before: int | None = None, limit: int | None = None) -> list[Version]:
    """Return the versions, the newest first: those before a number, at most so many."""
    columns = [column for column in config_version.c if column.name != "document"]
    query = sa.select(*columns).order_by(config_version.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(config_version.c.id < before)
    with db.read() as connection:
        rows = connection.execute(query).all()
    return [_version(row) for row in rows]


def _version(row: Any) -> Version:
    return Version(
        number=row.id,
        created_at=row.created_at,
        author=row.author,
        comment=row.comment,
        changes=tuple(row.changes),
    )


def documents(db: Database, first: int, last: int, most: int) -> Iterator[tuple[Version, dict[str, Any]]]:
    """Yield versions with their documents, the newest first: those of these numbers, at most so many."""
    numbers = sa.and_(config_version.c.id >= first, config_version.c.id <= last)
    query = sa.select(config_version).where(numbers).order_by(config_version.c.id.desc()).limit(most)
    with db.read() as connection:
        for row in connection.execution_options(yield_per=10).execute(query):
            yield _version(row), row.document


def version(db: Database, plugins: Plugins | PluginLoader, number: int) -> Configuration:
    """Return the configuration of one version, checked by the plugins that are installed now.

    Raises
    ------
    NotFound
        There is no such version.
    ConfigurationError, PluginError
        It does not fit the plugins any more.
    """
    with db.read() as connection:
        document = _document(connection, number)
        newest = _newest(connection)
    if document is None:
        known = f"1 to {newest}" if newest else "none was ever applied"
        raise NotFound(f"there is no version {number}; known: {known}")
    return load(document, _without(plugins, document))


def rollback(
    db: Database, plugins: Plugins | PluginLoader, vault: Vault, number: int, *, author: str, comment: str = ""
) -> Applied:
    """Make the configuration of an earlier version apply again, as a new version; raises as ``version`` does."""
    configuration = version(db, plugins, number)
    comment = comment or f"rollback to version {number}"
    return apply(db, plugins, vault, configuration, author=author, comment=comment)


class Following:
    """The configuration that applies; ``refresh`` as often as changes shall be seen. For any number of threads.

    Raises
    ------
    ConfigurationError
        When made: what applies does not fit the plugins, and there is nothing older to go on with.
    """

    def __init__(self, db: Database, plugins: Plugins) -> None:
        self._db = db
        #: the plugins of this process, as loaded at start
        self.plugins = plugins
        self._lock = threading.Lock()
        self._current = current_or_default(db, plugins)
        self._seen = self._current[0]

    @classmethod
    def start(cls, db: Database, loader: PluginLoader) -> Following:
        """Load the plugins that the configuration does not disable, and follow it; raises PluginError, too."""
        return cls(db, loader.plugins(disabled_plugins(db)))

    @property
    def configuration(self) -> Configuration:
        """What applies; ask again each time, or keep it for as long as one thing has to be of one piece."""
        return self._current[1]

    @property
    def version(self) -> int:
        """The number of the version; 0: the default, none was ever applied."""
        return self._current[0]

    @property
    def current(self) -> tuple[int, Configuration]:
        """Version and configuration that belong together."""
        return self._current

    def is_up_to_date(self) -> bool:
        """Look for a newer version; say whether what applied until now is the newest: what it lacks was removed.

        Where it is not, others may follow a newer version already, and what they have stored is of that.
        """
        return not self.refresh() and self._seen == self._current[0]

    def refresh(self) -> bool:
        """Look for a newer version; say whether the configuration has changed.

        A version that does not fit the plugins of this process is logged once and passed over: the one before
        goes on.
        """
        with self._lock:
            if version_number(self._db) == self._seen:
                return False
            try:
                self._current = current_or_default(self._db, self.plugins)
            except ConfigurationError as error:
                self._seen = version_number(self._db)
                logger.error(
                    "version %d of the configuration cannot be used and version %d goes on; plugins are loaded at "
                    "start, so a restart may be needed: %s",
                    self._seen,
                    self._current[0],
                    "; ".join(str(problem) for problem in error.problems),
                )
                return False
            self._seen = self._current[0]
            disabled = self.configuration.plugins.disabled
            if set(disabled) != self.plugins.disabled:
                logger.warning("plugins.disabled is now [%s]; restart the gateway for it", ", ".join(disabled))
            return True
