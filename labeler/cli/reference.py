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
    context = click.Context(cli, info_name="labeler", max_content_width=WIDTH, terminal_width=WIDTH)
    parts = [HEAD]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        parts += _pages(command, name, context)
    return "\n".join(parts)


def _pages(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """The help of a command and of its subcommands."""
    context = click.Context(command, info_name=name, parent=parent, max_content_width=WIDTH, terminal_width=WIDTH)
    yield f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _pages(found, below, context)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
