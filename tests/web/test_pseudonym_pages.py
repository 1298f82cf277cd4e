"""External pseudonyms and who is behind them: pages."""

from __future__ import annotations

import html
import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ledger_support import HOSTILE, audited, configure, deliver, states
from web_support import Client, ConsoleApp, check_accessibility

from karnak_core.database.tables import patient_key
from karnak_core.model import State
from karnak_core.pseudonyms import store
from karnak_core.pseudonyms.entries import Entry

if TYPE_CHECKING:
    from conftest import RunningConsole
    from playwright.sync_api import Page

TOMORROW = (date.today() + timedelta(days=1)).isoformat()


@pytest.fixture
def with_project(console_app: ConsoleApp) -> ConsoleApp:
    """The application with the projects STUDY and OTHER."""
    configure(console_app.console, "pacs", projects=("STUDY", "OTHER"))
    return console_app


def stored(app: ConsoleApp, project: str = "STUDY") -> list[tuple[str, str]]:
    with app.console.database.read() as connection:
        return [(row.patient_id, row.pseudonym) for row in store.page(connection, project=project)]


def put(app: ConsoleApp, patient_id: str, pseudonym: str, project: str = "STUDY", **more: Any) -> int:
    with app.console.database.write() as connection:
        store.add(connection, project, Entry(patient_id=patient_id, pseudonym=pseudonym, **more), "test")
        (row,) = store.find(connection, pseudonym, project)
    return row.number


def waits(app: ConsoleApp, patient_id: str) -> int:
    return deliver(app.console, state=State.FAILED, waits_for=patient_key("STUDY", patient_id))


def hidden(page: str, action: str) -> dict[str, Any]:
    """Return the hidden fields of the first form with this action."""
    found = re.search(rf'<form method="post" action="{action}".*?</form>', page, re.DOTALL)
    assert found, action
    fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', found[0])
    named: dict[str, Any] = {name: html.unescape(value) for name, value in fields if name != "csrf_token"}
    if "content" in named:
        # a long file is in several
        named["content"] = [html.unescape(value) for name, value in fields if name == "content"]
    return named


def test_without_a_project_it_is_said_what_to_do(console_app: ConsoleApp) -> None:
    page = console_app.signed_in("ann", "user").get("/pseudonyms").text
    assert "There is no project yet." in page


def test_a_pseudonym_is_added_and_wakes_the_deliveries_that_wait_for_it(with_project: ConsoleApp) -> None:
    waits(with_project, "PID-17")
    waits(with_project, "PID-18")
    client = with_project.signed_in("ann", "user")
    fields = {"project": "STUDY", "pseudonym": " PSN-1 ", "patient_id": "PID-17", "expires": TOMORROW}
    answer = client.submit("/pseudonyms", fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/pseudonyms?project=STUDY")
    page = client.get("/pseudonyms?project=STUDY").text
    assert "1 pseudonym is stored; 1 delivery that failed is tried again now." in page
    assert "PSN-1" in page
    assert stored(with_project) == [("PID-17", "PSN-1")]
    assert states(with_project.console) == ["pending", "failed"]
    assert audited(with_project.console) == [
        ("add", "pseudonyms of project STUDY", "1; 1 deliveries woken; number 1"),
        ("look at", "pseudonyms of project STUDY", ""),
    ]


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"pseudonym": ""}, "pseudonym", "the pseudonym is missing"),
        ({"patient_id": "a\\b"}, "patient_id", "the Patient ID has a backslash"),
        ({"issuer": "x" * 65}, "issuer", "at most 64"),
        ({"expires": "2020-01-01"}, "expires", "this day is over"),
        ({"expires": "soon"}, "expires", "is no date"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(
    with_project: ConsoleApp, fields: dict[str, str], place: str, said: str
) -> None:
    good = {"project": "STUDY", "pseudonym": "PSN-1", "patient_id": "PID-17"}
    answer = with_project.signed_in().submit("/pseudonyms", {**good, **fields})
    assert answer.status_code == 422
    found = re.search(rf'<small id="{place}-error" class="error">([^<]*)</small>', answer.text)
    assert found
    assert said in html.unescape(found[1])
    assert stored(with_project) == []


def test_two_patients_never_share_a_pseudonym(with_project: ConsoleApp) -> None:
    put(with_project, "PID-17", "PSN-1")
    client = with_project.signed_in()
    answer = client.submit("/pseudonyms", {"project": "STUDY", "pseudonym": "PSN-1", "patient_id": "PID-18"})
    assert answer.status_code == 422
    assert "another patient has this pseudonym already" in answer.text
    # another project is another matter
    client.submit("/pseudonyms", {"project": "OTHER", "pseudonym": "PSN-1", "patient_id": "PID-18"})
    assert stored(with_project, "OTHER") == [("PID-18", "PSN-1")]


def test_search_and_pages(with_project: ConsoleApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from karnak_plugins.web_console.pages import pseudonyms

    monkeypatch.setattr(pseudonyms, "ROWS", 2)
    for number in range(5):
        put(with_project, f"PID-{number}", f"PSN-{number}", last_name="Doe" if number == 3 else "")
    client = with_project.signed_in()
    first = client.get("/pseudonyms?project=STUDY").text
    assert "5 pseudonyms" in first
    assert "PSN-2" not in first
    link = re.search(r'href="([^"]+)">Next page', first)
    assert link
    second = client.get(html.unescape(link[1])).text
    assert re.findall(r"Choose (PSN-\d)", second) == ["PSN-2", "PSN-3"]
    # what others delete of the pages before moves nothing
    with with_project.console.database.write() as connection:
        store.delete(connection, "STUDY", store.Choice(pseudonyms=["PSN-0"]))
    assert re.findall(r"Choose (PSN-\d)", client.get(html.unescape(link[1])).text) == ["PSN-2", "PSN-3"]
    back = re.search(r'href="([^"]+)">Previous page', second)
    assert back
    assert re.findall(r"Choose (PSN-\d)", client.get(html.unescape(back[1])).text) == ["PSN-1", "PSN-2"]
    third = client.get(html.unescape(re.findall(r'href="([^"]+)">Next page', second)[0])).text
    assert re.findall(r"Choose (PSN-\d)", third) == ["PSN-4"]
    assert "Next page" not in third
    back = re.search(r'href="([^"]+)">Previous page', third)
    assert back
    again = client.get(html.unescape(back[1])).text
    assert re.findall(r"Choose (PSN-\d)", again) == ["PSN-2", "PSN-3"]
    assert "Previous page" in again
    assert "Next page" in again
    assert re.findall(r"Choose (PSN-\d)", client.get("/pseudonyms?project=STUDY&search=doe").text) == ["PSN-3"]
    assert "Nobody is found." in client.get("/pseudonyms?project=STUDY&search=%00").text
    assert client.get("/pseudonyms?project=NONE").status_code == 404


def test_two_people_who_change_the_same_one_do_not_overwrite_each_other(with_project: ConsoleApp) -> None:
    number = put(with_project, "PID-17", "PSN-1")
    one, two = with_project.signed_in("ann", "user"), with_project.signed_in("bob", "user")
    seen = [hidden(client.get(f"/pseudonyms/{number}").text, f"/pseudonyms/{number}")["seen"] for client in (one, two)]
    fields = {"patient_id": "PID-17", "expires": ""}
    first = one.submit(f"/pseudonyms/{number}", {**fields, "seen": seen[0], "pseudonym": "PSN-2"})
    assert first.status_code == 303
    second = two.submit(f"/pseudonyms/{number}", {**fields, "seen": seen[1], "pseudonym": "PSN-3"})
    assert second.status_code == 409
    assert "Somebody else has changed this pseudonym meanwhile. It is now:" in second.text
    assert "pseudonym: PSN-2" in second.text
    assert 'value="PSN-3"' in second.text
    assert stored(with_project) == [("PID-17", "PSN-2")]
    now = hidden(second.text, f"/pseudonyms/{number}")
    assert two.submit(f"/pseudonyms/{number}", {**fields, **now, "pseudonym": "PSN-3"}).status_code == 303
    assert stored(with_project) == [("PID-17", "PSN-3")]
    wrong = one.submit(f"/pseudonyms/{number}", {**fields, "seen": "x", "pseudonym": ""})
    assert wrong.status_code in (409, 422)
    assert one.get("/pseudonyms/999").status_code == 404


def test_what_was_typed_is_kept_when_somebody_has_deleted_it(with_project: ConsoleApp) -> None:
    number = put(with_project, "PID-17", "PSN-1")
    client = with_project.signed_in()
    fields = hidden(client.get(f"/pseudonyms/{number}").text, f"/pseudonyms/{number}")
    client.submit("/pseudonyms/delete", {"project": "STUDY", "number": boxes(client)})
    fields |= {"patient_id": "PID-17", "pseudonym": "PSN-2", "expires": ""}
    answer = client.submit(f"/pseudonyms/{number}", fields)
    assert answer.status_code == 409
    assert "Somebody else has deleted this pseudonym meanwhile." in answer.text
    assert 'value="PSN-2"' in answer.text
    assert client.submit("/pseudonyms", fields).status_code == 303
    assert stored(with_project) == [("PID-17", "PSN-2")]


def boxes(client: Client, project: str = "STUDY") -> list[str]:
    """Return what the boxes of the list stand for."""
    page = client.get(f"/pseudonyms?project={project}").text
    return re.findall(r'name="number" value="([^"]+)"', page)


def test_page_that_is_behind_deletes_nobody_else(with_project: ConsoleApp) -> None:
    put(with_project, "PID-1", "WRONG")
    client = with_project.signed_in()
    stale = boxes(client)
    client.submit("/pseudonyms/delete", {"project": "STUDY", "number": stale})
    number = put(with_project, "PID-2", "GOOD")
    client.submit("/pseudonyms/delete", {"project": "STUDY", "number": stale})
    assert stored(with_project) == [("PID-2", "GOOD")]
    # nor one that has become another one
    stale = boxes(client)
    fields = hidden(client.get(f"/pseudonyms/{number}").text, f"/pseudonyms/{number}")
    client.submit(f"/pseudonyms/{number}", {**fields, "patient_id": "PID-3", "pseudonym": "BETTER", "expires": ""})
    client.submit("/pseudonyms/delete", {"project": "STUDY", "number": stale})
    assert "Nothing is deleted: somebody has changed" in client.get("/pseudonyms?project=STUDY").text
    assert client.submit("/pseudonyms/delete", {"project": "STUDY", "number": str(number)}).status_code == 422
    assert stored(with_project) == [("PID-3", "BETTER")]


def test_chosen_ones_are_deleted_and_only_of_the_project(with_project: ConsoleApp) -> None:
    for number in range(3):
        put(with_project, f"PID-{number}", f"PSN-{number}")
    put(with_project, "PID-9", "PSN-9", project="OTHER")
    client = with_project.signed_in()
    chosen = [*boxes(client)[:2], *boxes(client, "OTHER")]
    client.submit("/pseudonyms/delete", {"project": "STUDY", "number": chosen})
    assert stored(with_project) == [("PID-2", "PSN-2")]
    assert stored(with_project, "OTHER") == [("PID-9", "PSN-9")]
    assert "2 pseudonyms are deleted." in client.get("/pseudonyms?project=STUDY").text
    assert client.submit("/pseudonyms/delete", {"project": "STUDY"}).status_code == 422


def test_all_are_deleted_when_the_project_s_name_is_typed(with_project: ConsoleApp) -> None:
    put(with_project, "PID-1", "PSN-1")
    put(with_project, "PID-1", "PSN-1", project="OTHER")
    client = with_project.signed_in()
    refused = client.submit("/pseudonyms/delete-all", {"project": "STUDY", "typed": "OTHER"})
    assert refused.status_code == 422
    assert "nothing was deleted" in refused.text
    assert stored(with_project)
    client.submit("/pseudonyms/delete-all", {"project": "STUDY", "typed": " STUDY"})
    assert stored(with_project) == []
    assert stored(with_project, "OTHER")


def upload(client: Client, content: bytes, **fields: str) -> Any:
    data = {"csrf_token": client.csrf(), "project": "STUDY", "separator": ";", "encoding": "utf-8-sig", **fields}
    return client.post("/pseudonyms/import", data=data, files={"file": ("a.csv", content, "text/csv")})


def chosen(page: str) -> dict[str, Any]:
    """Return what a preview has chosen for its columns, and its hidden fields."""
    found = hidden(page, "/pseudonyms/import/rows")
    for name, options in re.findall(r'<select id="column-\d+" name="(column-\d+)">(.*?)</select>', page, re.DOTALL):
        selected = re.search(r'value="([^"]*)" selected', options)
        found[name] = selected[1] if selected else ""
    line = re.search(r'id="from_line" name="from_line" type="number" value="(\d+)"', page)
    assert line
    return {**found, "from_line": line[1], "what": "import"}


def test_a_file_is_uploaded_previewed_and_imported_and_kept_nowhere(with_project: ConsoleApp) -> None:
    waits(with_project, "PID-1")
    client = with_project.signed_in("ann", "user")
    preview = upload(client, "Patient ID;Pseudonym;Last name\nPID-1;PSN-1;Müller\nPID-2;PSN-2;\n".encode())
    assert preview.status_code == 200
    assert stored(with_project) == []
    fields = chosen(preview.text)
    assert (fields["column-0"], fields["column-1"], fields["column-2"]) == ("patient_id", "pseudonym", "last_name")
    assert fields["from_line"] == "2"
    assert client.submit("/pseudonyms/import/rows", fields).status_code == 303
    assert stored(with_project) == [("PID-1", "PSN-1"), ("PID-2", "PSN-2")]
    said = "2 pseudonyms are stored; 1 delivery that failed is tried again now."
    assert said in client.get("/pseudonyms?project=STUDY").text
    assert states(with_project.console) == ["pending"]
    assert not list(with_project.console.data_directory.rglob("*.csv"))


def test_columns_and_the_first_line_can_be_chosen(with_project: ConsoleApp) -> None:
    client = with_project.signed_in()
    preview = upload(client, b"x|PID-0|PSN-0\n|PID-1|PSN-1\n", separator="|").text
    fields = {**chosen(preview), "column-0": "", "column-1": "patient_id", "column-2": "pseudonym", "from_line": "2"}
    again = client.submit("/pseudonyms/import/rows", {**fields, "what": "preview"}).text
    assert chosen(again) == fields
    assert '<tr class="skipped"><th scope="row">1</th>' in again
    client.submit("/pseudonyms/import/rows", {**fields, "expires": TOMORROW})
    assert stored(with_project) == [("PID-1", "PSN-1")]


def test_a_column_that_is_named_but_not_chosen_is_not_imported(with_project: ConsoleApp) -> None:
    client = with_project.signed_in()
    preview = upload(client, b"pseudonym;patient_id;last_name\nPSN-1;PID-1;Doe\n").text
    client.submit("/pseudonyms/import/rows", {**chosen(preview), "column-2": ""})
    with with_project.console.database.read() as connection:
        (row,) = store.page(connection, project="STUDY")
    assert (row.patient_id, row.last_name) == ("PID-1", "")


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        (b"PSN-1;PID-1\nPSN-2;\n", {}, "row 2: the Patient ID is missing"),
        (b"PSN-1;PID-1\nPSN-1;PID-2\n", {}, "row 2: another patient has this pseudonym already: row 1"),
        (b"PSN-1;PID-1\nPSN-2\n", {}, "row 2: has 1 columns"),
        (b"PSN-9;PID-1\n", {}, "row 1: another patient has this pseudonym already: stored"),
        (b"PSN-1;PID-1\n", {"column-1": "pseudonym"}, "more than one column is the pseudonym"),
        (b"PSN-1;PID-1\n", {"column-1": ""}, "no column is the Patient ID"),
        (b"PSN-1;PID-1\n", {"from_line": "9"}, "there is no row from line 9 on"),
    ],
)
def test_nothing_is_stored_unless_all_is_right_and_every_problem_is_told_by_its_row(
    with_project: ConsoleApp, content: bytes, more: dict[str, str], said: str
) -> None:
    put(with_project, "PID-9", "PSN-9")
    client = with_project.signed_in()
    answer = client.submit("/pseudonyms/import/rows", {**chosen(upload(client, content).text), **more})
    assert answer.status_code == 422
    assert said in html.unescape(answer.text)
    assert stored(with_project) == [("PID-9", "PSN-9")]


def test_what_is_stored_already_can_be_left_out(with_project: ConsoleApp) -> None:
    put(with_project, "PID-1", "PSN-1")
    client = with_project.signed_in()
    fields = chosen(upload(client, b"PSN-1;PID-1\nPSN-2;PID-2\n").text)
    assert client.submit("/pseudonyms/import/rows", fields).status_code == 422
    client.submit("/pseudonyms/import/rows", {**fields, "skip_stored": "on"})
    assert len(stored(with_project)) == 2
    assert "1 was stored already." in client.get("/pseudonyms?project=STUDY").text


@pytest.mark.parametrize(
    ("content", "fields", "place"),
    [
        (b"", {}, "file"),
        (b"a;b", {"separator": ";;"}, "separator"),
        (b"a;b", {"separator": '"'}, "separator"),
        (b"a;b", {"encoding": "rot13"}, "encoding"),
        ("Müller;1".encode("latin-1"), {}, "encoding"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_before_the_preview(
    with_project: ConsoleApp, content: bytes, fields: dict[str, str], place: str
) -> None:
    answer = upload(with_project.signed_in(), content, **fields)
    assert answer.status_code == 422
    assert f'id="{place}-error"' in answer.text


def test_a_big_file_comes_back_whole(with_project: ConsoleApp) -> None:
    client = with_project.signed_in()
    content = b"".join(b"PSN-%06d;PID-%06d;%s\n" % (number, number, b"x" * 60) for number in range(20_000))
    fields = chosen(upload(client, content).text)
    assert client.submit("/pseudonyms/import/rows", fields).status_code == 303
    assert len(stored(with_project)) == 20_000


def test_values_of_people_and_files_write_nothing_into_pages(with_project: ConsoleApp) -> None:
    number = put(with_project, HOSTILE, HOSTILE, issuer=HOSTILE, first_name=HOSTILE, last_name=HOSTILE)
    client = with_project.signed_in()
    pages = [
        client.get("/pseudonyms?project=STUDY").text,
        client.get("/pseudonyms", params={"project": "STUDY", "search": HOSTILE}).text,
        client.get(f"/pseudonyms/{number}").text,
        client.submit("/mapping", {"pseudonym": HOSTILE}).text,
        upload(client, f"{HOSTILE};</select></textarea>{HOSTILE}\n".encode()).text,
        client.submit("/pseudonyms", {"project": "STUDY", "pseudonym": "", "patient_id": HOSTILE}).text,
    ]
    for page in pages:
        assert "<script>alert" not in page
        assert "</textarea>" not in page
        assert "&lt;script&gt;" in page
        assert "&amp;49" not in page


def test_who_is_behind_a_pseudonym_is_told_exactly_and_the_question_is_noted(with_project: ConsoleApp) -> None:
    number = put(with_project, "PID-17", "Psn-1", first_name="John", last_name="Doe")
    put(with_project, "PID-18", "Psn-1", project="OTHER")
    client = with_project.signed_in("eve", "investigator")
    page = client.submit("/mapping", {"pseudonym": " Psn-1 "}).text
    assert "PID-17" in page
    assert "PID-18" in page
    assert "External" in page
    assert "Nobody has this pseudonym." in client.submit("/mapping", {"pseudonym": "PSN-1"}).text
    assert client.submit("/mapping", {"pseudonym": ""}).status_code == 422
    first, second = audited(with_project.console)
    assert first[:2] == ("look at", "who is behind a pseudonym")
    assert f"project STUDY number {number}" in first[2]
    assert second[2] == "nobody"


def test_roles(with_project: ConsoleApp) -> None:
    put(with_project, "PID-1", "PSN-1")
    user = with_project.signed_in("ann", "user")
    assert user.get("/pseudonyms?project=STUDY").status_code == 200
    for answer in (user.get("/mapping"), user.submit("/mapping", {"pseudonym": "PSN-1"})):
        assert answer.status_code == 403
        assert "PID-1" not in answer.text
    nobody = with_project.client()
    for path in ("/pseudonyms", "/pseudonyms/1", "/pseudonyms/import?project=STUDY", "/mapping"):
        assert nobody.get(path).status_code == 303


def test_pseudonyms_are_imported_and_asked_for_in_a_browser(
    page: Page, running_console: RunningConsole, make_console_beside: Any, tmp_path: Path
) -> None:
    from conftest import sign_in

    sign_in(page, running_console)
    console = make_console_beside(running_console)
    configure(console, "pacs", projects=("STUDY",))
    page.get_by_role("link", name="External pseudonyms").click()
    page.get_by_text("This project has no pseudonym yet.").first.wait_for()
    check_accessibility(page)
    file = tmp_path / "patients.csv"
    file.write_text("Pseudonym,Patient ID\nPSN-1,PID-1\nPSN-2,PID-2\n")
    page.get_by_role("button", name="Import a CSV file").click()
    page.get_by_label("CSV file").set_input_files(file)
    check_accessibility(page)
    page.get_by_role("button", name="See the preview").click()
    page.get_by_label("Column 2").wait_for()
    check_accessibility(page)
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text("2 pseudonyms are stored.").first.wait_for()
    page.wait_for_load_state()
    check_accessibility(page)
    page.get_by_label("Choose PSN-1").check()
    page.get_by_role("button", name="Delete the chosen").click()
    page.get_by_role("dialog").get_by_text("Delete 1 chosen").first.wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("1 pseudonym is deleted.").first.wait_for()
    page.get_by_role("link", name="PSN-2").click()
    page.get_by_label("Last name").fill("Doe")
    check_accessibility(page)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("1 pseudonym is changed.").first.wait_for()
    page.get_by_role("link", name="Pseudonym mapping").click()
    page.get_by_label("Pseudonym, exactly").fill("PSN-2")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("cell", name="PID-2").wait_for()
    check_accessibility(page)
