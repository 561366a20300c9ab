"""The command line. `COMMANDS` is the table of contents; a command's module is imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys

import click

from labeler import __version__

#: command -> (module under labeler.cli, one line for `labeler --help`), in the order of a first day's work
COMMANDS = {
    "demo": ("demo", "Run the whole loop on a small synthetic encyclopaedia."),
    "init": ("data", "Make a workspace."),
    "import": ("data", "Add passages, questions, labels and reviews from files."),
    "index": ("retrieval", "Build or extend the retrieval index."),
    "search": ("retrieval", "Find passages for a question."),
    "train": ("reading", "Train a reader on the live labels."),
    "ask": ("reading", "Answer one question from the corpus."),
    "evaluate": ("evaluate", "Measure retrieval and reader on a split."),
    "predict": ("rounds", "Predict the pool with the current reader."),
    "round": ("rounds", "Run the current round on from where it stands."),
    "push": ("studio", "Send open tasks to Label Studio."),
    "pull": ("studio", "Fetch what was reviewed in Label Studio."),
    "review": ("review", "Review in the terminal, for one person without a server."),
    "studio": ("studio", "Start, stop and check a Label Studio of your own."),
    "rounds": ("rounds", "List, show, compare and revert rounds."),
    "labels": ("labels", "List labels with their provenance."),
    "label": ("labels", "Set or withdraw a label by hand."),
    "history": ("labels", "Tell everything that happened to one question."),
    "status": ("maintenance", "Show where everything stands."),
    "report": ("demo", "Write one HTML page with the whole story."),
    "export": ("data", "Write labels, or tasks for a Label Studio elsewhere."),
    "answer": ("reading", "Read a SQuAD-format file with a reader; needs no workspace."),
    "ablate": ("evaluate", "Train and compare readers on one labelled file."),
    "prune": ("maintenance", "Delete predictions and models that nothing refers to."),
    "db": ("maintenance", "Upgrade, back up and restore the database."),
    "doctor": ("maintenance", "Check what works on this machine."),
}


class LazyGroup(click.Group):
    """A group that lists its commands from a table and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"labeler.cli.{COMMANDS[name][0]}")
        command = getattr(module, f"{name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="labeler")
def cli() -> None:
    """Grow a small set of labelled questions into a question-answering dataset that can be trusted.

    \b
    A first look:      labeler demo
    On your own data:  labeler init ws && cd ws
                       labeler import train.json --split gold=1000,dev=500,test=1000,pool=rest
                       labeler index && labeler round --rounds 2 --reviewer simulated && labeler report
    """


def main() -> None:
    """Run the command line: exit 0 done, 1 with one clear line, 2 for wrong usage, 130 when interrupted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        result = cli.main(prog_name="labeler", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("labeler: interrupted; nothing is lost: the same command goes on from here", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        from labeler.core.error_messages import explain

        line = explain(error)
        if line is None:
            raise
        click.echo(f"labeler: {line}", err=True)
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)
