"""The plugin loader, and every hook as core calls it; plugins are modules written for each test."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import click
import pytest
from pydicom import Dataset

from karnak_core.config.load import load as load_configuration
from karnak_core.errors import ConfigurationError, PluginError
from karnak_core.model import Caller, Delivery, Exclusion, Instance, Outcome, Refusal, State
from karnak_core.plugins import GROUP, PluginInfo, load

Install = Callable[..., EntryPoint]

PRELUDE = """
from pydantic import BaseModel
from karnak_core import hookimpl
from karnak_core.kinds import Kind
from karnak_core.model import Exclusion, Refusal

class Keys(BaseModel, frozen=True, extra="forbid"):
    pass

seen = []
"""
FOLDER_TYPE = """
@hookimpl
def karnak_register_destinations():
    return [Kind(name="folder", config=Keys, open=lambda config, context: None)]
"""
OBSERVER = """
@hookimpl
def karnak_delivery_finished(outcome):
    seen.append(outcome)
"""
FAILING_OBSERVER = """
@hookimpl
def karnak_delivery_finished():
    raise RuntimeError("broken")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Write a plugin's module and its distribution's metadata; give its entry point as an installer leaves it."""
    monkeypatch.syspath_prepend(tmp_path)
    modules: list[str] = []

    def make(
        name: str, source: str = "", *, distribution: str | None = None, version: str = "0.3", prelude: str = PRELUDE
    ) -> EntryPoint:
        distribution = distribution or f"karnak-{name}"
        module = f"module_{distribution.replace('-', '_')}_{len(modules)}"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(prelude + dedent(source))
        metadata = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")
        importlib.invalidate_caches()
        (entry,) = importlib.metadata.distribution(distribution).entry_points
        return entry

    yield make
    for module in modules:
        sys.modules.pop(module, None)


def seen_by(entry: EntryPoint) -> list[object]:
    """Return what a plugin noted."""
    noted: list[object] = entry.load().seen
    return noted


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_plugin_that_is_installed_twice_is_refused_and_both_distributions_are_named(install: Install) -> None:
    entries = [install("twin", distribution="karnak-one"), install("twin", distribution="karnak-two", version="2.0")]
    with pytest.raises(
        PluginError, match=r"plugin 'twin' is installed twice, by karnak-one 0\.3 and karnak-two 2\.0; remove one"
    ):
        load(entries=entries)


def test_duplicate_is_refused_even_when_it_is_disabled(install: Install) -> None:
    entries = [install("twin", distribution="karnak-one"), install("twin", distribution="karnak-two")]
    with pytest.raises(PluginError, match="installed twice"):
        load(["twin"], entries=entries)


@pytest.mark.parametrize("decorated", [True, False])
def test_unknown_hook_names_the_plugin_its_distribution_and_the_known_hooks(install: Install, decorated: bool) -> None:
    entry = install("typo", f"{'@hookimpl' if decorated else ''}\ndef karnak_register_destination(): return []")
    with pytest.raises(PluginError) as error:
        load(entries=[entry])
    message = str(error.value)
    assert "plugin 'typo' from karnak-typo 0.3 cannot be used" in message
    assert "unknown hook karnak_register_destination;" in message
    assert "karnak_register_destinations" in message


def test_hook_without_its_mark_is_refused(install: Install) -> None:
    entry = install("unmarked", "def karnak_register_destinations(): return []")
    with pytest.raises(PluginError, match="plugin 'unmarked' from karnak-unmarked"):
        load(entries=[entry])


def test_hook_with_an_unknown_argument_is_refused(install: Install) -> None:
    entry = install("argument", "@hookimpl\ndef karnak_startup(gateways): pass")
    with pytest.raises(PluginError, match=r"(?s)plugin 'argument' from karnak-argument 0\.3 .*gateways"):
        load(entries=[entry])


def test_optional_hook_of_a_newer_core_is_passed_over(install: Install) -> None:
    entry = install("newer", "@hookimpl(optionalhook=True)\ndef karnak_from_the_future(): pass")
    assert load(entries=[entry]).infos()[0].name == "newer"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
    ],
)
def test_module_that_cannot_be_imported_names_the_plugin_its_distribution_and_the_error(
    install: Install, source: str, reason: str
) -> None:
    with pytest.raises(PluginError) as error:
        load(entries=[install("good"), install("broken", source)])
    assert f"plugin 'broken' from karnak-broken 0.3 cannot be used: {reason}" in str(error.value)
    assert error.value.__cause__ is not None


def test_hook_that_fails_while_types_are_collected_names_the_plugin(install: Install) -> None:
    entry = install("failing", "@hookimpl\ndef karnak_register_destinations(): raise RuntimeError('no licence')")
    with pytest.raises(PluginError, match=r"plugin 'failing' from karnak-failing 0\.3 .*RuntimeError: no licence"):
        load(entries=[entry])


def test_two_plugins_that_offer_the_same_type_are_refused_and_both_are_named(install: Install) -> None:
    entries = [install("one", FOLDER_TYPE), install("two", FOLDER_TYPE)]
    with pytest.raises(PluginError, match="type 'folder' is offered by plugins 'one' and 'two'"):
        load(entries=entries)


def test_misspelt_disabled_name_lists_what_is_installed(install: Install) -> None:
    with pytest.raises(PluginError) as error:
        load(["othre"], entries=[install("other"), install("another")])
    assert str(error.value) == "plugins.disabled: othre: not installed; installed: another, other"


# ---- what is loaded ----------------------------------------------------------------------------------------------


def test_disabled_plugin_offers_nothing_and_is_not_even_imported(install: Install) -> None:
    broken = install("broken", "1 / 0")
    plugins = load(["broken", "off"], entries=[broken, install("off", FOLDER_TYPE + OBSERVER)])
    assert not plugins.destinations
    assert not plugins.has("karnak_delivery_finished")
    assert broken.module not in sys.modules


def test_disabling_one_of_two_plugins_that_offer_the_same_type_leaves_the_other(install: Install) -> None:
    entries = [install("one", FOLDER_TYPE), install("two", FOLDER_TYPE)]
    assert list(load(["one"], entries=entries).destinations) == ["folder"]


def test_infos_describe_every_plugin_in_name_order(install: Install) -> None:
    service = """
    @hookimpl
    def karnak_register_services():
        return [Kind(name="mail", config=Keys, open=lambda config, context: None)]
    """
    entries = [
        install("zebra", FOLDER_TYPE + OBSERVER, version="1.2"),
        install("off", OBSERVER),
        install("ant", service),
    ]
    assert load(["off"], entries=entries).infos() == [
        PluginInfo(
            name="ant",
            distribution="karnak-ant",
            version="0.3",
            disabled=False,
            hooks=("karnak_register_services",),
            kinds=("service:mail",),
        ),
        PluginInfo(name="off", distribution="karnak-off", version="0.3", disabled=True, hooks=(), kinds=()),
        PluginInfo(
            name="zebra",
            distribution="karnak-zebra",
            version="1.2",
            disabled=False,
            hooks=("karnak_delivery_finished", "karnak_register_destinations"),
            kinds=("destination:folder",),
        ),
    ]


def test_entry_point_without_a_distribution_is_described_too() -> None:
    entry = EntryPoint(name="plain", value="karnak_core.errors", group=GROUP)
    assert load(entries=[entry]).infos()[0].distribution == "?"


def test_two_loads_do_not_know_of_each_other(install: Install) -> None:
    entry = install("one", FOLDER_TYPE)
    first, second = load(entries=[entry]), load(["one"], entries=[entry])
    assert list(first.destinations) == ["folder"]
    assert not second.destinations


def test_plugins_in_use_are_those_of_the_entry_point_group() -> None:
    names = [info.name for info in load().infos()]
    assert names == sorted(entry.name for entry in importlib.metadata.entry_points(group=GROUP))
    assert {"dicom_dest", "folder_dest"} <= set(names)


# ---- every hook as it is called ----------------------------------------------------------------------------------


def test_karnak_register_destinations_makes_types_known_by_name(install: Install) -> None:
    kind = load(entries=[install("one", FOLDER_TYPE)]).destinations["folder"]
    assert kind.config.__name__ == "Keys"


def test_karnak_register_authenticators_makes_types_known_by_name(install: Install) -> None:
    source = FOLDER_TYPE.replace("destinations", "authenticators").replace("folder", "token")
    plugins = load(entries=[install("one", source)])
    assert list(plugins.authenticators) == ["token"]
    assert plugins.infos()[0].kinds == ("authenticator:token",)


def test_karnak_register_pseudonym_sources_makes_types_known_by_name(install: Install) -> None:
    source = FOLDER_TYPE.replace("destinations", "pseudonym_sources").replace("folder", "list")
    plugins = load(entries=[install("one", source)])
    assert list(plugins.pseudonym_sources) == ["list"]
    assert plugins.infos()[0].kinds == ("pseudonym source:list",)


def test_karnak_register_notifiers_makes_types_and_their_section_known(install: Install) -> None:
    source = """
    from pydantic import BaseModel
    from karnak_core.kinds import Kind, Section

    class Keys(BaseModel):
        pass

    class Shared(BaseModel):
        pass

    @hookimpl
    def karnak_register_notifiers():
        section = Section(name="pager_network", config=Shared)
        return [Kind(name="pager", config=Keys, open=lambda keys, context: None, section=section)]
    """
    plugins = load(entries=[install("one", source)])
    assert list(plugins.notifiers) == ["pager"]
    assert plugins.sections["pager_network"].__name__ == "Shared"
    assert plugins.infos()[0].kinds == ("notifier:pager",)


CODENAME = """
from karnak_core.deidentify import ProfileElement, Rule

@hookimpl
def karnak_register_profile_elements():
    return [ProfileElement(codename="third.party", read=lambda entry: Rule())]
"""


def test_karnak_register_profile_elements_makes_codenames_known(install: Install) -> None:
    plugins = load(entries=[install("one", CODENAME)])
    assert [element.codename for element in plugins.profile_elements] == ["third.party"]
    assert plugins.infos()[0].kinds == ("profile element:third.party",)


def test_codename_that_another_plugin_offers_stops_the_start(install: Install) -> None:
    entries = [install("one", CODENAME), install("two", CODENAME)]
    with pytest.raises(
        PluginError, match=r"plugin 'two' from .*: codename 'third.party' is offered by plugin 'one', too"
    ):
        load(entries=entries)
    assert len(load(["one"], entries=entries).profile_elements) == 1


def test_karnak_register_services_makes_services_known_by_name(install: Install) -> None:
    source = FOLDER_TYPE.replace("destinations", "services").replace("folder", "mail")
    assert list(load(entries=[install("one", source)]).services) == ["mail"]


def test_karnak_register_commands_gets_the_group(install: Install) -> None:
    source = """
    import click

    @hookimpl
    def karnak_register_commands(cli):
        cli.add_command(click.Command("greet"))
    """
    cli = click.Group()
    load(entries=[install("one", source)]).hook.karnak_register_commands(cli=cli)
    assert list(cli.commands) == ["greet"]


def test_karnak_check_config_answers_of_every_plugin_count(install: Install) -> None:
    source = """
    from karnak_core.errors import ConfigProblem

    @hookimpl
    def karnak_check_config(config):
        return [ConfigProblem(place=f"listener.port", message=f"{config.listener.port} is not to the taste of NAME")]
    """
    entries = [install(name, source.replace("NAME", name)) for name in ("one", "two")]
    with pytest.raises(ConfigurationError) as error:
        load_configuration({"listener": {"port": 11112}}, load(entries=entries))
    assert sorted(problem.message for problem in error.value.problems) == [
        "11112 is not to the taste of one",
        "11112 is not to the taste of two",
    ]


@pytest.mark.parametrize(
    ("body", "answer"),
    [("return None", None), ("return Refusal(reason=request.calling_ae_title)", Refusal(reason="CT1"))],
)
def test_karnak_refuse_association_may_refuse_or_have_no_opinion(
    install: Install, body: str, answer: Refusal | None
) -> None:
    plugins = load(entries=[install("one", f"@hookimpl\ndef karnak_refuse_association(request): {body}")])
    caller = Caller(called_ae_title="FORWARD", calling_ae_title="CT1", host="127.0.0.1")
    assert plugins.hook.karnak_refuse_association(request=caller) == answer


def test_karnak_exclude_instance_first_answer_decides(install: Install) -> None:
    silent = "@hookimpl\ndef karnak_exclude_instance(): return None"
    speaking = """
    @hookimpl
    def karnak_exclude_instance(header, destination):
        return Exclusion(rule=f"{header.Modality} does not go to {destination}")
    """
    plugins = load(entries=[install("a", silent), install("b", speaking), install("c", silent)])
    header = Dataset()
    header.Modality = "OT"
    answer = plugins.hook.karnak_exclude_instance(instance=an_instance(), header=header, destination="pacs")
    assert answer == Exclusion(rule="OT does not go to pacs")


def test_karnak_delivery_finished_one_failing_observer_never_stops_the_next(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    first, last = install("a_first", OBSERVER), install("z_last", OBSERVER)
    plugins = load(entries=[first, install("m_failing", FAILING_OBSERVER), install("n_silent"), last])
    outcome = Outcome(state=State.SENT)
    plugins.each("karnak_delivery_finished", delivery=a_delivery(), outcome=outcome)
    assert seen_by(first) == seen_by(last) == [outcome]
    (record,) = caplog.records
    assert record.getMessage() == "plugin m_failing failed in karnak_delivery_finished"
    assert record.exc_info is not None


def test_disabled_observer_sees_nothing(install: Install) -> None:
    entry = install("off", OBSERVER)
    load(["off"], entries=[entry]).each(
        "karnak_delivery_finished", delivery=a_delivery(), outcome=Outcome(state=State.SENT)
    )
    assert seen_by(entry) == []


def test_karnak_startup_failure_reaches_the_caller(install: Install) -> None:
    plugins = load(entries=[install("one", "@hookimpl\ndef karnak_startup(gateway): raise RuntimeError(gateway)")])
    with pytest.raises(RuntimeError, match="/data"):
        plugins.hook.karnak_startup(gateway="/data")


def test_karnak_shutdown_reaches_every_plugin_though_one_fails(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    note = "@hookimpl\ndef karnak_shutdown(gateway): seen.append(gateway)"
    entries = [install("a", note), install("b", "@hookimpl\ndef karnak_shutdown(): 1 / 0"), install("c", note)]
    load(entries=entries).each("karnak_shutdown", gateway="/data")
    assert [seen_by(entry) for entry in entries] == [["/data"], [], ["/data"]]
    assert len(caplog.records) == 1


def an_instance() -> Instance:
    """Return an instance in the spool."""
    return Instance(
        id=1,
        forward_node="FORWARD",
        calling_ae_title="CT1",
        peer_host="127.0.0.1",
        received_at=0,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="1.2.3.4",
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=Path("spooled"),
        dataset_offset=0,
        size=0,
    )


def a_delivery() -> Delivery:
    """Return a delivery of it."""
    return Delivery(id=1, destination="pacs", instance=an_instance(), attempts=0, created_at=0, since=0)
