"""docs/cli.md, made from the commands' own help: `python -m labeler.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from labeler.cli import COMMANDS, cli

WIDTH = 100
HEAD = """# The command line

Made from `--help` by `python -m labeler.cli.reference`; a test holds the two together. Every command takes `--json`:
one JSON object on stdout and nothing else there. Progress and log lines go to stderr. Exit status: 0 done, 1 one clear
line about what is wrong and how to mend it, 2 wrong usage, 130 interrupted.
"""


def reference() -> str:
    """The whole page."""
    context = _context(cli, "labeler", None)
    parts = [HEAD]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        parts += _pages(command, name, context)
    return "\n".join(parts)


def _pages(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """The help of a command and of its subcommands."""
    context = _context(command, name, parent)
    yield f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _pages(found, below, context)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """What the command would be asked in for its help, at a width of its own."""
    settings = {**cli.context_settings, "max_content_width": WIDTH, "terminal_width": WIDTH}
    return click.Context(command, parent=parent, info_name=name, **settings)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
