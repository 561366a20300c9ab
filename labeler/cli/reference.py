"""Generate docs/cli.md from the help of the commands: `python -m labeler.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from labeler.cli import COMMANDS, cli

WIDTH = 100
HEAD = """# The command line

Generated from `--help` by `python -m labeler.cli.reference`; a test compares the two. Every command takes `--json` and
then prints one JSON object to stdout, for an error `{"error": "..."}`. Progress and log lines go to stderr; without a
terminal, long work logs one line a minute. Exit status: 0 done, 1 an error in one line that says how to fix it, 2 wrong
usage, 130 interrupted. Lists have 50 rows on a terminal, all rows elsewhere, or `--limit` rows.

Shell completion of commands and options:

    eval "$(_LABELER_COMPLETE=bash_source labeler)"                            # bash: in ~/.bashrc
    eval "$(_LABELER_COMPLETE=zsh_source labeler)"                             # zsh: in ~/.zshrc
    eval (env _LABELER_COMPLETE=fish_source labeler)                           # fish: in ~/.config/fish/config.fish
"""


def reference() -> str:
    """Return the whole page."""
    context = _context(cli, "labeler", None)
    parts = [HEAD]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        parts += _pages(command, name, context)
    return "\n".join(parts)


def _pages(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """Yield the help of a command and of its subcommands."""
    context = _context(command, name, parent)
    yield f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _pages(found, below, context)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """Return the context of a command, at the width of the page."""
    settings = {**cli.context_settings, "max_content_width": WIDTH, "terminal_width": WIDTH}
    return click.Context(command, parent=parent, info_name=name, **settings)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
