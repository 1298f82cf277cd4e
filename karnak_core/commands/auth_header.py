"""``karnak auth-header``: the headers of an authenticator as text, one command for each kind that plugins offer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from karnak_core.commands.common import FAILED, WRONG, fail
from karnak_core.commands.keys import options_of, read_options
from karnak_core.errors import DeliveryError, PluginError
from karnak_core.http_headers import HeaderError, append_authorization
from karnak_core.kinds import Kind
from karnak_core.model import Authenticator, OpenContext
from karnak_core.plugins import Plugins, installed, load

Found = dict[str, tuple[Kind[Any, Authenticator], Plugins]]


class _Kinds(click.Group):
    """The kinds of authenticators of every plugin that can be used; found when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_found(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = _found(ctx).get(cmd_name)
        return _command(*found) if found else None


def _found(ctx: click.Context) -> Found:
    key = f"{__name__}.found"
    if key not in ctx.meta:
        found: Found = {}
        for entry in installed():
            try:
                plugins = load(entries=[entry])
            except PluginError:
                # the command line has told it when it started
                continue
            for name, kind in plugins.authenticators.items():
                found.setdefault(name, (kind, plugins))
        ctx.meta[key] = found
    known: Found = ctx.meta[key]
    return known


@click.group(cls=_Kinds)
def auth_header() -> None:
    """Print the headers that authorize a request.

    They are text for the key `headers` of a destination: <key>Authorization</key><value>…</value>.
    """


def _command(kind: Kind[Any, Authenticator], plugins: Plugins) -> click.Command:
    def run(append_to: str | None, **given: Any) -> None:
        config = read_options(kind.config, given, plugins)
        text = _text(append_to)
        part = kind.open(config, OpenContext(data_directory=Path.cwd()))
        try:
            together = append_authorization(text, part.headers())
        except HeaderError as error:
            fail(f"{_named(append_to)}{error}", WRONG)
        except DeliveryError as error:
            fail(error, FAILED)
        finally:
            part.close()
        if append_to not in (None, "-"):
            _write(Path(append_to), f"{together}\n")
        click.echo(together)

    append = click.Option(
        ["--append-to", "append_to"],
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        metavar="FILE|-",
        help="Add to the header text of FILE, which is written, or of standard input; all of it is printed.",
    )
    summary = kind.summary or kind.name
    return click.Command(
        kind.name, params=[*options_of(kind.config), append], callback=run, help=f"{summary[:1].upper()}{summary[1:]}."
    )


def _text(append_to: str | None) -> str:
    if append_to is None:
        return ""
    try:
        if append_to == "-":
            return sys.stdin.read()
        return Path(append_to).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{_named(append_to)}{error.strerror if isinstance(error, OSError) else 'is not UTF-8 text'}", FAILED)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{path}: {error.strerror}", FAILED)


def _named(append_to: str | None) -> str:
    return f"{'standard input' if append_to == '-' else append_to}: " if append_to else ""
