"""Translation of driver errors into named errors with a remedy."""

from __future__ import annotations

from db.errors import Busy, Conflict, DbError, NotADatabase, StorageError, Unreachable

# Phrases of SQLite's messages: the first one found decides.
_SQLITE: tuple[tuple[str, type[DbError], str], ...] = (
    ("file is not a database", NotADatabase, "is not a database: name another file, or `labeler db restore` a backup"),
    ("could not decode to utf-8", NotADatabase, "holds text that is not UTF-8: `labeler db restore` a backup"),
    ("malformed", NotADatabase, "is damaged: `labeler db restore` a backup"),
    ("locked", Busy, "is being written by another process: wait for it, then run again"),
    ("disk is full", StorageError, "cannot grow, the disk is full: free some space, then run again"),
    ("disk i/o error", StorageError, "cannot be read or written (disk I/O error): check the disk and its free space"),
    ("readonly", StorageError, "cannot be written: check the permissions of the file and its folder"),
    ("unable to open", StorageError, "cannot be opened: check the path and the permissions of its folder"),
)

# Prefixes of PostgreSQL's SQLSTATE (appendix A of its manual): the first one that fits decides.
_STATES: tuple[tuple[str, type[DbError], str], ...] = (
    ("08", Unreachable, "lost the connection: check server and network, then run again; what was committed stays"),
    ("57P", Unreachable, "is shutting down or starting: run again when it is up; what was committed stays"),
    ("53300", Unreachable, "has no free connection: wait, or raise max_connections"),
    ("53100", StorageError, "cannot grow, the server's disk is full: free some space there, then run again"),
    ("53", StorageError, "is out of resources: see the server's log"),
    ("42501", StorageError, "does not give this user the rights for it: ask its owner to GRANT them"),
    ("25006", StorageError, "is read-only: name the primary server"),
    ("55P03", Busy, "is being written by another process: wait for it, then run again"),
    ("57014", Busy, "cancelled a statement that took too long: run again"),
    ("40", Busy, "was changed by another process at the same time: run again"),
    ("58", StorageError, "cannot be read or written: see the server's log"),
    ("XX", StorageError, "is damaged, or the server has an internal error: see its log"),
    ("22001", Conflict, "cannot hold a text this long: shorten it"),
)

# Phrases of connection errors, which have no SQLSTATE: the first one found decides what to do.
_REFUSALS: tuple[tuple[str, str], ...] = (
    ("password", "check the user's name and password"),
    ("role ", "check the user's name, and its rights"),
    ("permission denied", "ask its owner to GRANT CONNECT"),
    ("does not exist", "make it (createdb NAME), or name another"),
    ("pg_hba", "ask the server's administrator to let this machine in"),
    ("too many", "wait, or raise max_connections"),
    ("starting up", "run again when it is up"),
    ("shutting down", "run again when it is up"),
    ("ssl", "correct sslmode in the URL, or the server's certificate"),
    ("", "check host and port, and that the server runs"),
)
_CONNECTING = ("connection failed", "connection is bad", "connection timeout", "failed to resolve", "could not connect")


def translate(error: BaseException | None, *, where: str) -> DbError | None:
    """The named error for a driver's error about the database at `where`, or None."""
    if type(error).__module__.startswith("psycopg"):
        return _translate_postgresql(error, where=where)
    message = str(error).lower()
    return next((kind(f"{where} {remedy}") for phrase, kind, remedy in _SQLITE if phrase in message), None)


def error_of_sqlstate(state: str, *, where: str) -> DbError | None:
    """The named error for a SQLSTATE of PostgreSQL, or None."""
    return next((kind(f"{where} {remedy}") for prefix, kind, remedy in _STATES if state.startswith(prefix)), None)


def _translate_postgresql(error: BaseException | None, *, where: str) -> DbError | None:
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return error_of_sqlstate(state, where=where)
    message = " ".join(str(error).split())
    if "NUL (0x00)" in message:
        return Conflict(f"{where} cannot hold a text with a NUL character: remove it, then run again")
    if "connection option" in message:
        return NotADatabase(f"{where}: {message}: correct the options after the question mark of the URL")
    if message.startswith(_CONNECTING):
        reason = message.rpartition("failed: ")[2].partition(" DETAIL:")[0].partition(" Is the server")[0]
        remedy = next(remedy for phrase, remedy in _REFUSALS if phrase in reason.lower())
        return Unreachable(f"{where} refused the connection ({reason}): {remedy}")
    if type(error).__name__ == "OperationalError":
        return Unreachable(f"{where} {_STATES[0][2]}")
    return None
