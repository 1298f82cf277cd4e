"""``action.replace.api`` of a profile asks a real web service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydicom import Dataset
from web_service import Answer, Service

from karnak_core.deidentify import Excluded, Profile, Project
from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable
from karnak_core.lookups import Lookups
from karnak_core.testing import make_dataset

PROJECT = Project(name="STUDY-A", secret=bytes(range(16)))


@pytest.fixture
def lookups() -> Iterator[Lookups]:
    """What sends the requests."""
    made = Lookups({})
    yield made
    made.close()


def profile(url: str, *arguments: str, path: str = "/name") -> Profile:
    """Return a profile that asks for an institution's name."""
    lines = "\n".join(f"      {argument}" for argument in arguments)
    return Profile.from_yaml(f"""\
name: asks
version: "1"
profileElements:
  - name: asks
    codename: action.replace.api
    arguments:
      url: "{url}/{{{{getString(#Tag.PatientID)}}}}"
      responsePath: "{path}"
{lines}
    tags: ["(0008,0080)"]
""").require()


def institution(made: Profile, lookups: Lookups) -> str:
    """Return what is written."""
    ds: Dataset = make_dataset(PatientID="a/b c", InstitutionName="before")
    result = made.apply(ds, PROJECT, "PSN-1", fetch=lookups.fetch)
    assert not isinstance(result, Excluded)
    return str(result.dataset.InstitutionName)


def test_the_answer_is_written_and_asked_for_once(service: Service, lookups: Lookups) -> None:
    service.says(Answer.of({"name": "after"}))
    made = profile(service.url)
    assert [institution(made, lookups) for _ in range(3)] == ["after"] * 3
    assert [asked.path for asked in service.asked] == ["/a%2Fb%20c"]


def test_a_body_is_posted(service: Service, lookups: Lookups) -> None:
    service.says(Answer.of({"name": "after"}))
    body = """body: '{"id": "{{getString(#Tag.PatientID)}}"}'"""
    assert institution(profile(service.url, "method: post", body), lookups) == "after"
    assert (service.asked[0].method, service.asked[0].body) == ("POST", '{"id": "a/b c"}')


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer.of({}, 404), Permanent),
        (Answer.of({}, 403), Misconfigured),
        (Answer.of({}, 503), Retryable),
        (Answer(cut=True), Retryable),
        (Answer(200, b"no JSON"), Permanent),
        (Answer.of({"name": 7}), Permanent),
        (Answer.of({"name": ""}), Permanent),
        (Answer.of({"other": "x"}), Permanent),
    ],
)
def test_whatever_goes_wrong_the_default_is_written_or_nothing_is_sent(
    service: Service, lookups: Lookups, answer: Answer, kind: type[DeliveryError]
) -> None:
    service.says(answer)
    assert institution(profile(service.url, "defaultValue: instead"), lookups) == "instead"
    with pytest.raises(kind) as caught:
        institution(profile(service.url), lookups)
    assert "a/b" not in caught.value.reason


def test_an_authenticator_that_does_not_exist_is_an_error_like_any_other(service: Service, lookups: Lookups) -> None:
    with pytest.raises(Misconfigured):
        institution(profile(service.url, "authConfig: nobody"), lookups)
    assert institution(profile(service.url, "authConfig: nobody", "defaultValue: instead"), lookups) == "instead"
    assert service.asked == []
