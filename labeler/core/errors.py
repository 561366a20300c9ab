"""Named errors of the tool: the message is one line that says what is wrong, where, and how to fix it.

LabelerError
├── ConfigError         a setting that is unknown, of the wrong type or out of range
├── BadStrategy         a query strategy of another package that cannot be used; the message names its entry point
├── FileError           a file that is not text, or a path that may not be overwritten
├── WorkspaceError      no workspace here, or one that cannot be created or used
│   └── WorkspaceBusy   another process holds it; the message names the process
├── ImportRefused       nothing of a file can be imported; the database is unchanged
├── ClusterError        Ray: not installed, no answer, a cluster that does not fit, or work that failed on it
├── ExportRefused       there is nothing to export, or an answer is not in its passage
├── ReleaseStopped      an alarm says not to trust the confidence of pseudo-labels that are to leave
├── NotReady            a step whose precondition is missing; the message names the command that provides it
├── CertificateRefused  a file that is no certificate
├── EndpointError       a server of a language model that cannot be used; no message holds a key
├── NothingToDo         a step that would change nothing; the message says why
├── NotConfirmed        a command that undoes something, without a terminal to confirm it on
└── StudioError         Label Studio: something there is not as expected
    ├── ServerDown      it does not answer, or with a server error; `unsure`: the request may have been carried out
    ├── NotLabelStudio  another program answers at its address
    ├── BadKey          it does not accept the key, or not for this request
    ├── AnswerTooLarge  an answer is larger than this tool reads
    ├── ProjectGone     the project no longer exists
    ├── PageChanged     the project's labeling configuration is not ours
    └── Refused         it refuses a request; the message quotes its reason
"""


class LabelerError(Exception):
    """An error that a user can fix. The message is one line for people."""


class ConfigError(LabelerError):
    """A setting that is unknown, of the wrong type or out of range; names the key and the place."""


class BadStrategy(LabelerError):
    """A query strategy of another package that cannot be used; the message names its entry point."""


class FileError(LabelerError):
    """A file that is not text, or a path that may not be overwritten; names the path and, inside a file, the byte."""


class WorkspaceError(LabelerError):
    """No workspace here, or one that cannot be created or used."""


class WorkspaceBusy(WorkspaceError):
    """Another process holds the workspace; the message names its pid, its command and since when."""


class ImportRefused(LabelerError):
    """Nothing of a file can be imported; the database is unchanged."""


class ClusterError(LabelerError):
    """Ray is not installed or does not answer, its cluster does not fit, or work failed on it; names the machine."""


class ExportRefused(LabelerError):
    """There is nothing to export, or an answer is not in its passage."""


class ReleaseStopped(LabelerError):
    """An alarm says not to trust the confidence of pseudo-labels that are to leave; the message names the option."""


class NotReady(LabelerError):
    """A step whose precondition is missing; the message names the command that provides it."""


class CertificateRefused(LabelerError):
    """A file that is no certificate, or cannot be read; names the file."""


class EndpointError(LabelerError):
    """A server of a language model that cannot be used, or does not answer as it should. No message holds a key."""


class NothingToDo(LabelerError):
    """A step that would change nothing; the message says why."""


class NotConfirmed(LabelerError):
    """A command that undoes something and was neither confirmed by --yes nor run on a terminal."""


class StudioError(LabelerError):
    """Something in Label Studio is not as expected. No message holds a key."""


class ServerDown(StudioError):
    """The server does not answer, or answers with a server error.

    `unsure`: the request may have been carried out; check before sending it again.
    """

    def __init__(self, message: str, *, unsure: bool) -> None:
        super().__init__(message)
        self.unsure = unsure


class NotLabelStudio(StudioError):
    """Another program answers at the address of Label Studio, or the address is invalid."""


class BadKey(StudioError):
    """The server does not accept the key, or the key's user may not do this."""


class AnswerTooLarge(StudioError):
    """The server sends more than is read: bytes, values, pages or tasks."""


class ProjectGone(StudioError):
    """The project no longer exists on the server."""


class PageChanged(StudioError):
    """The project's labeling configuration on the server is not the one that we set."""


class Refused(StudioError):
    """The server refuses a request; the message quotes its reason."""
