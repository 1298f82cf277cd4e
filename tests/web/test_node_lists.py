"""Lists of nodes and endpoints: by the API, and by the pages; and what the database keeps of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from web_support import Client, ConsoleApp

from karnak_core.database import Database
from karnak_core.errors import ConfigurationError, NotFound
from karnak_core.tools import node_lists
from karnak_core.tools.nodes import GATEWAY_DESTINATIONS, WORKLIST, DicomNode, Service, WebEndpoint

TOOLS = "/api/v1/tools"
ANY = {"If-Match": "*"}
HEADER = "description,aetitle,hostname,port,nodeType,nodeGroup\n"
TWO = HEADER + "One,ONE,one.local,104,PACS,SiteA\nTwo,TWO,two.local,105\nbad,,host,notaport\n"


def node(ae_title: str = "PACS", **more: object) -> DicomNode:
    values = {"ae_title": ae_title, "hostname": "pacs.local", "port": 104, "group": "SiteA", **more}
    return DicomNode(**values)  # type: ignore[arg-type]


# ---- the database ------------------------------------------------------------------------------------------------


def test_nodes_are_kept_changed_and_removed(database: Database) -> None:
    stored = node_lists.save_node(database, node(description="An archive"))
    assert stored.node == node(description="An archive")
    changed = node_lists.save_node(database, node(port=105), stored.id)
    with database.read() as connection:
        assert node_lists.nodes(connection) == [changed]
        assert node_lists.nodes(connection, "SiteB") == []
        assert node_lists.groups(connection) == {"SiteA": (1, 0)}
    assert node_lists.delete_node(database, stored.id) == changed.node
    for gone in (
        lambda: node_lists.delete_node(database, stored.id),
        lambda: node_lists.save_node(database, node(), stored.id),
    ):
        with pytest.raises(NotFound):
            gone()


def test_same_address_is_not_twice_in_a_group(database: Database) -> None:
    node_lists.save_node(database, node())
    with pytest.raises(ConfigurationError, match="in the list already"):
        node_lists.save_node(database, node(hostname="PACS.local"))
    other = node_lists.save_node(database, node(group="SiteB"))
    with pytest.raises(ConfigurationError, match="in the list already"):
        node_lists.save_node(database, node(), other.id)


def test_worklists_are_in_no_group_and_the_reserved_group_is_nobodys(database: Database) -> None:
    assert node_lists.save_node(database, node(node_type=WORKLIST)).node.group is None
    with pytest.raises(ConfigurationError, match="cannot be changed here"):
        node_lists.save_node(database, node(group=GATEWAY_DESTINATIONS.upper()))
    with pytest.raises(NotFound, match="cannot be changed here"):
        node_lists.delete_group(database, GATEWAY_DESTINATIONS)


def test_import_adds_what_is_new_and_replaces_when_told_so(database: Database) -> None:
    node_lists.import_nodes(database, [node("A"), node("B"), node("C", group="SiteB")])
    again = node_lists.import_nodes(database, [node("A"), node("D"), node("D")])
    assert (again.added, again.known) == (1, 2)
    replaced = node_lists.import_nodes(database, [node("E")], empty_first=True)
    assert (replaced.added, replaced.known) == (1, 0)
    with database.read() as connection:
        titles = [stored.node.ae_title for stored in node_lists.nodes(connection)]
    assert titles == ["E", "C"]


def test_endpoints_are_kept_each_address_once(database: Database) -> None:
    services = (Service.STOW_RS, Service.WADO_URI)
    endpoint = WebEndpoint(url="https://host/dicom-web", description="Cloud", services=services, group="SiteA")
    stored = node_lists.save_endpoint(database, endpoint)
    assert stored.endpoint == endpoint
    done = node_lists.import_endpoints(database, [endpoint, WebEndpoint(url="https://other/x")])
    assert (done.added, done.known) == (1, 1)
    with database.read() as connection:
        assert node_lists.groups(connection) == {"": (0, 1), "SiteA": (0, 1)}
    assert node_lists.delete_group(database, "SiteA") == 1
    with pytest.raises(ConfigurationError, match="URL"):
        node_lists.save_endpoint(database, WebEndpoint(url="file:///etc/passwd"))


def test_lists_do_not_grow_without_end(database: Database) -> None:
    many = [node(f"A{number}") for number in range(node_lists.MOST)]
    assert node_lists.import_nodes(database, many).added == node_lists.MOST
    with pytest.raises(ConfigurationError, match="5000 are allowed"):
        node_lists.save_node(database, node("ONE_MORE"))


# ---- the API -----------------------------------------------------------------------------------------------------


@pytest.fixture
def program(console_app: ConsoleApp) -> Client:
    """A program that may use the tools, and nothing else."""
    return console_app.with_token("tools")


def test_nodes_by_the_api(program: Client) -> None:
    new = {"ae_title": "PACS", "hostname": "pacs.local", "port": 104, "group": "SiteA"}
    added = program.post(f"{TOOLS}/nodes", json=new)
    assert added.status_code == 201
    path = f"{TOOLS}/nodes/{added.json()['id']}"
    assert program.get(path).json() == {**new, **added.json()}
    assert program.put(path, json={**new, "port": 105}, headers=ANY).json()["port"] == 105
    assert program.get(f"{TOOLS}/nodes", params={"group": "SiteB"}).json()["items"] == []
    groups = program.get(f"{TOOLS}/groups").json()["items"]
    assert groups == [
        {"name": GATEWAY_DESTINATIONS, "nodes": 0, "endpoints": 0, "read_only": True},
        {"name": "SiteA", "nodes": 1, "endpoints": 0, "read_only": False},
    ]
    wrong = program.post(f"{TOOLS}/nodes", json={**new, "ae_title": "A\\B", "group": "gateway destinations"})
    assert wrong.status_code == 422
    assert [one["place"] for one in wrong.json()["errors"]] == ["ae_title", "group"]
    assert program.delete(path, headers=ANY).status_code == 204
    gone = (program.get(path), program.delete(path, headers=ANY), program.put(path, json=new, headers=ANY))
    for answer in gone:
        assert answer.status_code == 404
    assert program.delete(f"{TOOLS}/groups/SiteA").status_code == 404


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        ("nodes", {"ae_title": "PACS", "hostname": "pacs.local", "port": 104}, {"port": 105}),
        ("endpoints", {"url": "https://host/x"}, {"description": "another"}),
    ],
)
def test_two_programs_do_not_overwrite_each_other(
    program: Client, path: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    added = program.post(f"{TOOLS}/{path}", json=first)
    at, seen = f"{TOOLS}/{path}/{added.json()['id']}", {"If-Match": added.headers["ETag"]}
    assert program.get(at).headers["ETag"] == seen["If-Match"]
    for answer in (program.put(at, json={**first, **second}), program.delete(at)):
        assert answer.status_code == 428
    changed = program.put(at, json={**first, **second}, headers=seen)
    assert changed.status_code == 200
    assert changed.headers["ETag"] == program.get(at).headers["ETag"] != seen["If-Match"]
    for answer in (program.put(at, json=first, headers=seen), program.delete(at, headers=seen)):
        assert answer.status_code == 412
        assert "somebody else has changed this meanwhile" in answer.json()["detail"]
    assert program.get(at).json() == changed.json()
    assert program.delete(at, headers={"If-Match": changed.headers["ETag"]}).status_code == 204


def test_files_are_imported_and_exported_by_the_api(program: Client) -> None:
    done = program.post(f"{TOOLS}/nodes/import", json={"csv": TWO, "group": "Default"}).json()
    assert (done["added"], done["known"]) == (2, 0)
    assert [problem[:6] for problem in done["problems"]] == ["row 4:", "row 4:"]
    exported = program.get(f"{TOOLS}/nodes.csv")
    assert exported.headers["Content-Type"].startswith("text/csv")
    assert '"Two","TWO","two.local","105","WORKSTATION","Default"' in exported.text
    again = program.post(f"{TOOLS}/nodes/import", json={"csv": exported.text}).json()
    assert again == {"added": 0, "known": 2, "problems": []}
    forced = program.post(f"{TOOLS}/nodes/import", json={"csv": TWO, "group": "Forced", "force_group": True}).json()
    assert forced["added"] == 2
    web = {"csv": "Cloud,https://host/x,STOW-RS;BOGUS,SiteA\n"}
    noted = program.post(f"{TOOLS}/endpoints/import", json=web).json()
    assert (noted["added"], "BOGUS" in noted["problems"][0]) == (1, True)
    listed = program.get(f"{TOOLS}/endpoints").json()["items"]
    assert [(one["url"], one["services"]) for one in listed] == [("https://host/x", ["STOW_RS"])]
    changed = program.put(f"{TOOLS}/endpoints/{listed[0]['id']}", json={"url": "https://host/y"}, headers=ANY)
    assert changed.json()["services"] == []
    assert '"https://host/y"' in program.get(f"{TOOLS}/endpoints.csv").text
    assert program.delete(f"{TOOLS}/endpoints/{listed[0]['id']}", headers=ANY).status_code == 204
    assert program.get(f"{TOOLS}/endpoints/{listed[0]['id']}").status_code == 404


def test_destinations_of_the_gateway_are_a_list_that_cannot_be_changed(
    console_app: ConsoleApp, program: Client
) -> None:
    destination = {"name": "pacs", "type": "dicom", "ae_title": "PACS", "hostname": "pacs.local", "port": 104}
    whole = {"forward_nodes": [{"ae_title": "FORWARD", "destinations": [destination]}]}
    console_app.console.change(lambda _document: whole, expected_version=None, author="test", comment="")
    found = program.get(f"{TOOLS}/nodes").json()["items"]
    assert [(one["id"], one["description"], one["group"]) for one in found] == [(None, "PACS", GATEWAY_DESTINATIONS)]
    own = program.get(f"{TOOLS}/nodes.csv", params={"group": GATEWAY_DESTINATIONS}).text
    refused = program.post(f"{TOOLS}/nodes/import", json={"csv": own}).json()
    assert (refused["added"], len(refused["problems"])) == (0, 1)
    page = console_app.signed_in().get("/nodes").text
    assert "known=g%3APACS%40pacs.local%3A104" in page


# ---- the pages ---------------------------------------------------------------------------------------------------


def test_nodes_by_the_pages(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    assert "The gateway sends to no DICOM node." in client.get("/nodes").text
    assert client.get("/nodes/add").status_code == 200
    fields = {"ae_title": "PACS", "hostname": "pacs.local", "port": "104", "node_type": "PACS", "group": "SiteA"}
    hostile = {**fields, "description": "<img src=x onerror=alert(1)>"}
    assert client.submit("/nodes/add", hostile).headers["Location"] == "/nodes"
    listed = client.get("/nodes").text
    assert "&lt;img src=x" in listed
    assert "<img src=x" not in listed
    wrong = client.submit("/nodes/1", {**fields, "port": "x"})
    assert (wrong.status_code, "is not 1 to 65535" in wrong.text) == (422, True)
    assert client.submit("/nodes/1", {**fields, "ae_title": "OTHER"}).status_code == 303
    assert 'value="OTHER"' in client.get("/nodes/1").text
    assert client.submit("/nodes/1/delete").status_code == 303
    assert client.get("/nodes/1").status_code == 404


@pytest.mark.parametrize(
    ("path", "first", "field", "values"),
    [
        (
            "/nodes",
            {"ae_title": "PACS", "hostname": "h", "port": "104", "node_type": "PACS"},
            "description",
            ("HERS", "HIS"),
        ),
        ("/nodes/endpoints", {"url": "https://host/x"}, "description", ("HERS", "HIS")),
    ],
)
def test_who_comes_second_sees_what_the_first_one_changed(
    console_app: ConsoleApp, path: str, first: dict[str, str], field: str, values: tuple[str, str]
) -> None:
    client = console_app.signed_in()
    client.submit(f"{path}/add", first)
    seen = hidden(client.get(f"{path}/1").text)
    assert client.submit(f"{path}/1", {**first, field: values[0], "seen": seen}).status_code == 303
    late = client.submit(f"{path}/1", {**first, field: values[1], "seen": seen})
    assert late.status_code == 409
    assert "Somebody else has changed this meanwhile." in late.text
    assert values[0] in late.text
    assert f'value="{values[1]}"' in late.text
    assert client.submit(f"{path}/1/delete", {"seen": seen}).status_code == 303
    assert "Nothing is deleted" in client.get("/nodes").text
    again = client.submit(f"{path}/1", {**first, field: values[1], "seen": hidden(late.text)})
    assert again.status_code == 303
    assert f'value="{values[1]}"' in client.get(f"{path}/1").text
    assert client.submit(f"{path}/1/delete", {"seen": hidden(client.get(f"{path}/1").text)}).status_code == 303
    assert client.get(f"{path}/1").status_code == 404


def test_a_group_that_has_grown_is_not_deleted_unseen(console_app: ConsoleApp) -> None:
    client, program = console_app.signed_in(), console_app.with_token("tools")
    node_lists.save_node(console_app.console.database, node())
    page = client.get("/nodes").text
    assert 'name="count" value="1"' in page
    node_lists.save_endpoint(console_app.console.database, WebEndpoint(url="https://host/x", group="SiteA"))
    assert client.submit("/nodes/delete-group", {"group": "SiteA", "count": "1"}).status_code == 303
    assert "Nothing is deleted: the group has 2 entries by now" in client.get("/nodes").text
    refused = program.delete(f"{TOOLS}/groups/SiteA", params={"count": 1})
    assert refused.status_code == 409
    assert program.get(f"{TOOLS}/groups").json()["items"][1]["nodes"] == 1
    assert program.delete(f"{TOOLS}/groups/SiteA", params={"count": 2}).status_code == 204


def hidden(page: str) -> str:
    """Return the state that a form was made from."""
    found = re.search(r'name="seen" value="([^"]+)"', page)
    assert found
    return found[1]


def test_endpoints_by_the_pages(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    assert client.get("/nodes/endpoints/add").status_code == 200
    assert client.submit("/nodes/endpoints/add", {"url": "not-a-url"}).status_code == 422
    added = client.submit("/nodes/endpoints/add", {"url": "https://host/x", "services": ["STOW_RS", "QIDO_RS"]})
    assert added.status_code == 303
    assert "STOW-RS, QIDO-RS" in client.get("/nodes").text
    assert client.get("/nodes/endpoints/1").text.count("checked") == 2
    assert client.submit("/nodes/endpoints/1", {"url": "https://host/y", "group": "SiteA"}).status_code == 303
    assert client.submit("/nodes/delete-group", {"group": "SiteA"}).status_code == 303
    assert client.submit("/nodes/endpoints/1/delete").status_code == 404


def test_files_by_the_pages(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()

    def upload(content: bytes, **fields: str) -> Any:
        return client.submit("/nodes/import", {"kind": "nodes", **fields}, files={"file": ("nodes.csv", content)})

    answer = upload(TWO.encode(), group="Default")
    assert answer.status_code == 200
    assert "2 added, 0 there already." in answer.text
    assert "row 4: AE title is missing" in answer.text
    good = upload((HEADER + "One,ONE,one.local,104,PACS,SiteA\n").encode(), replace="on")
    assert good.status_code == 303
    binary = upload(b"\xff\xfe")
    assert (binary.status_code, "not UTF-8" in binary.text) == (422, True)
    none = client.submit("/nodes/import", {"kind": "nodes"})
    assert (none.status_code, "no file is chosen" in none.text) == (422, True)
    assert '"ONE"' in client.get("/nodes/export/nodes.csv").text
    assert client.get("/nodes/export/endpoints.csv").text.startswith('"description","url"')
    audit = console_app.with_token("users").get("/api/v1/audit").json()["items"]
    assert ("import", "nodes") in {(entry["action"], entry["object"]) for entry in audit}


def test_lists_are_for_admins(console_app: ConsoleApp) -> None:
    user = console_app.signed_in("ursula", "user")
    assert user.get("/nodes").status_code == 403
    assert user.submit("/nodes/add", {"ae_title": "A"}).status_code == 403
    assert console_app.with_token("read").get(f"{TOOLS}/nodes").status_code == 403
