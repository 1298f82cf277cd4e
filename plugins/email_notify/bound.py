"""Connections to mail servers that are cut when the time for a whole mail is over."""

from __future__ import annotations

import smtplib
import socket
from contextlib import suppress
from threading import Event, Thread
from typing import Any, Final

#: seconds between two cuts, where there was nothing to cut yet
CUT_AGAIN: Final = 1.0


class Bound:
    """Cuts a connection after ``seconds``; whoever reads from it then finds that it has ended."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._smtp: smtplib.SMTP | None = None
        self._end = Event()
        self.reached = False
        Thread(target=self._watch, name="mail in time", daemon=True).start()

    def of(self, smtp: smtplib.SMTP) -> None:
        """Cut this one; it may not have its socket yet."""
        self._smtp = smtp

    def end(self) -> None:
        """Cut nothing any more."""
        self._end.set()

    def _watch(self) -> None:
        if self._end.wait(self._seconds):
            return
        self.reached = True
        while True:
            self._cut()
            if self._end.wait(CUT_AGAIN):
                return

    def _cut(self) -> None:
        connection = self._smtp and self._smtp.sock
        if connection:
            with suppress(OSError):
                # not that of TLS, which would take the connection apart under who reads from it
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class BoundSMTP(smtplib.SMTP):
    """Without TLS at first."""

    def __init__(self, bound: Bound, *args: Any, **keys: Any) -> None:
        # the greeting is read while it is made
        bound.of(self)
        super().__init__(*args, **keys)


class BoundSMTPS(smtplib.SMTP_SSL):
    """With TLS from the beginning."""

    def __init__(self, bound: Bound, *args: Any, **keys: Any) -> None:
        bound.of(self)
        super().__init__(*args, **keys)
