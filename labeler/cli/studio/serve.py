"""serve, studio connect, studio disconnect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import in_workspace, on_device, runtime, say, show
from labeler.core.console import table

if TYPE_CHECKING:
    from labeler.serving.attaching import Connected
    from labeler.serving.run import Serving

PORT = 9090  # where Label Studio's documentation expects a backend


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Port; 0: any free one.")
@on_device
@in_workspace
def serve_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, host: str, port: int) -> None:
    """Answer Label Studio with the current reader's suggestions.

    An ML backend and webhook receiver. Attach it with `labeler studio connect` while it runs. Another reader that is
    promoted meanwhile is used at once, and the suggestions of open tasks are renewed. A change in Label Studio leads to
    a pull, as by `labeler pull --watch`. Only this machine may call it; for other addresses set the variable
    LABELER_SERVE_SECRET, which callers send as the password of basic authentication or as a bearer token. Ctrl-C ends
    it.

    \b
    Example:  labeler serve
              LABELER_SERVE_SECRET=... labeler serve --host 0.0.0.0
    """
    from labeler.serving.access import find_access
    from labeler.serving.run import serve

    access = find_access(host, os.environ)
    with runtime(workspace, sets) as at:
        counts = serve(
            at,
            host=host,
            port=port,
            access=access,
            on_ready=lambda ready: show(ready, as_json=as_json, text=lambda: _serving_text(ready)),
        )
    say(f"stopped after {counts.get('predict', 0)} calls for {counts.get('suggestions', 0)} suggestions", err=True)


def _serving_text(ready: Serving) -> str:
    who = "callers must send the secret" if ready.secret else "this machine alone may call it"
    return (
        f"the reader of round {ready.round} answers at {ready.url}; {who}\n"
        f"next, in another terminal: labeler studio connect --url {ready.url}\nCtrl-C ends it"
    )


@click.command("connect")
@click.option(
    "--url",
    default=f"http://127.0.0.1:{PORT}",
    show_default=True,
    help="Address of `labeler serve`, as Label Studio reaches it.",
)
@in_workspace
def connect_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, url: str) -> None:
    """Attach `labeler serve` to the projects with suggestions.

    Never to a blind project: there, the backend is removed and showing predictions is turned off, should somebody have
    turned it on. Run it again after new projects were made. LABELER_SERVE_SECRET is sent to Label Studio, which needs
    it to log in.

    \b
    Example:  labeler studio connect
    """
    from labeler.review.studio.api.connection import find_connection
    from labeler.review.studio.api.live import LiveClient
    from labeler.serving.access import find_secret
    from labeler.serving.attaching import connect

    with runtime(workspace, sets, write=True) as at:
        client = LiveClient(find_connection(at.workspace, os.environ))
        done = connect(at, client, url, secret=find_secret(os.environ))
    show(done, as_json=as_json, text=lambda: _connected_text(done))


@click.command("disconnect")
@in_workspace
def disconnect_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Detach `labeler serve` from all projects.

    Suggestions that are in Label Studio stay.

    \b
    Example:  labeler studio disconnect
    """
    from labeler.review.studio.api.connection import find_connection
    from labeler.review.studio.api.live import LiveClient
    from labeler.serving.attaching import disconnect

    with runtime(workspace, sets, write=True) as at:
        done = disconnect(at, LiveClient(find_connection(at.workspace, os.environ)))
    show(done, as_json=as_json, text=lambda: _connected_text(done))


def _connected_text(done: Connected) -> str:
    rows = [
        (each.project, "blind" if each.blind else "suggestions", each.backend, ", ".join(each.others) or "-")
        for each in done.projects
    ]
    return table(("project", "shows", "backend", "other backends"), rows)
