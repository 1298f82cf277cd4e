"""``karnak deidentify``: files and folders as a gateway would de-identify them, and what that does to them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from click.testing import CliRunner, Result

from karnak_core.cli import cli
from karnak_core.deidentify import Hasher
from karnak_core.testing import free_port, make_file, one_node, run_gateway, send

SECRET = "0123456789abcdef0123456789abcdef"
PROFILE = """\
name: Research A
profileElements:
  - name: No MR
    codename: expression.on.tags
    arguments: {expr: "stringValue == 'MR' ? ExcludeInstance() : null"}
    tags: ["(0008,0060)"]
  - {name: Keep series, codename: action.on.specific.tags, action: K, tags: ["(0008,103E)"]}
  - {name: DICOM basic profile, codename: basic.dicom.profile}
"""
LEAKS = """\
name: Leaks
profileElements:
  - {name: e, codename: expression.on.tags, arguments: {expr: "Replace('My ' + stringValue)"}, tags: ["0010,0010"]}
  - {name: basic, codename: basic.dicom.profile}
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("KARNAK_SECRET", "KARNAK_DATA", "KARNAK_DATABASE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str | Path, secret: bool = True) -> Result:
        given = ["--secret", SECRET] if secret else []
        return CliRunner().invoke(cli, ["deidentify", *map(str, words), *given], catch_exceptions=False)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two CTs of one patient, an MR, a text and a file that is cut off, named after the patient."""
    folder = tmp_path / "Doe^Jane"
    (folder / "deeper").mkdir(parents=True)
    for name, elements in {"Doe-1.dcm": {}, "deeper/Doe-2.dcm": {}, "Doe-mr.dcm": {"Modality": "MR"}}.items():
        make_file(tmp_path, PatientName="Doe^Jane", PatientID="4711", **elements).rename(folder / name)
    (folder / "letter.txt").write_text("Dear Mrs Doe")
    (folder / "cut.dcm").write_bytes((folder / "Doe-1.dcm").read_bytes()[:400])
    (tmp_path / "research.yml").write_text(PROFILE)
    return folder


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_file_is_deidentified_by_the_built_in_profile(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    result = run(path, "new.dcm", "--pseudonym", "PSN-1", "--project", "STUDY-A")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "1 written, 0 excluded, 0 failed, 0 skipped\n",
        "",
    )
    new = pydicom.dcmread(tmp_path / "new.dcm")
    assert (new.PatientName, new.ClinicalTrialSponsorName) == ("PSN-1", "STUDY-A")
    assert new.SOPInstanceUID == Hasher(bytes.fromhex(SECRET)).uid(path.stem)
    assert new.ClinicalTrialProtocolID == "Dicom Basic Profile"
    assert run(path, "other.dcm", "--profile", "basic").exit_code == 0


def test_folder_ends_in_files_named_by_their_new_uids(run: Run, folder: Path, tmp_path: Path) -> None:
    result = run(folder, "out", "--profile", "research.yml")
    assert result.exit_code == 1
    assert result.stdout == "2 written, 1 excluded (1 by 'No MR'), 1 failed, 1 skipped\n"
    said = dict(line.split(": ", 1) for line in result.stderr.splitlines())
    assert said[f"{folder}/Doe-mr.dcm"] == "excluded by 'No MR'"
    assert said[f"{folder}/letter.txt"].startswith("skipped: no DICOM file")
    assert said[f"{folder}/cut.dcm"].startswith("failed: ")
    written = files_of(tmp_path / "out")
    assert len(written) == 2
    for path in written:
        new = pydicom.dcmread(path)
        assert path.relative_to(tmp_path / "out") == Path(
            new.StudyInstanceUID, new.SeriesInstanceUID, f"{new.SOPInstanceUID}.dcm"
        )
        assert "Doe" not in str(path.relative_to(tmp_path / "out"))
        assert new.SeriesDescription == "Series"
    assert len({pydicom.dcmread(path).PatientID for path in written}) == 1


def test_file_goes_into_a_folder_that_exists(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run(make_file(tmp_path), "out").exit_code == 0
    (path,) = files_of(tmp_path / "out")
    assert path.stem == pydicom.dcmread(path).SOPInstanceUID


def test_dry_run_leaves_no_file(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "cut.dcm").unlink()
    before = files_of(tmp_path)
    for words in ([folder], [folder, "out"], [folder, "new/deep/out", "--diff", "--json"]):
        result = run(*words, "--dry-run", "--profile", "research.yml")
        assert result.exit_code == 0
        assert "2 would be written" in result.output
        assert files_of(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_nothing_that_exists_is_replaced_unless_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    (tmp_path / "new.dcm").write_bytes(b"old")
    result = run(path, "new.dcm")
    assert result.exit_code == 1
    assert "--overwrite replaces it" in result.stderr
    assert (tmp_path / "new.dcm").read_bytes() == b"old"
    assert run(path, "new.dcm", "--overwrite").exit_code == 0
    assert pydicom.dcmread(tmp_path / "new.dcm").PatientIdentityRemoved == "YES"


def test_in_is_never_replaced(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    before = path.read_bytes()
    (tmp_path / "link.dcm").symlink_to(path)
    (tmp_path / "hard.dcm").hardlink_to(path)
    os.mkdir(tmp_path / "sub")
    for words in (
        [path, path],
        [path, "link.dcm"],
        [path, "hard.dcm"],
        [tmp_path, tmp_path],
        [tmp_path / "sub", tmp_path],
        [path, "new.dcm", "--diff-html", path],
        [path, "new.dcm", "--diff-json", "link.dcm"],
    ):
        assert run(*words, "--overwrite").exit_code in (1, 2), words
        assert path.read_bytes() == before


def test_new_folder_may_be_inside_the_old_one(run: Run, folder: Path) -> None:
    first = run(folder, folder / "out", "--profile", "research.yml")
    assert first.stdout.startswith("2 written")
    again = run(folder, folder / "out", "--profile", "research.yml", "--overwrite")
    assert again.stdout == first.stdout


def test_wrong_profile_is_told_with_every_line_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.yml").write_text(
        "name: W\nprofileElements:\n  - {name: a, codename: nonsense}\n"
        "  - {name: b, codename: action.on.specific.tags, action: Q, tags: ['0010,0010']}\n"
    )
    result = run(make_file(tmp_path), "new.dcm", "--profile", "wrong.yml", "--diff-html", "d.html")
    assert result.exit_code == 2
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == ["wrong.yml, line 3", "wrong.yml, line 4"]
    assert not (tmp_path / "new.dcm").exists()
    assert not (tmp_path / "d.html").exists()
    assert run(make_file(tmp_path), "new.dcm", "--profile", "none.yml").exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "OUT is missing"),
        (["out", "--pseudonym", "a\\b"], "--pseudonym: the pseudonym is not 64 printable characters"),
        (["out", "--pseudonym", "P", "--morph"], "--pseudonym has no meaning with --morph"),
        (["out", "--project", "x" * 65], "--project: a project's name has 64 characters at most"),
        (["out", "--secret-file", "none"], "none: No such file or directory"),
        (["out", "--diff-html", "d", "--diff-json", "d"], "the same file"),
    ],
)
def test_what_is_wrong_with_the_words_is_told(run: Run, tmp_path: Path, words: list[str], message: str) -> None:
    result = run(make_file(tmp_path), *words, secret=False)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(files_of(tmp_path)) == 1


def test_secret_is_taken_from_a_file_or_the_environment_and_never_repeated(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_file(tmp_path)
    run(path, "1.dcm")
    (tmp_path / "secret").write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    assert run(path, "2.dcm", "--secret-file", "secret", secret=False).stderr == ""
    monkeypatch.setenv("KARNAK_SECRET", SECRET)
    assert run(path, "3.dcm", secret=False).stderr == ""
    assert len({pydicom.dcmread(tmp_path / f"{number}.dcm").SOPInstanceUID for number in (1, 2, 3)}) == 1
    assert "one is enough" in run(path, "4.dcm", "--secret-file", "secret").stderr
    monkeypatch.setenv("KARNAK_SECRET", "not-a-secret")
    result = run(path, "4.dcm", secret=False)
    assert (result.exit_code, "not-a-secret" in result.output) == (2, False)
    assert result.stderr.startswith("KARNAK_SECRET: a secret is 32 hex digits")


def test_without_a_secret_a_run_is_consistent_and_the_operator_is_told(run: Run, folder: Path, tmp_path: Path) -> None:
    result = run(folder, "out", secret=False)
    assert "a random one is used and forgotten" in result.stderr
    written = [pydicom.dcmread(path) for path in files_of(tmp_path / "out")]
    assert len({new.PatientID for new in written}) == 1
    run(folder, "again", secret=False)
    assert {new.PatientID for new in written}.isdisjoint(
        pydicom.dcmread(path).PatientID for path in files_of(tmp_path / "again")
    )


def test_diff_of_a_file_tells_everything_and_masks_what_was(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path, PatientName="Doe^Jane", PatientID="4711-08")
    result = run(path, "--dry-run", "--diff")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["changed", "(11)"] in lines
    assert ["removed", "(2)"] in lines
    assert ["added", "(11)"] in lines
    assert "Doe" not in result.output
    assert "4711" not in result.output
    shown = run(path, "--dry-run", "--diff", "--show-values").stdout
    assert "Doe^Jane" in shown
    assert "4711-08" in shown


def test_diff_of_a_folder_is_counted_or_told_file_by_file(run: Run, folder: Path) -> None:
    counted = run(folder, "--dry-run", "--diff", "--profile", "research.yml").stdout
    (name,) = [line.split() for line in counted.splitlines() if line.startswith("(0010,0010)")]
    assert name[-2:] == ["2", "2"]
    every = run(folder, "--dry-run", "--diff", "--verbose", "--profile", "research.yml").stdout
    assert every.count("(0010,0010)") == 2
    assert f"{folder}/Doe-1.dcm\n" in every


def test_diff_is_written_as_page_and_as_lines(run: Run, folder: Path, tmp_path: Path) -> None:
    result = run(folder, "out", "--profile", "research.yml", "--diff-html", "d.html", "--diff-json", "d.json")
    assert "(0010,0010)" not in result.stdout
    page, lines = (tmp_path / "d.html").read_text(), (tmp_path / "d.json").read_text()
    assert "Doe" not in page + lines
    assert "2 written, 1 excluded" in page
    entries = [json.loads(line) for line in lines.splitlines()]
    assert [entry["outcome"] for entry in entries] == ["written", "excluded", "failed", "skipped", "written"]
    assert len(entries[0]["changes"]) > 20
    again = run(folder, "out", "--overwrite", "--show-values", "--diff-html", "v.html", "--profile", "research.yml")
    assert again.exit_code == 1
    assert "Doe^Jane" in (tmp_path / "v.html").read_text()
    assert (tmp_path / "v.html").stat().st_mode & 0o777 == 0o600
    refused = run(folder, "out", "--overwrite", "--diff-html", "d.html", "--profile", "none.yml")
    assert (refused.exit_code, (tmp_path / "d.html").read_text()) == (2, page)
    assert run(folder, "more", "--diff-html", "d.html").exit_code == 2


def test_json_is_one_object_a_line_and_nothing_else(run: Run, folder: Path) -> None:
    result = run(folder, "out", "--json", "--profile", "research.yml")
    entries = [json.loads(line) for line in result.stdout.splitlines()]
    found = {Path(entry["file"]).name: entry for entry in entries}
    assert found["Doe-1.dcm"]["outcome"] == "written"
    assert Path(found["Doe-1.dcm"]["output"]).is_file()
    assert found["Doe-mr.dcm"]["excluded_by"] == "No MR"
    assert "changes" not in found["Doe-1.dcm"]
    assert "2 written" in result.stderr
    with_changes = run(folder, "--dry-run", "--json", "--diff", "--profile", "research.yml").stdout
    assert json.loads(with_changes.splitlines()[0])["changes"]


def test_leak_fails_the_file_unless_nobody_looks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "leaks.yml").write_text(LEAKS)
    path = make_file(tmp_path, PatientName="Doe^Jane")
    result = run(path, "new.dcm", "--profile", "leaks.yml")
    assert result.exit_code == 1
    assert "failed: leak check:" in result.stderr
    assert "(0010,0010)" in result.stderr
    assert "Jane" not in result.output
    assert not (tmp_path / "new.dcm").exists()
    assert run(path, "new.dcm", "--profile", "leaks.yml", "--no-leak-check").exit_code == 0


def test_hostile_names_of_files_do_nothing_to_the_terminal(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "\x1b]0;owned\x07.txt").touch()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt")).touch()
    result = run(folder, "out")
    assert result.stdout == "0 written, 0 excluded, 0 failed, 2 skipped\n"
    assert "\\x1b]0;owned\\x07.txt: skipped" in result.stderr
    assert result.exit_code == 0


def test_single_file_that_is_no_dicom_is_a_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("none")
    assert run("text", "out.dcm").exit_code == 1


def test_links_to_nothing_and_pipes_do_not_stop_the_others(run: Run, folder: Path) -> None:
    (folder / "cut.dcm").unlink()
    (folder / "nothing").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    result = run(folder, "out", "--profile", "research.yml")
    assert result.stdout == "2 written, 1 excluded (1 by 'No MR'), 1 failed, 2 skipped\n"
    assert f"{folder}/nothing: failed: cannot be read" in result.stderr


def test_morphing_shows_no_old_value_either(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "morph.yml").write_text(
        "name: M\nprofileElements:\n  - {name: x, codename: action.on.specific.tags, action: X, tags: ['0008,1030']}\n"
    )
    path = folder / "Doe-1.dcm"
    words = ("--morph", "--diff-json", "d.json", "--diff-html", "d.html", "--profile", "morph.yml")
    assert run(path, "new.dcm", *words).stdout.startswith("1 written")
    new = pydicom.dcmread(tmp_path / "new.dcm")
    assert new.PatientName == "Doe^Jane"
    for name in ("d.json", "d.html"):
        text = (tmp_path / name).read_text()
        assert "(0008,1030)" in text
        for value in ("Doe", "4711", new.SOPInstanceUID, new.StudyInstanceUID, new.SeriesInstanceUID):
            assert value not in text


class Numbers(BaseHTTPRequestHandler):
    """Answers every question with a number, whoever may ask."""

    def do_GET(self) -> None:
        allowed = self.path != "/guarded" or self.headers.get("Authorization") == "Basic dTpw"
        answer = b'{"number": "N-7"}'
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """The address of a web service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Numbers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def asking(url: str, authenticator: str = "") -> str:
    """Return a profile that asks a web service for the accession number."""
    arguments = {"url": url, "responsePath": "/number", **({"authConfig": authenticator} if authenticator else {})}
    element = {"name": "ask", "codename": "action.replace.api", "arguments": arguments, "tags": ["0008,0050"]}
    basic = {"name": "basic", "codename": "basic.dicom.profile"}
    return yaml.safe_dump({"name": "Asking", "profileElements": [element, basic]})


def test_web_services_that_a_profile_asks_are_asked(run: Run, tmp_path: Path, service: str) -> None:
    (tmp_path / "asking.yml").write_text(asking(service))
    result = run(make_file(tmp_path), "new.dcm", "--profile", "asking.yml")
    assert result.exit_code == 0, result.stderr
    assert pydicom.dcmread(tmp_path / "new.dcm").AccessionNumber == "N-7"
    (tmp_path / "asking.yml").write_text(asking(f"http://127.0.0.1:{free_port()}"))
    result = run(make_file(tmp_path), "other.dcm", "--profile", "asking.yml")
    assert (result.exit_code, result.stdout) == (1, "0 written, 0 excluded, 1 failed, 0 skipped\n")


def test_web_service_is_asked_with_an_authenticator_of_the_gateway(run: Run, tmp_path: Path, service: str) -> None:
    (tmp_path / "asking.yml").write_text(asking(f"{service}/guarded", "numbers"))
    configuration = {
        "profiles": ["asking.yml"],
        "projects": [{"name": "STUDY-A", "profile": "Asking"}],
        "authenticators": {"numbers": {"type": "basic", "username": "u", "password": "p"}},
        "forward_nodes": [],
    }
    (tmp_path / "gateway.yml").write_text(yaml.safe_dump(configuration))
    applied = CliRunner().invoke(cli, ["apply", str(tmp_path / "gateway.yml"), "--data", str(tmp_path / "data")])
    assert applied.exit_code == 0, applied.output
    path = make_file(tmp_path)
    result = run(path, "new.dcm", "--project", "STUDY-A", "--data", tmp_path / "data", secret=False)
    assert result.exit_code == 0, result.stderr
    assert pydicom.dcmread(tmp_path / "new.dcm").AccessionNumber == "N-7"
    refused = run(path, "other.dcm", "--profile", "asking.yml")
    assert refused.exit_code == 1
    assert "numbers" in refused.stderr


# ---- with a gateway's project ------------------------------------------------------------------------------------


@pytest.fixture
def gateway(tmp_path: Path, folder: Path) -> Path:
    """The data directory of a gateway with two projects, one with a secret of its own."""
    configuration: dict[str, Any] = {
        "profiles": ["research.yml"],
        "projects": [
            {"name": "STUDY-A", "profile": "Research A", "secret": {"file": "secret"}},
            {"name": "STUDY-B", "profile": "Dicom Basic Profile"},
        ],
        "forward_nodes": [],
    }
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "gateway.yml").write_text(yaml.safe_dump(configuration))
    data = tmp_path / "data"
    result = CliRunner().invoke(cli, ["apply", str(tmp_path / "gateway.yml"), "--data", str(data)])
    assert result.exit_code == 0, result.output
    return data


def test_project_of_a_gateway_gives_its_profile_and_secret(run: Run, folder: Path, gateway: Path) -> None:
    result = run(folder, "out", "--project", "STUDY-A", "--data", gateway, secret=False)
    assert result.stdout.startswith("2 written, 1 excluded (1 by 'No MR')")
    assert "profile 'Research A' and secret of project 'STUDY-A' of the gateway in" in result.stderr
    before = pydicom.dcmread(folder / "Doe-1.dcm")
    uids = {pydicom.dcmread(path).SOPInstanceUID for path in files_of(Path("out"))}
    assert Hasher(bytes.fromhex(SECRET)).uid(before.SOPInstanceUID) in uids


def test_generated_secret_of_a_project_is_the_same_each_time(run: Run, folder: Path, gateway: Path) -> None:
    for out in ("1", "2"):
        result = run(folder / "Doe-1.dcm", f"{out}.dcm", "--project", "STUDY-B", "--data", gateway, secret=False)
        assert result.exit_code == 0, result.stderr
    first, second = (pydicom.dcmread(f"{out}.dcm") for out in ("1", "2"))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert first.ClinicalTrialProtocolID == "Dicom Basic Profile"


def test_other_profile_is_tried_with_the_secret_of_a_project(run: Run, folder: Path, gateway: Path) -> None:
    words = [folder / "Doe-mr.dcm", "new.dcm", "--project", "STUDY-A", "--data", gateway, "--profile", "basic"]
    result = run(*words, secret=False)
    assert (result.exit_code, result.stderr.split(" of project")[0]) == (0, "secret")


def test_project_that_the_gateway_does_not_have_is_told(run: Run, folder: Path, gateway: Path) -> None:
    result = run(folder, "out", "--project", "STUDY-X", "--data", gateway, secret=False)
    assert result.exit_code == 2
    assert "has no project 'STUDY-X'; known: 'STUDY-A', 'STUDY-B'" in result.stderr
    assert run(folder, "out", "--project", "STUDY-A", "--data", "nowhere").exit_code == 2
    assert not Path("nowhere").exists()


def test_file_becomes_what_a_gateway_sends(run: Run, folder: Path, tmp_path: Path) -> None:
    configuration = one_node(
        {
            "name": "out",
            "type": "folder",
            "directory": "received",
            "de_identification": {"project": "STUDY-A", "pseudonym": {"type": "tag", "tag": "(0012,0040)"}},
        }
    )
    configuration["profiles"] = [str(tmp_path / "research.yml")]
    configuration["projects"] = [{"name": "STUDY-A", "profile": "Research A"}]
    path = make_file(folder, ClinicalTrialSubjectID="PSN-7", PatientName="Doe^Jane")
    with run_gateway(configuration, tmp_path / "data") as gateway:
        assert send(gateway.port, [path]) == [0x0000]
        gateway.wait_until(lambda: gateway.deliveries(state="sent"))
        words = ("--project", "STUDY-A", "--data", tmp_path / "data", "--pseudonym", "PSN-7")
        result = run(path, "new.dcm", *words, secret=False)
    assert result.exit_code == 0, result.stderr
    (sent,) = (tmp_path / "data" / "received").rglob("*.dcm")
    theirs, ours = pydicom.dcmread(sent), pydicom.dcmread(tmp_path / "new.dcm")
    for dataset in (theirs, ours):
        # when it was made
        del dataset.InstanceCreationDate, dataset.InstanceCreationTime
    assert ours == theirs


def test_pictures_show_what_was_cleaned_and_are_called_by_the_new_uid(run: Run, tmp_path: Path) -> None:
    profile = tmp_path / "masks.yml"
    profile.write_text(
        "name: Masks\n"
        "profileElements:\n"
        "  - {name: clean, codename: clean.pixel.data}\n"
        "  - {name: basic, codename: basic.dicom.profile}\n"
        "masks: [{color: '000000', rectangles: ['0 0 8 8']}]\n"
    )
    source = make_file(tmp_path, BurnedInAnnotation="YES", PatientID="PICTURE-1")
    target, folder = tmp_path / "new.dcm", tmp_path / "pictures"
    done = run(source, target, "--profile", profile, "--preview", folder, "--diff")
    assert done.exit_code == 0, done.output
    new = pydicom.dcmread(target, stop_before_pixels=True)
    assert [picture.name for picture in folder.iterdir()] == [f"{new.SOPInstanceUID}-frame-0001.png"]
    assert (folder / f"{new.SOPInstanceUID}-frame-0001.png").read_bytes().startswith(b"\x89PNG")
    assert "picture: " in done.output
