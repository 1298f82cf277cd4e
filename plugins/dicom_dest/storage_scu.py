"""The part of a ``dicom`` destination: sends instances over one association that stays open."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

from karnak_core import tls
from karnak_core.deliver.conversion import conversion
from karnak_core.dimse import (
    Association,
    AssociationRejected,
    DimseError,
    ProposedContext,
    Timeouts,
    TlsFailed,
    connect_tcp,
)
from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import OpenContext, Outgoing, Sent
from karnak_core.outcomes import c_store_answer
from karnak_plugins.dicom_dest.config import DicomDestination
from karnak_plugins.dicom_dest.contexts import Pair, pairs, to_propose

VERIFICATION = "1.2.840.10008.1.1"


class StorageSCU:
    """Sends by C-STORE; one association, used by one thread."""

    def __init__(self, config: DicomDestination, context: OpenContext) -> None:
        self._config = config
        self._calling_ae_title = config.calling_ae_title or context.forward_node
        self._host, self._port = config.address(context)
        self._peer = f"{config.ae_title} at {self._host}:{self._port}"
        self._workspace = context.data_directory / "tmp"
        self._association: Association | None = None
        self._proposed: dict[Pair, None] = {}
        #: by message ID: what goes out instead of what was asked for
        self._converted: dict[int, Outgoing] = {}
        #: what the last TLS handshake brought about, for people
        self._secured = ""

    def transfer_syntaxes(self, outgoing: Outgoing) -> Sequence[str]:
        """Return the transfer syntaxes that the open association accepted for the SOP class."""
        if self._association is None:
            return ()
        return [
            syntax
            for sop_class, syntax in self._proposed
            if sop_class == outgoing.sop_class_uid and self._association.accepts(sop_class, syntax) is not None
        ]

    def send(self, outgoing: Outgoing) -> Sent:
        """Send one instance and wait for its response."""
        for _, answer in self.send_batch([outgoing]):
            if isinstance(answer, Sent):
                return answer
            raise answer
        raise Unreachable(f"{self._peer}: no answer")

    def send_batch(self, batch: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Sent | DeliveryError]]:
        """Send in order, as many ahead of their responses as the peer allows."""
        remaining = list(batch)
        while remaining:
            try:
                association = self._associate(remaining)
            except DeliveryError as error:
                yield remaining[0], error
                return
            ready = [outgoing for outgoing in remaining if all(pair in self._proposed for pair in pairs(outgoing))]
            done = set(map(id, ready))
            yield from self._send_over(association, ready)
            if self._association is None:
                return
            remaining = [outgoing for outgoing in remaining if id(outgoing) not in done]

    def probe(self) -> str:
        """Verify with a C-ECHO on an association of its own; say how the connection is secured."""
        try:
            with_echo = self._open([(VERIFICATION, "1.2.840.10008.1.2")])
        except DimseError as error:
            raise _as_delivery_error(error) from error
        try:
            status = with_echo.send_c_echo()
        except DimseError as error:
            raise _as_delivery_error(error) from error
        finally:
            with_echo.release()
        if status != 0x0000:
            raise Unreachable(f"{self._peer}: C-ECHO answered with 0x{status:04X}")
        answer = f"{self._peer} accepts the association as {self._calling_ae_title} and answers C-ECHO with success"
        return f"{answer}; {self._secured}" if self._secured else answer

    def close(self) -> None:
        """Release the association."""
        association, self._association = self._association, None
        if association is not None:
            with suppress(DimseError):
                association.release()

    def _associate(self, batch: Sequence[Outgoing]) -> Association:
        """Return an association that was asked for all that the first instance needs; the open one if it will do."""
        if self._association is not None and not self._association.is_alive():
            self._drop()
        missing = any(pair not in self._proposed for outgoing in batch for pair in pairs(outgoing))
        if self._association is not None and not missing:
            return self._association
        self.close()
        proposed = to_propose(batch, self._proposed)
        try:
            self._association = self._open(proposed)
        except DimseError as error:
            raise _as_delivery_error(error) from error
        self._proposed = dict.fromkeys(proposed)
        return self._association

    def _open(self, proposed: Sequence[Pair]) -> Association:
        config = self._config
        return Association.open(
            self._host,
            self._port,
            calling_ae_title=self._calling_ae_title,
            called_ae_title=config.ae_title,
            contexts=[ProposedContext(sop_class, (syntax,)) for sop_class, syntax in proposed],
            timeouts=Timeouts(
                connect=config.connect_timeout, acse=config.association_timeout, dimse=config.response_timeout
            ),
            connect=self._connect,
        )

    def _connect(self, host: str, port: int, timeout: float) -> socket.socket:
        if self._config.tls is None:
            return connect_tcp(host, port, timeout)
        secured = tls.connect(host, port, timeout, self._config.tls)
        self._secured = tls.describe_peer(secured)
        return secured

    def _send_over(
        self, association: Association, batch: Sequence[Outgoing]
    ) -> Iterator[tuple[Outgoing, Sent | DeliveryError]]:
        waiting: dict[int, Outgoing] = {}
        try:
            for outgoing in batch:
                pair = next((pair for pair in pairs(outgoing) if association.accepts(*pair) is not None), None)
                if pair is None:
                    yield outgoing, self._no_context(outgoing)
                    continue
                if len(waiting) >= association.window:
                    yield self._answer(association, waiting)
                try:
                    waiting[self._start(association, outgoing, pair)] = outgoing
                except DimseError:
                    waiting[-1] = outgoing
                    raise
                except DeliveryError as error:
                    yield outgoing, error
                except (OSError, EOFError) as error:
                    broken = not association.is_alive()
                    yield outgoing, _unreadable(error)
                    if broken:
                        # a part of it was sent: what was under way before it, and what follows, goes again
                        self._drop()
                        return
            while waiting:
                yield self._answer(association, waiting)
        except DimseError as error:
            # what was under way has an unknown outcome: it goes again, over another association
            self._drop()
            failure = _as_delivery_error(error)
            for outgoing in waiting.values():
                yield outgoing, failure
        except GeneratorExit:
            # nobody waits for the responses any more; the association cannot be used with them still to come
            if waiting:
                self._drop()
            raise

    def _start(self, association: Association, outgoing: Outgoing, pair: Pair) -> int:
        context_id = association.accepts(*pair)
        assert context_id is not None
        if pair[1] == outgoing.transfer_syntax_uid:
            return _start(association, outgoing, context_id)
        convert = outgoing.convert or conversion(outgoing, self._workspace)
        with ExitStack() as stack:
            try:
                other = stack.enter_context(convert(pair[1]))
            except Permanent as error:
                raise Permanent(
                    f"{self._peer} does not take transfer syntax {outgoing.transfer_syntax_uid}, and the instance "
                    f"cannot be sent in {pair[1]}: {error.reason}"
                ) from error
            message_id = _start(association, other, context_id)
        # its file is gone, and that nobody looks for any more
        self._converted[message_id] = replace(other, path=other.source, alternatives=(), convert=None)
        return message_id

    def _answer(self, association: Association, waiting: dict[int, Outgoing]) -> tuple[Outgoing, Sent | DeliveryError]:
        response = association.next_response()
        outgoing = waiting.pop(response.message_id)
        answer = c_store_answer(response.status, response.error_comment, self._peer)
        converted = self._converted.pop(response.message_id, None)
        return outgoing, replace(answer, outgoing=converted) if isinstance(answer, Sent) and converted else answer

    def _no_context(self, outgoing: Outgoing) -> Permanent:
        syntaxes = ", ".join(syntax for _, syntax in pairs(outgoing))
        return Permanent(
            f"{self._peer} accepts SOP class {outgoing.sop_class_uid} in none of the transfer syntaxes {syntaxes}"
        )

    def _drop(self) -> None:
        association, self._association = self._association, None
        self._converted.clear()
        if association is not None:
            association.abort()


def _start(association: Association, outgoing: Outgoing, context_id: int) -> int:
    with outgoing.open() as file:
        return association.start_c_store(
            outgoing.sop_class_uid,
            outgoing.sop_instance_uid,
            context_id,
            file,
            offset=outgoing.dataset_offset,
            length=outgoing.size - outgoing.dataset_offset,
        )


def _unreadable(error: OSError | EOFError) -> DeliveryError:
    """Return what it means that an instance cannot be read on its way out."""
    if isinstance(error, EOFError):
        return Permanent("the spool file is shorter than what was received")
    if isinstance(error, FileNotFoundError):
        return Permanent("the spool file is missing")
    return Retryable(f"the spool file cannot be read: {error.strerror}")


def _as_delivery_error(error: DimseError) -> DeliveryError:
    if isinstance(error, TlsFailed) or (isinstance(error, AssociationRejected) and error.permanent):
        return Misconfigured(str(error))
    return Unreachable(str(error))
