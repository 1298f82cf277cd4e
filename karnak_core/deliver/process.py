"""A delivery process: workers for its share of every destination's connections; the first one also keeps house."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from karnak_core.config.afterwards import by_key
from karnak_core.config.models import Configuration, Destination
from karnak_core.config.profiles import named
from karnak_core.config.store import Following
from karnak_core.config.uses import authenticators_in
from karnak_core.database import Database
from karnak_core.deliver.clinical import clinical_log
from karnak_core.deliver.contexts import Contexts
from karnak_core.deliver.conversion import Conversion
from karnak_core.deliver.filters import Filters
from karnak_core.deliver.identities import Identities
from karnak_core.deliver.pipeline import Pipeline
from karnak_core.deliver.pixels import PixelRule
from karnak_core.deliver.retry import RetryRule
from karnak_core.deliver.worker import Route, Worker
from karnak_core.expressions import Condition
from karnak_core.model import FollowUp
from karnak_core.pixels import TranscodeOptions, transfer_syntax
from karnak_core.plugins import Plugins
from karnak_core.spool import health, leases, processes, retention, room, wakeups
from karnak_core.spool.afterwards import Watcher
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.wakeups import Wakeups

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 600.0

Key = tuple[str, str]


class DeliveryProcess:
    """Owns this process's workers and its leases."""

    def __init__(
        self,
        *,
        database: Database,
        folder: SpoolFolder,
        following: Following,
        plugins: Plugins,
        wake: Wakeups,
        contexts: Contexts,
        identities: Identities,
        workspace: Path,
        owner: str,
        node: str,
        index: int,
        count: int,
    ) -> None:
        self._database = database
        self._folder = folder
        self._following = following
        self._plugins = plugins
        self._wake = wake
        self._contexts = contexts
        self._identities = identities
        self._workspace = workspace
        self._owner = owner
        self._node = node
        #: this is the ``index``-th of ``count`` delivery processes, counted from 0
        self._index, self._count = index, count
        self._workers: dict[Key, list[Worker]] = {}
        self._bells: dict[str, Doorbell] = {}
        self._changed = threading.Event()
        #: a worker does not know whether it has leased something
        self._doubt = threading.Event()

    def run(self, stop: threading.Event, grace: float, ready: Callable[[], None]) -> None:
        """Deliver until ``stop`` is set; then let what is in flight finish for ``grace`` seconds."""
        with self._database.write() as connection:
            processes.register(connection, self._owner, self._node, "deliver")
        self._wake.subscribe(self._ring)
        self._replace_workers(None, self._following.configuration)
        ready()
        beat_at = kept_at = 0.0
        try:
            while not stop.is_set():
                if self._doubt.is_set():
                    logger.error("the connection to the ledger broke in a claim; this process ends and is started anew")
                    return
                now = time.monotonic()
                if now - beat_at >= processes.HEARTBEAT_SECONDS:
                    beat_at = now
                    if not self._beat():
                        return
                if self._index == 0 and now - kept_at >= HOUSEKEEPING_SECONDS:
                    kept_at = now
                    self._keep_house()
                if self._index == 0:
                    self._give_back()
                self._changed.wait(FOLLOW_SECONDS)
                self._changed.clear()
                self._follow()
        finally:
            self._stop_workers([worker for workers in self._workers.values() for worker in workers], grace)
            self._contexts.close_all_but(None)
            with self._database.write() as connection:
                leases.release(connection, [self._owner])
            self._wake.close()

    def _tell(self) -> None:
        self._wake.publish([wakeups.AFTERWARDS])

    def _ring(self, topic: str) -> None:
        if topic == wakeups.CONFIGURATION:
            self._changed.set()
        elif (bell := self._bells.get(topic)) is not None:
            bell.ring()

    def _beat(self) -> bool:
        try:
            with self._database.write(durable=False) as connection:
                if not processes.heartbeat(connection, self._owner):
                    # e.g. suspended for long: others have our deliveries now
                    logger.error("the leases of this process were given away; it ends and is started anew")
                    return False
                released = processes.release_unseen(connection)
        except Exception:
            logger.exception("cannot reach the ledger")
            return True
        if released:
            logger.warning("%d deliveries of processes that are gone are pending again", released)
        return True

    def _give_back(self) -> None:
        try:
            given = room.give_back(self._database, self._folder, self._following.configuration.storage.reserve)
        except Exception:
            logger.exception("the ledger cannot give back room; it is tried again")
            return
        if given:
            logger.info("the ledger gave back %d bytes that it does not need", given)

    def _keep_house(self) -> None:
        try:
            storage = self._following.configuration.storage
            forgotten = retention.forget_finished(
                self._database, days=storage.retention_days, at_most=storage.retention_deliveries
            )
            swept = retention.sweep_files(self._database, self._folder)
            room.give_back_spare(self._database)
            with self._database.write() as connection:
                failed = leases.fail_removed(connection, _keys(self._following.configuration))
        except Exception:
            logger.exception("housekeeping failed; it is tried again later")
            return
        logger.info(
            "housekeeping: %d finished deliveries forgotten, %d left-over files removed, %d deliveries to removed"
            " destinations failed",
            forgotten,
            swept,
            failed,
        )

    def _follow(self) -> None:
        old = self._following.configuration
        try:
            if not self._following.refresh():
                return
        except Exception:
            logger.exception("cannot look at the configuration; the last one stays in use")
            return
        self._replace_workers(old, self._following.configuration)
        if self._index == 0:
            with self._database.write() as connection:
                leases.fail_removed(connection, _keys(self._following.configuration))
        logger.info("following configuration version %s", self._following.version)

    def _replace_workers(self, old: Configuration | None, new: Configuration) -> None:
        """Start, stop and replace workers so that they fit; those of unchanged destinations go on."""
        before = _destinations(old) if old else {}
        after = _destinations(new)
        changed = [
            key
            for key, was in before.items()
            if old is None or after.get(key) != was or _used(old, was) != _used(new, was)
        ]
        stopped = [worker for key in changed for worker in self._workers.pop(key, [])]
        # in flight with the old settings: the new workers need not wait for them
        threading.Thread(target=self._retire, args=(stopped,), daemon=True).start()
        for key, destination in after.items():
            if key not in self._workers:
                if key in changed:
                    self._forget_trouble(key)
                self._start_workers(new, key, destination)

    def _start_workers(self, configuration: Configuration, key: Key, destination: Destination) -> None:
        self._workers[key] = []
        if not destination.enabled or destination.paused:
            return
        route = self._route(configuration, key[0], destination)
        bell = self._bells.setdefault(wakeups.topic(*key), Doorbell())
        # every process shares out the connections alike, whenever it was started
        first = zlib.crc32("/".join(key).encode())
        for slot in range(getattr(destination.options, "connections", 1)):
            if (first + slot) % self._count != self._index:
                continue
            worker = Worker(
                route,
                database=self._database,
                folder=self._folder,
                plugins=self._plugins,
                owner=self._owner,
                bell=bell,
                doubt=self._doubt,
                tell=self._tell,
            )
            self._workers[key].append(worker)
            worker.start()

    def _route(self, configuration: Configuration, forward_node: str, destination: Destination) -> Route:
        condition = Condition.parse(destination.condition) if destination.condition else None
        filters = Filters(destination.name, frozenset(destination.authorized_sop_classes), condition, self._plugins)
        kind = self._plugins.destinations[destination.type]
        context = self._contexts.of(configuration, forward_node, destination.name, kind)
        identity = self._identities.of(configuration, destination, context)
        return Route(
            forward_node=forward_node,
            destination=destination.name,
            kind=kind,
            options=destination.options,
            context=context,
            pipeline=Pipeline(
                filters,
                Conversion(identity=identity, pixels=_pixel_rule(destination), workspace=self._workspace),
                self._follow_ups(configuration, forward_node, destination),
            ),
            watchers=tuple(
                Watcher(part=key, interval=round(one.interval * 1000))
                for key, one in by_key(destination.notifications).items()
            ),
            version=self._following.version,
            clinical=clinical_log(configuration, destination, context.data_directory),
            rule=RetryRule(
                first=destination.retry_first,
                longest=destination.retry_longest,
                give_up_after=destination.retry_for,
            ),
        )

    def _follow_ups(
        self, configuration: Configuration, forward_node: str, destination: Destination
    ) -> Mapping[str, FollowUp]:
        opened: dict[str, FollowUp] = {}
        for key, configured in by_key(destination.follow_ups).items():
            kind = self._plugins.follow_ups[configured.type]
            context = self._contexts.of(configuration, forward_node, destination.name, kind)
            opened[key] = kind.open(configured.options, context)
        return opened

    def _forget_trouble(self, key: Key) -> None:
        with self._database.write() as connection:
            health.note_answer(connection, *key)

    def _retire(self, workers: list[Worker]) -> None:
        self._stop_workers(workers, 60.0)
        self._contexts.close_all_but(self._following.configuration)

    def _stop_workers(self, workers: list[Worker], grace: float) -> None:
        for worker in workers:
            worker.stop()
        deadline = time.monotonic() + grace
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        for pipeline in {worker.pipeline for worker in workers}:
            try:
                pipeline.close()
            except Exception:
                logger.exception("what a destination de-identifies with failed to close")


def _pixel_rule(destination: Destination) -> PixelRule:
    return PixelRule(
        wanted=transfer_syntax(destination.transfer_syntax),
        only_uncompressed=destination.only_uncompressed,
        options=TranscodeOptions(
            quality=destination.quality,
            ratio=destination.compression_ratio,
            near_lossless_error=destination.near_lossless_error,
        ),
    )


def _used(configuration: Configuration, destination: Destination) -> Any:
    """Return what a destination has been told of the configuration beside its own keys."""
    authenticators = {name: configuration.authenticators.get(name) for name in authenticators_in(destination)}
    chosen = destination.de_identification or destination.tag_morphing
    projects = [project for project in configuration.projects if chosen and project.name == chosen.project]
    profiles = [named(configuration.profiles, project.profile) for project in projects]
    # the authenticators that a profile uses are not looked for: any change of them counts
    everyone = configuration.authenticators if profiles else {}
    clinical = configuration.clinical_log if destination.de_identification else None
    return (
        configuration.application_entities,
        authenticators,
        projects,
        profiles,
        everyone,
        configuration.services,
        clinical,
    )


def _destinations(configuration: Configuration) -> Mapping[Key, Destination]:
    return {
        (node.ae_title, destination.name): destination
        for node in configuration.forward_nodes
        for destination in node.destinations
    }


def _keys(configuration: Configuration) -> list[Key]:
    return list(_destinations(configuration))
