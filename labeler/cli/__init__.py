"""The command line. `COMMANDS` is the table of contents; a command's module is imported only when it is called."""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import os
import sys
import traceback
from difflib import get_close_matches
from types import TracebackType
from typing import Any, NoReturn

import click

from labeler import __version__
from labeler.cli.common import say
from labeler.core.console import json_text, printable

GARBAGE = 100_000  # new objects between two collections: loading modules makes some 75,000 that stay

#: command -> (module under labeler.cli, one line for `labeler --help`), in the order of a first day's work
COMMANDS = {
    "demo": ("demo", "Run the whole loop on a small synthetic encyclopaedia."),
    "init": ("data", "Create a workspace."),
    "import": ("data", "Add passages, questions, labels, reviews and predictions."),
    "index": ("retrieval", "Build or extend the retrieval index."),
    "search": ("retrieval", "Find passages for a question."),
    "passages": ("retrieval", "Show passages."),
    "questions": ("retrieval", "List and search questions."),
    "train": ("reading", "Train a reader on the live labels."),
    "ask": ("reading", "Answer one question from the corpus."),
    "evaluate": ("evaluate", "Evaluate retrieval and reader on a split."),
    "annotate": ("labellers.annotate", "Let a language model answer the pool."),
    "compare": ("labellers", "Compare the answers of two labellers."),
    "predict": ("rounds", "Predict the pool with the current reader."),
    "round": ("rounds", "Resume the current round, or open the next."),
    "certify": ("certify", "Certify the precision of pseudo-labels by a blind random audit."),
    "push": ("studio", "Send open tasks to Label Studio."),
    "pull": ("studio", "Fetch reviews from Label Studio."),
    "review": ("review", "Review in the terminal, without a server."),
    "reviewers": ("review", "Show agreement, speed, quality and cost of the people who review."),
    "studio": ("studio", "Run Label Studio, invite reviewers, connect the reader."),
    "serve": ("studio.serve", "Answer Label Studio with the current reader's suggestions."),
    "plan": ("replay", "Forecast what a target costs in labels, time and money."),
    "rounds": ("rounds", "List, show, compare and revert rounds."),
    "labels": ("labels", "List, set and withdraw labels, and show a question's history."),
    "label": ("labels", "Set or withdraw a label: short for `labels`."),
    "history": ("labels", "Show a question's audit trail."),
    "status": ("maintenance", "Show the state of the workspace and what to do next."),
    "report": ("demo", "Write the HTML report."),
    "suspects": ("labels", "List labels that readers contradict with confidence."),
    "leaks": ("labels", "List equal and near-equal texts on two sides of the split."),
    "export": ("export", "Export labels, or tasks for another Label Studio."),
    "answer": ("reading", "Answer a SQuAD-format file with a reader; needs no workspace."),
    "ablate": ("evaluate", "Train and compare readers on one labelled file."),
    "simulate": ("replay", "Play rounds on a labelled file with hidden answers."),
    "prune": ("maintenance", "Delete predictions and models that nothing uses."),
    "db": ("maintenance", "Upgrade, back up and restore the database."),
    "doctor": ("maintenance", "Check this machine and the workspace."),
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            close = get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"no command {args[0]!r}; " + (f"did you mean {close[0]}?" if close else "labeler -h lists all"))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of our output has gone: no error of ours, but click would exit with 1
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="labeler")
def cli() -> None:
    """Grow a small labelled set into a large question-answering dataset, with review and measured precision.

    \b
    A first look:      labeler demo
    On your own data:  labeler init ws && cd ws
                       labeler import train.json --split gold=1000,dev=500,test=1000,pool=rest
                       labeler index && labeler round --rounds 2 --reviewer simulated && labeler report
    """


def main() -> None:
    """Run the command line: exit 0 done, 1 with one clear line, 2 for wrong usage, 130 when interrupted.

    With --json, the error is one JSON object on stdout as well.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.excepthook = _print_traceback
    gc.set_threshold(GARBAGE, 20, 20)
    atexit.register(gc.freeze)  # without it the end of the process looks for garbage among all that was loaded
    try:
        result = cli.main(prog_name="labeler", standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().rstrip("\n"), err=True)
        _fail(error.format_message(), code=error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        line = "interrupted; nothing is lost: run the same command to resume"
        say(f"labeler: {line}", err=True)
        _fail(line, code=130)
    except Exception as error:
        from labeler.core.error_messages import explain

        explained = explain(error)
        if explained is None:
            raise
        explained = " ".join(printable(explained).split())
        say(f"labeler: {explained}", err=True)
        _fail(explained, code=1)
    sys.exit(result if isinstance(result, int) else 0)


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of a bug; its message may quote any text."""
    say("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"), err=True)


def _fail(line: str, *, code: int) -> NoReturn:
    """Exit; with --json, print the error as JSON first. Nothing else is on stdout then: results come last."""
    if "--json" in sys.argv[1:]:
        say(json_text({"error": line}))
    sys.exit(code)
