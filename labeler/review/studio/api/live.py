"""Predictions of single tasks, and ML backends of projects, on a Label Studio server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labeler.core.errors import StudioError
from labeler.review.studio.api.client import Client
from labeler.review.studio.untrusted import as_id, as_mapping, as_text

#: settings of a project by which the server asks its backend, or shows what it answered
REVEALING = ("show_collab_predictions", "evaluate_predictions_automatically")


@dataclass(frozen=True, slots=True)
class AttachedBackend:
    """An ML backend of a project."""

    id: int
    url: str
    title: str


@dataclass(frozen=True, slots=True)
class Login:
    """How the server logs in to a backend; without a secret it does not."""

    user: str
    secret: str | None
    header: str | None  # `Authorization` of the webhook

    @property
    def fields(self) -> Mapping[str, str]:
        if self.secret is None:
            return {"auth_method": "NONE"}
        return {"auth_method": "BASIC_AUTH", "basic_auth_user": self.user, "basic_auth_pass": self.secret}


class LiveClient(Client):
    """A server's predictions and ML backends, beside its projects and tasks."""

    # --- predictions ------------------------------------------------------------------------------

    def predictions(self, task_id: int, *, model_version: str) -> list[int]:
        """The ids of a task's predictions of this version, oldest first."""
        listed = self._listed("api/predictions/", task=task_id)
        return sorted(_ids(each for each in listed if each.get("model_version") == model_version))

    def set_prediction(self, prediction_id: int, prediction: Mapping[str, Any]) -> None:
        """Replace what a prediction says; its id stays, so that annotations made from it still name it."""
        self._transport.request("PATCH", f"api/predictions/{prediction_id}/", body=dict(prediction))

    def add_prediction(self, task_id: int, prediction: Mapping[str, Any]) -> None:
        """Add a prediction to a task."""
        self._transport.request("POST", "api/predictions/", body={"task": task_id, **prediction})

    def delete_prediction(self, prediction_id: int) -> None:
        """Delete a prediction."""
        self._transport.request("DELETE", f"api/predictions/{prediction_id}/")

    # --- backends ---------------------------------------------------------------------------------

    def backends(self, project: int) -> list[AttachedBackend]:
        """The ML backends of a project."""
        return [
            AttachedBackend(number, as_text(each.get("url")) or "", as_text(each.get("title")) or "")
            for each in self._listed("api/ml/", project=project)
            if (number := as_id(each.get("id"))) is not None
        ]

    def attach(self, project: int, *, url: str, title: str, login: Login) -> int:
        """Attach an ML backend, which the server calls first, and return its id. Raises Refused where it does not."""
        wanted = {"project": project, "url": url, "title": title, "is_interactive": False, **login.fields}
        made = as_id(as_mapping(self._transport.request("POST", "api/ml/", body=wanted)).get("id"))
        if made is None:
            raise StudioError(f"{self.url} attached a backend and does not name its id; try again")
        return made

    def change(self, backend: int, *, project: int, url: str, title: str, login: Login) -> None:
        """Change how a project's backend is called."""
        body = {"project": project, "url": url, "title": title, **login.fields}
        self._transport.request("PATCH", f"api/ml/{backend}", body=body)

    def detach(self, backend: AttachedBackend, *, project: int) -> None:
        """Remove a backend and its webhook from a project."""
        for number in self._webhooks(project, backend.url):
            self._transport.request("DELETE", f"api/webhooks/{number}/")
        self._transport.request("DELETE", f"api/ml/{backend.id}")

    def set_webhook_header(self, project: int, url: str, header: str | None) -> None:
        """Let the webhook to a backend, which the server makes when one is attached, carry this `Authorization`."""
        headers = {} if header is None else {"Authorization": header}
        for number in self._webhooks(project, url):
            self._transport.request("PATCH", f"api/webhooks/{number}/", body={"headers": headers})

    def revealing(self, project: int) -> list[str]:
        """Which of the settings are on by which a project asks its backend or shows predictions."""
        found = as_mapping(self._transport.request("GET", f"api/projects/{project}/", project=project))
        return [name for name in REVEALING if found.get(name)]

    def conceal(self, project: int) -> None:
        """Turn these settings off."""
        body = dict.fromkeys(REVEALING, False)
        self._transport.request("PATCH", f"api/projects/{project}/", body=body, project=project)

    def _webhooks(self, project: int, url: str) -> list[int]:
        """The ids of a project's webhooks to the backend at this address."""
        wanted = f"{url.rstrip('/')}/webhook"
        return _ids(each for each in self._listed("api/webhooks/", project=project) if each.get("url") == wanted)

    def _listed(self, path: str, **params: Any) -> list[Mapping[str, Any]]:
        answer = self._transport.get(path, **params)
        listed = answer.get("results") if isinstance(answer, Mapping) else answer
        if not isinstance(listed, list):
            raise self._transport.failures.unexpected()
        return [as_mapping(each) for each in listed]


def _ids(listed: Iterator[Mapping[str, Any]]) -> list[int]:
    return [number for each in listed if (number := as_id(each.get("id"))) is not None]
