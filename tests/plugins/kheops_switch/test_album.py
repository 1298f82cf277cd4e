"""One album: the request of the interface, tokens, conditions, and what every answer means."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from kheops_server import KheopsServer
from pydicom import Dataset

from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import Outgoing
from karnak_plugins.kheops_switch.album import Album

MakeAlbum = Callable[..., Album]
SERIES = ("1.2.3", "1.2.3.4")


def sent(series: str = SERIES[1], study: str = SERIES[0], number: int = 1) -> Outgoing:
    return Outgoing(
        path=Path(os.devnull),
        dataset_offset=0,
        size=0,
        sop_class_uid="1.2",
        sop_instance_uid=f"{series}.{number}",
        study_instance_uid=study,
        series_instance_uid=series,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )


def original(**elements: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def unread() -> Dataset:
    raise AssertionError("nobody needs the original")


def store(kheops: KheopsServer, series: tuple[str, str] = SERIES) -> None:
    kheops.stored[series] = ["1"]


def share(album: Album, outgoing: Outgoing | None = None, **elements: Any) -> str | None:
    return album.after_send(outgoing or sent(), original(**elements))


def test_series_is_shared_with_the_album_by_its_token(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    store(kheops)
    assert share(make_album()) == f"shared with the album by Kheops at 127.0.0.1:{kheops.port}"
    assert kheops.shared == {("ALBUM-1", SERIES): 1}
    assert all(kheops.tokens[name].introspected == 1 for name in ("SOURCE", "ALBUM-1"))


def test_tokens_are_asked_about_once_for_many_series(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    album = make_album()
    series = [("1.2", f"1.2.{number}") for number in range(8)]
    for one in series:
        store(kheops, one)
    threads = [threading.Thread(target=share, args=(album, sent(one[1], one[0]))) for one in series]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert kheops.in_album("ALBUM-1") == set(series)
    assert [token.introspected for token in kheops.tokens.values()] == [1, 1, 0]


def test_series_is_the_subject_without_a_look_at_the_original(make_album: MakeAlbum) -> None:
    assert make_album().subject(sent(), unread) == "1.2.3/1.2.3.4"


def test_condition_is_that_of_the_original_and_of_any_instance_of_the_series(make_album: MakeAlbum) -> None:
    album = make_album(condition="tagValueContains(#Tag.StudyDescription,'R2D2')")
    no, yes = original(StudyDescription="C3PO"), original(StudyDescription="with R2D2")
    assert album.subject(sent(number=1), lambda: no) is None
    assert album.subject(sent(number=2), lambda: yes) == "1.2.3/1.2.3.4"
    # another one of the series: what is stored has to be for one that meets it, whichever is stored first
    assert album.subject(sent(number=3), lambda: no) is None
    assert album.subject(sent("1.9"), lambda: no) is None


def test_condition_that_cannot_be_decided_keeps_the_series_out(make_album: MakeAlbum) -> None:
    album = make_album(condition="tagIsPresent(#Tag.Modality) ? null : false")
    broken = original(Modality="CT")  # neither true nor false
    with pytest.raises(Permanent, match="the condition cannot be decided"):
        album.subject(sent(), lambda: broken)
    with pytest.raises(Permanent, match="the condition cannot be decided"):
        album.after_send(sent(), broken)


def test_series_of_which_this_instance_does_not_meet_the_condition_any_more_is_left_to_others(
    kheops: KheopsServer, make_album: MakeAlbum
) -> None:
    store(kheops)
    album = make_album(condition="tagIsPresent(#Tag.Modality)")
    assert share(album) is None
    assert not kheops.asked


@pytest.mark.parametrize("uid", ["", "1.2/../3", "..", "1..2", "a", "1." + "2" * 70])
def test_what_is_no_uid_is_never_part_of_a_path(make_album: MakeAlbum, uid: str) -> None:
    album = make_album()
    for outgoing in (sent(series=uid), sent(study=uid)):
        with pytest.raises(Permanent, match="cannot be shared"):
            album.subject(outgoing, unread)
        with pytest.raises(Permanent, match="cannot be shared"):
            share(album, outgoing)


def test_series_that_kheops_does_not_know_yet_is_shared_later(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    album = make_album()
    with pytest.raises(Retryable, match="does not know the series yet") as caught:
        share(album)
    assert not isinstance(caught.value, Unreachable)
    store(kheops)
    share(album)
    assert kheops.in_album("ALBUM-1") == {SERIES}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, Misconfigured),
        (400, Permanent),
        (405, Permanent),
        (408, Retryable),
        (409, Retryable),
        (410, Permanent),
        (422, Permanent),
        (429, Unreachable),
        (500, Retryable),
        (502, Unreachable),
        (503, Unreachable),
        (504, Unreachable),
    ],
)
def test_every_status_has_its_meaning(
    kheops: KheopsServer, make_album: MakeAlbum, status: int, error: type[DeliveryError]
) -> None:
    kheops.answers = [status]
    with pytest.raises(DeliveryError, match=f"HTTP {status}") as caught:
        share(make_album())
    assert isinstance(caught.value, error)
    assert isinstance(caught.value, Unreachable) == (error is Unreachable)
    assert not kheops.shared


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_success_is_one(kheops: KheopsServer, make_album: MakeAlbum, status: int) -> None:
    kheops.answers = [status]
    share(make_album())


@pytest.mark.parametrize("status", [404, 409, 429, 503])
def test_kheops_says_when_to_come_again(kheops: KheopsServer, make_album: MakeAlbum, status: int) -> None:
    kheops.answers, kheops.retry_after = [status], "17"
    with pytest.raises(Retryable) as caught:
        share(make_album())
    assert caught.value.retry_after == 17


def test_redirect_is_not_followed_with_the_tokens(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    kheops.answers = [307]
    with pytest.raises(Misconfigured, match="redirects elsewhere"):
        share(make_album())
    assert sum(kheops.asked.values()) == 1


def test_kheops_that_is_away_or_hangs_is_unreachable(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    album = make_album(timeout=1)
    kheops.hanging = {"ALBUM-1"}
    with pytest.raises(Unreachable, match=r"does not answer within 1 s"):
        share(album)
    kheops.released.set()
    kheops.__exit__()
    with pytest.raises(Unreachable):
        share(make_album())


@pytest.mark.parametrize(
    ("name", "scope", "words"),
    [
        ("ALBUM-1", "read send", "the destination token lacks the scope write; it has: read send"),
        ("ALBUM-1", "rewrite written", "the destination token lacks the scope write"),
        ("ALBUM-1", "", "the destination token lacks the scope write; it has: none"),
        ("SOURCE", "read", "the source token lacks the scope send"),
        ("SOURCE", "read-send", "the source token lacks the scope read and send"),
        ("SOURCE", "write", "the source token lacks the scope read and send"),
    ],
)
def test_scopes_are_whole_words(kheops: KheopsServer, make_album: MakeAlbum, name: str, scope: str, words: str) -> None:
    store(kheops)
    kheops.tokens[name].scope = scope
    album = make_album()
    for ask in (lambda: share(album), album.probe):
        with pytest.raises(Misconfigured, match=words):
            ask()
    assert not kheops.asked


@pytest.mark.parametrize("name", ["SOURCE", "ALBUM-1"])
def test_token_that_is_not_active_is_named(kheops: KheopsServer, make_album: MakeAlbum, name: str) -> None:
    store(kheops)
    kheops.tokens[name].active = False
    with pytest.raises(
        Misconfigured, match=f"the {'source' if name == 'SOURCE' else 'destination'} token is not valid"
    ):
        share(make_album())
    assert not kheops.asked


def test_expiry_of_tokens_is_known_once_they_were_used(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    store(kheops)
    album = make_album()
    assert album.expiries() == {}
    kheops.tokens["ALBUM-1"].exp = expires = time.time() + 1000
    share(album)
    assert album.expiries() == {"source token": None, "destination token": int(expires * 1000)}
    assert "expires on 2" in album.probe()


def test_token_that_expires_while_it_is_believed_is_asked_about_again(
    kheops: KheopsServer, make_album: MakeAlbum
) -> None:
    store(kheops)
    album = make_album()
    kheops.tokens["ALBUM-1"].exp = expires = time.time() + 3
    share(album)
    while time.time() <= expires:
        threading.Event().wait(0.05)
    for _ in range(2):
        with pytest.raises(Misconfigured, match=r"the destination token expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC"):
            share(album)
    assert kheops.shared["ALBUM-1", SERIES] == 1
    assert album.expiries() == {"source token": None, "destination token": int(expires * 1000)}
    kheops.tokens["ALBUM-1"].exp = None  # renewed
    share(album)
    assert album.expiries() == {"source token": None, "destination token": None}


def test_token_that_has_expired_is_not_used_whatever_kheops_says(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    store(kheops)
    token = kheops.tokens["ALBUM-1"]
    token.exp, token.lingers = time.time() - 1, True
    with pytest.raises(Misconfigured, match="the destination token expired on 2"):
        make_album().probe()
    assert not kheops.asked


@pytest.mark.parametrize("name", ["SOURCE", "ALBUM-1"])
def test_token_that_was_revoked_since_it_was_asked_about_is_named(
    kheops: KheopsServer, make_album: MakeAlbum, name: str
) -> None:
    store(kheops)
    album = make_album()
    share(album)
    kheops.tokens[name].active = False
    with pytest.raises(
        Misconfigured, match=f"the {'source' if name == 'SOURCE' else 'destination'} token is not valid"
    ):
        share(album)


def test_tokens_that_are_valid_but_not_allowed_to_are_told_from_others(
    kheops: KheopsServer, make_album: MakeAlbum
) -> None:
    kheops.answers = [403]
    with pytest.raises(Misconfigured, match="HTTP 403; both tokens are valid"):
        share(make_album())


def test_certificate_of_kheops_is_checked(make_album: MakeAlbum, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with KheopsServer(tls=context) as secured:
        store(secured)
        with pytest.raises(Misconfigured, match="certificate that is not trusted"):
            share(make_album(api_url=secured.api_url))
        assert not secured.tokens["SOURCE"].introspected
        share(make_album(api_url=secured.api_url, tls={"ca": str(tmp_path / "ca.pem")}))
        assert secured.in_album("ALBUM-1") == {SERIES}


def test_another_server_is_not_taken_for_kheops(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    album = make_album(api_url=f"http://127.0.0.1:{kheops.port}/elsewhere")
    with pytest.raises(Misconfigured, match="knows no tokens: HTTP 404; is api_url right"):
        album.probe()
    assert kheops.faults == ["POST /elsewhere/token/introspect"]
    kheops.faults.clear()


def test_probe_says_what_kheops_knows_of_the_tokens(kheops: KheopsServer, make_album: MakeAlbum) -> None:
    kheops.tokens["SOURCE"].exp = 4102444800
    words = make_album().probe()
    assert words == (
        f"Kheops at 127.0.0.1:{kheops.port} answers; "
        "the source token is valid (read send; expires on 2100-01-01 00:00 UTC), "
        "the destination token is valid (write; Kheops does not say when it expires)"
    )


def test_tokens_are_read_when_they_are_used(kheops: KheopsServer, make_album: MakeAlbum, tmp_path: Path) -> None:
    store(kheops)
    path = tmp_path / "token"
    path.write_text("UNKNOWN\n")
    album = make_album(token={"file": str(path)})
    with pytest.raises(Misconfigured, match="the destination token is not valid"):
        share(album)
    path.write_text("ALBUM-2\n")
    share(album)
    assert kheops.in_album("ALBUM-2") == {SERIES}
    path.write_text("\n")
    with pytest.raises(Misconfigured, match="the destination token is empty"):
        share(album)
    path.unlink()
    with pytest.raises(Misconfigured, match="No such file"):
        share(album)


def test_no_token_is_in_what_is_shown(
    kheops: KheopsServer, make_album: MakeAlbum, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    said = []
    for answers in ([400], [401], [403], [500], [302]):
        kheops.answers = answers
        with pytest.raises(DeliveryError) as caught:
            share(make_album())
        said.append(caught.value.reason)
    kheops.tokens["ALBUM-1"].active = False
    with pytest.raises(Misconfigured) as caught:
        share(make_album(source="SOURCE"))
    said += [caught.value.reason, caplog.text, repr(make_album()), str(vars(make_album()))]
    assert not [text for text in said if "ALBUM-1" in text or "SOURCE" in text]
