"""The tour: from an empty installation to the first study that is de-identified and delivered, by clicks only.

With ``KARNAK_PICTURES`` set, the pictures of docs/web-console.md are taken anew.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
import pytest
from configured import with_node
from conftest import RunningConsole
from PIL import Image
from web_support import PASSWORD, ConsoleApp, check_accessibility

from karnak_core.testing import StoredFiles, make_file, run_storescp, storescu

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PICTURES = "KARNAK_PICTURES"
STUDY, SERIES = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.1.1"
FILE = "pseudonym;Patient ID;first name;last name\nLUNG-001;TEST-1;Nobody;Test\nLUNG-002;TEST-2;Somebody;Else\n"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[StoredFiles]:
    """The receiver: DCMTK's storescp."""
    with run_storescp(tmp_path / "archive", ae_title="ARCHIVE") as receiver:
        yield receiver


def picture(page: Page, name: str) -> None:
    """Take a picture of what is seen for the manual, where that is asked for."""
    if not os.environ.get(PICTURES):
        return
    # where the mouse was last shall not be seen
    page.mouse.move(0, 0)
    taken = Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide"))).convert("RGB")
    IMAGES.mkdir(exist_ok=True)
    taken.quantize(256, dither=Image.Dither.NONE).save(IMAGES / f"console-{name}.png", optimize=True)


def test_first_study_is_deidentified_and_delivered_by_clicks_alone(
    running_console: RunningConsole, make_page: Callable[..., Page], archive: StoredFiles, tmp_path: Path
) -> None:
    page = make_page(viewport={"width": 1200, "height": 760}, color_scheme="light", locale="en-GB")
    sign_in(page, running_console)
    add_node(page)
    create_project_from_the_popup(page)
    add_source(page)
    add_destination(page, archive)
    import_pseudonyms(page, tmp_path)
    files = [
        make_file(tmp_path, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, InstanceNumber=number)
        for number in (1, 2, 3)
    ]
    sent = storescu(running_console.gateway.port, *files, called="FORWARD", calling="CT1")
    assert sent.returncode == 0, sent.stderr
    watch_it_arrive(page)
    look_at_why(page)
    arrived = [pydicom.dcmread(path) for path in archive.files()]
    assert len(arrived) == 3
    assert {str(one.PatientName) for one in arrived} == {"LUNG-001"}
    assert all(one.PatientID != "TEST-1" and one.StudyInstanceUID != STUDY for one in arrived)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()


def sign_in(page: Page, console: RunningConsole) -> None:
    page.goto(console.url)
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(console.one_time_password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("The password you have").fill(console.one_time_password)
    page.get_by_label("New password required", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Change it").click()
    page.get_by_role("heading", name="Overview").wait_for()


def open_area(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Areas").get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", level=1).wait_for()
    # what is done with a page in the next step may need its scripts
    page.wait_for_load_state()


def add_node(page: Page) -> None:
    open_area(page, "Gateway")
    page.get_by_text("There is no forward node yet.").first.wait_for()
    page.get_by_role("button", name="Add a forward node").click()
    page.get_by_label("AE title").fill("FORWARD")
    page.get_by_label("Description").fill("CT and MR for research")
    page.get_by_role("button", name="Add").click()
    page.get_by_role("heading", name="FORWARD").wait_for()
    picture(page, "node")


def create_project_from_the_popup(page: Page) -> None:
    choose_type(page)
    page.locator("#cleaning").click()
    page.get_by_label("Activate de-identification").click()
    popup = page.get_by_role("dialog", name="There is no project yet")
    popup.wait_for()
    check_accessibility(page)
    picture(page, "popup")
    popup.get_by_role("button", name="Create a project").click()
    page.get_by_text("There is no project yet.").first.wait_for()
    page.get_by_role("button", name="Add a project").click()
    page.get_by_label("Name").fill("LUNG")
    page.get_by_label("Profile").select_option("Dicom Basic Profile")
    page.get_by_role("button", name="Add").click()
    page.get_by_role("heading", name="LUNG").wait_for()
    picture(page, "project")


def choose_type(page: Page) -> None:
    open_area(page, "Gateway")
    page.get_by_role("link", name="FORWARD").first.click()
    page.get_by_role("button", name="Add a destination").click()
    page.get_by_role("link", name="another DICOM node, by C-STORE").click()
    page.get_by_role("heading", name="Destination", exact=True).wait_for()
    page.wait_for_load_state()


def add_source(page: Page) -> None:
    open_area(page, "Gateway")
    page.get_by_role("link", name="FORWARD").first.click()
    page.get_by_role("button", name="Add a source").click()
    page.get_by_label("AE title").fill("CT1")
    page.get_by_label("Host name", exact=True).fill("127.0.0.1")
    page.get_by_label("Check host name").check()
    page.get_by_role("button", name="Add").click()
    page.get_by_role("link", name="CT1").wait_for()


def add_destination(page: Page, archive: StoredFiles) -> None:
    choose_type(page)
    page.get_by_label("Name required", exact=True).fill("archive")
    page.get_by_label("AE title required", exact=True).fill(archive.ae_title)
    page.get_by_role("textbox", name="Host name").fill("127.0.0.1")
    page.get_by_role("textbox", name="Port").fill(str(archive.port))
    picture(page, "destination")
    page.locator("#cleaning").click()
    page.get_by_label("Activate de-identification").check()
    clean = page.locator("#de_identification-fields")
    clean.get_by_label("Project").select_option("LUNG")
    clean.get_by_label("Pseudonym type").select_option("stored")
    clean.scroll_into_view_if_needed()
    picture(page, "de-identification")
    page.get_by_role("textbox", name="Port").fill("a port")
    page.get_by_role("button", name="Add", exact=True).click()
    # what is wrong is said at its field, and nothing that was written is lost
    page.get_by_role("alert").get_by_role("link", name="Port").wait_for()
    assert page.get_by_label("Name required", exact=True).input_value() == "archive"
    page.get_by_role("textbox", name="Port").fill(str(archive.port))
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("link", name="archive").wait_for()


def import_pseudonyms(page: Page, folder: Path) -> None:
    file = folder / "pseudonyms.csv"
    file.write_text(FILE)
    open_area(page, "External pseudonyms")
    page.get_by_role("button", name="Import a CSV file").click()
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_label("Separator").fill(";")
    page.get_by_role("button", name="See the preview").click()
    page.get_by_role("heading", name="Import into LUNG").wait_for()
    check_accessibility(page)
    picture(page, "pseudonyms")
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_role("link", name="LUNG-001").wait_for()


def watch_it_arrive(page: Page) -> None:
    open_area(page, "Monitoring")
    # by itself: nothing is loaded again
    page.get_by_text("3 sent").first.wait_for()
    page.locator("details.study > summary").click()
    page.get_by_role("link", name="Every delivery").last.wait_for()
    check_accessibility(page)
    picture(page, "monitoring")
    open_area(page, "Overview")
    picture(page, "overview")


def look_at_why(page: Page) -> None:
    open_area(page, "Monitoring")
    page.locator("details.study > summary").click()
    page.get_by_role("link", name="The whole story").click()
    page.get_by_role("heading", name="The story of a UID").wait_for()
    page.get_by_text("De-identified for project LUNG").first.wait_for()
    picture(page, "story")


def test_second_of_two_people_is_told_what_the_first_has_changed(
    open_page: Callable[..., Page], console_app: ConsoleApp
) -> None:
    with_node(console_app)
    at = "/gateway/destination?node=FORWARD&name=disk"
    first, second = open_page(at, "first"), open_page(at, "second")
    first.get_by_label("Directory").fill("theirs")
    second.get_by_label("Description").fill("written for an hour")
    first.get_by_role("button", name="Save").click()
    first.get_by_text("Saved.").first.wait_for()
    second.get_by_role("button", name="Save").click()
    told = second.get_by_role("alert").filter(has_text="first has changed this meanwhile")
    told.get_by_text("directory out -> theirs").first.wait_for()
    check_accessibility(second)
    assert second.get_by_label("Description").input_value() == "written for an hour"
    told.get_by_role("link", name="drop yours and look at theirs").click()
    assert second.get_by_label("Directory").input_value() == "theirs"
    assert second.get_by_label("Description").input_value() == ""
