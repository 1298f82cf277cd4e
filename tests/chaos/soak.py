"""Random faults for some minutes, then the invariant: nothing lost, nothing stuck, nothing leaked.

    python tests/chaos/soak.py [MINUTES] [--database URL] [--spare-processes]

Senders send all the time. Every few seconds something happens: a process is killed, the gateway is stopped or killed
and started again, a destination goes down, rejects, stalls, cuts, or refuses for a while. At the end everything is well
again: what was acknowledged has to be at both destinations, the ledger has to balance, and the spool has to be empty.
Prints memory and open files of the processes that lived longest, at their first and last look.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import LARGE, SMALL, Gateway, Peer, Sender, descriptors, eventually, memory, uid

from karnak_core.dimse import rejections

#: instances that each sender sends in one go
ROUND = 200


class Soak:
    def __init__(self, folder: Path, seed: int, database_url: str | None) -> None:
        self.random = random.Random(seed)
        self.peers = [Peer().up(), Peer().up()]
        self.gateway = Gateway(
            folder,
            [
                {
                    "name": f"pacs{index}",
                    "type": "dicom",
                    "ae_title": "PACS",
                    "hostname": "127.0.0.1",
                    "port": peer.port,
                    "response_timeout": 3,
                    "retry_first": 0.5,
                    "retry_longest": 2,
                }
                for index, peer in enumerate(self.peers)
            ],
            database_url=database_url,
            # what is forgotten cannot be counted
            storage={"retention_deliveries": 10**9},
        )
        self.faults: Counter[str] = Counter()
        self.acknowledged: set[int] = set()
        self.looks: dict[int, list[tuple[float, int, int]]] = {}
        self._lock = threading.Lock()
        self._next = 0
        self._stop = threading.Event()

    def run(self, seconds: float, *, spare_processes: bool) -> None:
        self.gateway.start()
        senders = [threading.Thread(target=self._send, args=(index,), daemon=True) for index in range(3)]
        for sender in senders:
            sender.start()
        end = time.monotonic() + seconds
        faults: list[Callable[[], None]] = [self.down, self.reject, self.stall, self.cut, self.refuse, self.nothing]
        if not spare_processes:
            faults += [self.kill_receiver, self.kill_deliverer, self.kill_all, self.restart]
        while time.monotonic() < end:
            fault = self.random.choice(faults)
            self.faults[fault.__name__] += 1
            fault()
            self.look()
            self.pause(0.5, 2)
        self._stop.set()
        for sender in senders:
            sender.join(60)
            assert not sender.is_alive(), "a sender hangs"

    def check(self) -> None:
        gateway = self.gateway
        gateway.wait_until_settled(120)
        print(f"{len(self.acknowledged)} acknowledged; ledger {gateway.picture()}; faults {dict(self.faults)}")
        for index, peer in enumerate(self.peers):
            missing = {uid(number) for number in self.acknowledged} - set(peer.taken)
            assert not missing, f"pacs{index} lacks {len(missing)} instances that were acknowledged"
        assert gateway.count("failed", "excluded") == 0
        gateway.assert_balanced()
        for pid, looks in sorted(self.looks.items(), key=lambda item: -len(item[1]))[:4]:
            (first, rss, files), (last, rss_last, files_last) = looks[0], looks[-1]
            print(
                f"process {pid}: {last - first:.0f} s, memory {rss >> 20} -> {rss_last >> 20} MiB, "
                f"files {files} -> {files_last}"
            )
        assert gateway.terminate() == 0
        gateway.start()
        eventually(lambda: not gateway.spool_files(), 15, "no file is left")
        gateway.assert_spool_matches()
        assert gateway.terminate() == 0

    def close(self) -> None:
        self._stop.set()
        self.gateway.kill()
        for peer in self.peers:
            peer.close()

    def _send(self, index: int) -> None:
        while not self._stop.is_set():
            with self._lock:
                first, self._next = self._next, self._next + ROUND
            sender = Sender(
                self.gateway.port, range(first, first + ROUND), instances=LARGE if index == 0 else SMALL
            ).start()
            while not sender.joined:
                try:
                    sender.join(1)
                except AssertionError:
                    if self._stop.is_set():
                        break
                    sender._ended.clear()
            with self._lock:
                self.acknowledged |= sender.acknowledged
            self._stop.wait(0.2)

    def look(self) -> None:
        process = self.gateway.process
        if process is None:
            return
        for pid in [process.pid, *self.gateway.children()]:
            try:
                look = (time.monotonic(), memory(pid), descriptors(pid))
            except OSError:
                continue
            if look[1]:
                # else it has just ended
                self.looks.setdefault(pid, []).append(look)

    def pause(self, least: float, most: float) -> None:
        self._stop.wait(self.random.uniform(least, most))

    # -- faults ----------------------------------------------------------------------------------------------

    def _kill(self, role: str) -> None:
        for pid in self.gateway.children(role)[:1]:
            os.kill(pid, signal.SIGKILL)

    def kill_receiver(self) -> None:
        self._kill("receive")

    def kill_deliverer(self) -> None:
        self._kill("deliver")

    def kill_all(self) -> None:
        self.gateway.kill()
        self.gateway.start()

    def restart(self) -> None:
        assert self.gateway.terminate() == 0
        self.gateway.start()

    def down(self) -> None:
        peer = self.random.choice(self.peers)
        peer.down()
        self.pause(1, 6)
        peer.up()

    def reject(self) -> None:
        peer = self.random.choice(self.peers)
        peer.rejection = self.random.choice(
            (rejections.LOCAL_LIMIT_EXCEEDED, rejections.CALLED_AE_TITLE_NOT_RECOGNISED)
        )
        peer.cut()
        self.pause(1, 4)
        peer.rejection = None

    def stall(self) -> None:
        peer = self.random.choice(self.peers)
        peer.may_answer.clear()
        self.pause(2, 6)
        peer.may_answer.set()

    def cut(self) -> None:
        self.random.choice(self.peers).aborts = self.random.randint(1, 3)

    def refuse(self) -> None:
        peer = self.random.choice(self.peers)
        peer.status = 0xA700
        self.pause(1, 4)
        peer.status = 0

    def nothing(self) -> None:
        self.pause(3, 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="?", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--database", metavar="URL")
    parser.add_argument("--spare-processes", action="store_true", help="kill none: shows what grows")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    with tempfile.TemporaryDirectory(prefix="karnak-soak-") as folder:
        soak = Soak(Path(folder), chosen.seed, chosen.database)
        try:
            soak.run(chosen.minutes * 60, spare_processes=chosen.spare_processes)
            soak.check()
        except BaseException:
            print(soak.gateway.tail())
            raise
        finally:
            soak.close()
    print("nothing lost, nothing stuck, nothing left over")


if __name__ == "__main__":
    main()
