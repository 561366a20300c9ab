"""annotate."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import Number, in_workspace, names_among, runtime, show
from labeler.cli.labellers.text import annotation_text, forecast_text
from labeler.core.errors import ConfigError

if TYPE_CHECKING:
    from labeler.core.round_settings import LlmConfig
    from labeler.core.runtime import Runtime
    from labeler.labellers.llm.annotate import Annotator
    from labeler.labellers.llm.options import Prices

ROLES = ("pool", "calibration", "dev", "test", "gold")


@click.command("annotate")
@click.option(
    "--endpoint",
    metavar="URL",
    help="An OpenAI-compatible API, such as http://127.0.0.1:8000/v1.",
)
@click.option("--model", metavar="NAME", help="Model, as the server calls it.  [default: llm.model]")
@click.option("--labeller", metavar="NAME", help="Name of the labeller.  [default: llm.labeller, else the model's]")
@click.option(
    "--role",
    "roles",
    default="pool,calibration",
    show_default=True,
    callback=names_among(ROLES),
    help="Questions to ask; with pool,calibration and none held out to calibrate, 200 gold ones too.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Ask at most so many questions in this run.")
@click.option("--passages", type=click.IntRange(1, 50), default=5, show_default=True, help="Shown for each question.")
@click.option(
    "--samples", type=click.IntRange(1, 50), default=1, show_default=True, help="Answers; agreement is the score."
)
@click.option("--examples", type=click.IntRange(0, 20), default=3, show_default=True, help="From gold, in each prompt.")
@click.option("--max-tokens", type=click.IntRange(16, 100_000), default=300, show_default=True, help="Of a reply.")
@click.option("--language", type=click.Choice(["ko", "en"]), help="Of the prompt.  [default: that of the passages]")
@click.option("--concurrency", type=click.IntRange(1, 256), default=4, show_default=True, help="Questions at a time.")
@click.option("--timeout", type=Number(0.1, 86_400), default=120.0, show_default=True, help="Seconds for a reply.")
@click.option(
    "--retries", type=click.IntRange(0, 20), default=5, show_default=True, help="Of a request, with back-off."
)
@click.option("--price-in", type=Number(min=0), help="Money per million tokens of prompts.  [default: llm.price_in]")
@click.option("--price-out", type=Number(min=0), help="Money per million tokens of replies.  [default: llm.price_out]")
@click.option(
    "--budget",
    type=Number(min=0),
    help="Stop before this run costs more.  [default: llm.budget]",
)
@click.option("--dry-run", is_flag=True, help="Show requests, tokens and money; send and change nothing.")
@click.option("--write-prompt", is_flag=True, help="Write the prompt into the workspace, to be edited, and stop.")
@in_workspace
def annotate_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    endpoint: str | None,
    model: str | None,
    labeller: str | None,
    roles: tuple[str, ...],
    limit: int | None,
    passages: int,
    samples: int,
    examples: int,
    max_tokens: int,
    language: str | None,
    concurrency: int,
    timeout: float,
    retries: int,
    price_in: float | None,
    price_out: float | None,
    budget: float | None,
    dry_run: bool,
    write_prompt: bool,
) -> None:
    """Let a language model answer the pool.

    Asks a server with an OpenAI-compatible API (vLLM, llama.cpp, Ollama, transformers serve, hosted ones) each question
    with the passages that retrieval finds. Only verbatim spans of these passages count as answers. Every reply is
    stored: run the command again to continue, nothing is asked twice. The key is taken from
    OPENAI_API_KEY and never stored.

    \b
    Example:  labeler annotate --endpoint http://127.0.0.1:8000/v1 --model qwen --dry-run
              labeler annotate --endpoint https://HOST/v1 --model gpt --price-in 0.15 --price-out 0.6 --budget 5
              labeler annotate --write-prompt --language ko
    """
    from labeler.labellers.llm.options import Prices

    if write_prompt:
        _write_prompt(workspace, sets, language, as_json=as_json)
        return
    asked = {"passages": passages, "samples": samples, "examples": examples, "max_tokens": max_tokens}
    given = {"endpoint": endpoint, "model": model, "labeller": labeller, "price_in": price_in, "price_out": price_out}
    with runtime(workspace, sets, write=not dry_run) as at:
        wanted = _wanted(at, given | {"budget": budget}, dry_run=dry_run)
        prices = Prices(wanted.price_in, wanted.price_out)
        annotator = _annotator(at, wanted, language, asked, roles, limit)
        if dry_run:
            _show_forecast(annotator, prices, as_json=as_json)
            return
        from labeler.labellers.llm.endpoint import Client, find_endpoint

        client = Client(find_endpoint(str(wanted.endpoint), os.environ), timeout=timeout, retries=retries)
        try:
            found = annotator.run(client, prices=prices, budget=wanted.budget, concurrency=concurrency)
        finally:
            client.close()
    show(found, as_json=as_json, text=lambda: annotation_text(found))


def _wanted(at: Runtime, given: dict[str, Any], *, dry_run: bool) -> LlmConfig:
    """The settings of [llm] under the options that were given."""
    named = {name: value for name, value in given.items() if value is not None}
    if "budget" in named and not {"price_in", "price_out"} & named.keys() and at.config.llm.price_in is None:
        raise click.UsageError("--budget needs --price-in and --price-out.")
    try:
        found = replace(at.config.llm, **named)
    except ValueError as error:
        setting, _, fault = str(error).partition(" ")
        raise ConfigError(f"--{setting.replace('_', '-')} {fault}") from error
    if found.model is None or (found.endpoint is None and not dry_run):
        raise click.UsageError("Give the server with --endpoint URL and the model with --model NAME.")
    return found


def _annotator(
    at: Runtime,
    wanted: LlmConfig,
    language: str | None,
    asked: dict[str, int],
    roles: tuple[str, ...],
    limit: int | None,
) -> Annotator:
    from labeler.labellers.llm.annotate import Annotator
    from labeler.labellers.llm.options import AskOptions
    from labeler.labellers.names import checked_name

    options = AskOptions(str(wanted.model), language or at.language, **asked)
    return Annotator(at, checked_name(wanted.labeller or options.model), options, roles=roles, limit=limit)


def _show_forecast(annotator: Annotator, prices: Prices, *, as_json: bool) -> None:
    found = annotator.forecast(prices)
    show({"dry_run": True, "forecast": found}, as_json=as_json, text=lambda: forecast_text(found))


def _write_prompt(workspace: Path | None, sets: tuple[str, ...], language: str | None, *, as_json: bool) -> None:
    from labeler.labellers.llm.prompts import write_template

    with runtime(workspace, sets, write=True) as at:
        path = write_template(at.workspace.folder, language or at.language)
    show({"prompt": path}, as_json=as_json, text=lambda: f"edit {path}; labeler annotate uses it from now on")
