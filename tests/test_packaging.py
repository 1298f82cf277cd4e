"""What is installed is what is in the tree: the lists of pyproject.toml, the wheel, and a third party's plugin."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from karnak_core import __version__
from karnak_core.dimse import Association, ProposedContext
from karnak_core.plugins import GROUP

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "example-plugin"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]
#: directory of the tree -> package
TREES = {"karnak_core": "karnak_core", "plugins": "karnak_plugins"}
#: packages without modules: the manual, which lies beside them in the tree
MANUAL = {"karnak_plugins.web_console.docs": "docs", "karnak_plugins.web_console.docs.images": "docs/images"}
#: seconds for what takes one or two
DEADLINE = 120.0


def packages() -> dict[str, Path]:
    """Return every package with its directory."""
    return {
        ".".join([package, *path.parent.relative_to(ROOT / tree).parts]): path.parent
        for tree, package in TREES.items()
        for path in (ROOT / tree).rglob("__init__.py")
    }


# ---- the lists of pyproject.toml ---------------------------------------------------------------------------------


def test_packages_are_the_directories_with_an_init_file() -> None:
    assert SETUPTOOLS["packages"] == sorted([*packages(), *MANUAL])
    assert SETUPTOOLS["package-dir"] == {"karnak_plugins": "plugins", **MANUAL}


def test_every_module_is_in_a_package() -> None:
    directories = set(packages().values())
    assert [path for tree in TREES for path in (ROOT / tree).rglob("*.py") if path.parent not in directories] == []


def test_entry_points_are_the_directories_of_plugins() -> None:
    plugins = [path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")]
    written = PROJECT["project"]["entry-points"][GROUP]
    assert written == {"core": "karnak_core.builtin"} | {name: f"karnak_plugins.{name}" for name in sorted(plugins)}


def test_installed_entry_points_are_the_written_ones() -> None:
    installed = {entry.name for entry in entry_points(group=GROUP) if entry.value.startswith("karnak_")}
    assert installed == set(PROJECT["project"]["entry-points"][GROUP]), "install again: pip install -e ."


def test_both_packages_say_that_they_are_typed() -> None:
    for tree in TREES:
        assert (ROOT / tree / "py.typed").is_file()


def test_every_data_file_is_package_data() -> None:
    patterns = SETUPTOOLS["package-data"]["*"]
    directories = set(packages().values())
    left_out = [
        str(path.relative_to(ROOT))
        for path in data_files()
        if path.parent not in directories or not any(fnmatch(path.name, pattern) for pattern in patterns)
    ]
    assert left_out == []


def data_files(root: Path = ROOT) -> list[Path]:
    """Return every file of the packages that is no module."""
    return [
        path
        for tree in TREES
        for path in (root / tree).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    ]


def test_type_checkers_find_the_plugins_by_a_link() -> None:
    link = ROOT / ".typing" / "karnak_plugins"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "plugins"


def test_distribution_is_not_called_karnak() -> None:
    assert PROJECT["project"]["name"] == "karnak-gateway"
    example = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))
    assert "karnak-gateway>=0.1,<1" in example["project"]["dependencies"]


# ---- the wheel, in an environment of its own ---------------------------------------------------------------------


class Environment:
    """A fresh virtual environment that borrows the dependencies of this one, but not Karnak itself."""

    def __init__(self, folder: Path, *wheels: Path) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.program = folder / "bin" / "karnak"
        # a path in a .pth file is searched last; .pth files in it, as of an editable install, are not read
        (site,) = (folder / "lib").glob("python*/site-packages")
        borrowed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        (site / "borrowed.pth").write_text("\n".join(borrowed))
        for wheel in wheels:
            run(sys.executable, "-m", "pip", "--python", self.python, "install", "--no-deps", "--no-index", wheel)

    def karnak(self, *arguments: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``karnak``."""
        return run(self.program, *arguments, cwd=cwd, check=check)


def run(*command: str | Path, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program that finds Karnak by its own environment only; show what it said when it fails."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "KARNAK"))
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment | {"NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def build(source: Path, folder: Path) -> Path:
    """Build a wheel from a copy beside it, so that the tree stays as it is."""
    names = ["pyproject.toml", "README.md", "LICENSE", *TREES, "docs", "karnak_example"]
    for path in (source / name for name in names):
        if path.is_dir():
            shutil.copytree(path, folder / "source" / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            (folder / "source").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / "source")
    # without the setuptools that it needs, the builder fetches one
    isolated = ["--no-isolation"] if setuptools_is_here() else []
    run(sys.executable, "-m", "build", "--wheel", *isolated, "--outdir", folder, folder / "source")
    (wheel,) = folder.glob("*.whl")
    return wheel


def setuptools_is_here() -> bool:
    """Say whether the installed setuptools is new enough to build with."""
    (needed,) = PROJECT["build-system"]["requires"]
    try:
        return int(version("setuptools").split(".")[0]) >= int(needed.removeprefix("setuptools>="))
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of Karnak."""
    return build(ROOT, tmp_path_factory.mktemp("karnak"))


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """An environment with Karnak."""
    return Environment(tmp_path_factory.mktemp("environment") / "venv", wheel)


@pytest.fixture(scope="session")
def with_example(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """An environment with Karnak and the example plugin."""
    example = build(EXAMPLE, tmp_path_factory.mktemp("example"))
    return Environment(tmp_path_factory.mktemp("environment") / "venv", wheel, example)


@pytest.mark.slow
def test_wheel_has_every_file_of_the_tree(wheel: Path) -> None:
    found = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    source = wheel.with_name("source")
    files = [*data_files(source), *(path for tree in TREES for path in (source / tree).rglob("*.py"))]
    expected = {re.sub(r"^plugins/", "karnak_plugins/", str(path.relative_to(source))) for path in files}
    for package, directory in MANUAL.items():
        pages = [path for path in (source / directory).iterdir() if path.is_file()]
        assert pages
        expected |= {f"{package.replace('.', '/')}/{path.name}" for path in pages}
    assert found == expected


@pytest.mark.slow
def test_wheel_works_in_a_fresh_environment(alone: Environment, tmp_path: Path) -> None:
    where = run(alone.python, "-c", "import karnak_core; print(karnak_core.__file__)", cwd=tmp_path).stdout
    assert Path(where.strip()).is_relative_to(alone.folder)
    plugins = json.loads(alone.karnak("plugins", "--json", cwd=tmp_path).stdout)
    assert [(plugin["name"], plugin["distribution"], plugin["version"]) for plugin in plugins] == [
        (name, "karnak-gateway", __version__) for name in sorted(PROJECT["project"]["entry-points"][GROUP])
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_manual_comes_with_the_wheel(alone: Environment, tmp_path: Path) -> None:
    code = "from karnak_plugins.web_console import manual; print(*manual.pages(), *manual.pictures(), manual.folder())"
    *names, folder = run(alone.python, "-c", code, cwd=tmp_path).stdout.split()
    assert Path(folder).is_relative_to(alone.folder)
    docs = ROOT / "docs"
    expected = [path.stem for path in docs.glob("*.md")] + [path.name for path in (docs / "images").iterdir()]
    assert sorted(names) == sorted(expected)


# ---- a third party's plugin --------------------------------------------------------------------------------------


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A configuration with the example's destination beside a folder."""
    return write_configuration(tmp_path / "gateway.yml", {"file": "sums.txt"})


def write_configuration(path: Path, keys: dict[str, str]) -> Path:
    """Write a configuration; ``keys`` are those of the example's destination."""
    destinations = [
        {"name": "local", "type": "folder", "directory": "received"},
        {"name": "sums", "type": "checksum_list", **keys},
    ]
    document = {
        "listener": {"host": "127.0.0.1", "port": 0},
        "storage": {"reserve": 0},
        "forward_nodes": [{"ae_title": "FORWARD", "destinations": destinations}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.slow
def test_example_plugin_is_listed_with_its_distribution(with_example: Environment, tmp_path: Path) -> None:
    plugins = {
        plugin["name"]: plugin for plugin in json.loads(with_example.karnak("plugins", "--json", cwd=tmp_path).stdout)
    }
    assert plugins["example"] == {
        "name": "example",
        "distribution": "karnak-example",
        "version": "0.1.0",
        "disabled": False,
        "hooks": [
            "karnak_register_authenticators",
            "karnak_register_commands",
            "karnak_register_destinations",
            "karnak_register_notifiers",
            "karnak_register_profile_elements",
            "karnak_register_pseudonym_sources",
        ],
        "kinds": [
            "destination:checksum_list",
            "authenticator:api_key",
            "pseudonym source:pseudonym_list",
            "notifier:webhook",
            "profile element:example.truncate.text",
        ],
    }


@pytest.mark.slow
def test_authenticator_of_the_example_plugin_is_a_command(with_example: Environment, tmp_path: Path) -> None:
    listed = with_example.karnak("auth-header", "--help", cwd=tmp_path).stdout
    assert [word for word in ("api_key", "basic", "oauth2") if word not in listed] == []
    printed = with_example.karnak("auth-header", "api_key", "--key", "k3y", cwd=tmp_path).stdout
    assert printed == "<key>X-API-Key</key>\n<value>k3y</value>\n"


@pytest.mark.slow
def test_example_plugin_has_its_keys_checked(with_example: Environment, configuration: Path) -> None:
    with_example.karnak("check", configuration, cwd=configuration.parent)
    write_configuration(configuration, {"fiel": "sums.txt"})
    refused = with_example.karnak("check", configuration, cwd=configuration.parent, check=False)
    assert refused.returncode == 2
    assert "forward_nodes[0].destinations[1].fiel: unknown key" in refused.stderr
    assert "forward_nodes[0].destinations[1].file" in refused.stderr


PROFILE = """\
name: Short comments
profileElements:
  - {name: cut, codename: example.truncate.text, arguments: {length: LENGTH}, tags: ["(0010,4000)"]}
  - {name: DICOM basic profile, codename: basic.dicom.profile}
"""


@pytest.mark.slow
def test_codename_and_pseudonyms_of_the_example_plugin_are_used_without_a_fork(
    with_example: Environment, alone: Environment, configuration: Path
) -> None:
    document = yaml.safe_load(configuration.read_text())
    profile = configuration.with_name("profile.yml")
    document["profiles"] = ["profile.yml"]
    document["projects"] = [{"name": "STUDY-A", "profile": "Short comments"}]
    source = {"type": "pseudonym_list", "file": "study-a.txt"}
    first = document["forward_nodes"][0]["destinations"][0]
    first["de_identification"] = {"project": "STUDY-A", "pseudonym": source}
    configuration.write_text(yaml.safe_dump(document))

    profile.write_text(PROFILE.replace("LENGTH", "10"))
    with_example.karnak("check", configuration, cwd=configuration.parent)
    profile.write_text(PROFILE.replace("LENGTH", "long"))
    refused = with_example.karnak("check", configuration, cwd=configuration.parent, check=False)
    assert refused.returncode == 2
    assert "profiles[0]: profile.yml, line 3: example.truncate.text 'cut': argument 'length': 'long'" in refused.stderr

    profile.write_text(PROFILE.replace("LENGTH", "10"))
    unknown = alone.karnak("check", configuration, cwd=configuration.parent, check=False)
    assert unknown.returncode == 2
    assert "profiles[0]: profile.yml, line 3: " in unknown.stderr
    assert "codename 'example.truncate.text' is unknown" in unknown.stderr
    assert "pseudonym.type: 'pseudonym_list' is not a known type; known: " in unknown.stderr

    data = configuration.with_name("data")
    data.mkdir()
    (data / "study-a.txt").write_text("P1\tPSN-1\n")
    with gateway(with_example, configuration, data) as port:
        send(port, ["1.2.3.4.0"], configuration.parent)
        deadline = time.monotonic() + DEADLINE
        while not (received := list((data / "received").rglob("*.dcm"))):
            assert time.monotonic() < deadline, configuration.with_suffix(".log").read_text()
            threading.Event().wait(0.05)
    sent = dcmread(received[0])
    assert (sent.PatientComments, sent.PatientName, sent.ClinicalTrialSubjectID) == ("a comment", "PSN-1", "PSN-1")


@pytest.mark.slow
def test_example_plugin_passes_its_own_tests(with_example: Environment, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLE / "pyproject.toml", tmp_path)
    said = run(with_example.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path).stdout
    assert re.search(r"\d+ passed", said)


@contextmanager
def gateway(environment: Environment, configuration: Path, data: Path) -> Iterator[int]:
    """Run a gateway; give the port that it says it listens on. It has to end with status 0."""
    log = configuration.with_suffix(".log")
    command = [str(word) for word in (environment.program, "serve", "--config", configuration, "--data", data)]
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "KARNAK"))
    }
    with open(log, "wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=configuration.parent, env=variables
        )
    # ends the wait for a line that does not come
    watchdog = threading.Timer(DEADLINE, process.kill)
    watchdog.start()
    try:
        with process:
            assert process.stdout is not None
            ready = re.match(r"ready: DICOM \S+:(\d+)", process.stdout.readline())
            assert ready, log.read_text()
            watchdog.cancel()
            try:
                yield int(ready[1])
            finally:
                process.send_signal(signal.SIGTERM)
                status = process.wait(DEADLINE)
        assert status == 0, log.read_text()
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()


def send(port: int, uids: list[str], folder: Path) -> None:
    """Send instances as a modality does."""
    context = ProposedContext(CTImageStorage, (ExplicitVRLittleEndian,))
    with Association.open(
        "127.0.0.1", port, calling_ae_title="CT1", called_ae_title="FORWARD", contexts=[context]
    ) as association:
        context_id = association.accepts(CTImageStorage, ExplicitVRLittleEndian)
        assert context_id is not None
        for uid in uids:
            ds = Dataset()
            ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, uid
            ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.1"
            ds.PatientID, ds.PatientComments = "P1", "a comment that is long"
            path = folder / uid
            ds.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=False)
            assert association.send_c_store(CTImageStorage, uid, context_id, path).status == 0x0000


def test_example_plugin_gets_what_the_gateway_received(
    with_example: Environment, configuration: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    sums = data / "sums.txt"
    uids = [f"1.2.3.4.{number}" for number in range(5)]
    with gateway(with_example, configuration, data) as port:
        send(port, uids, tmp_path)
        deadline = time.monotonic() + DEADLINE
        while not (sums.exists() and len(sums.read_text().splitlines()) >= len(uids)) or len(
            list((data / "received").rglob("*.dcm"))
        ) < len(uids):
            assert time.monotonic() < deadline, configuration.with_suffix(".log").read_text()
            threading.Event().wait(0.05)
    assert sorted(line.split()[1] for line in sums.read_text().splitlines()) == uids
    listed = with_example.karnak("checksums", sums, data / "received", cwd=tmp_path).stdout
    assert "5 instances, 0 problems" in listed
    (data / "received" / "P1" / "1.2.3" / "1.2.3.4.0.dcm").write_bytes(b"changed")
    compared = with_example.karnak("checksums", sums, data / "received", cwd=tmp_path, check=False)
    assert compared.returncode == 1
    assert "1.2.3.4.0" in next(line for line in compared.stdout.splitlines() if "MISSING OR CHANGED" in line)
