"""Reads of imports."""

from __future__ import annotations

from sqlalchemy import select

from db.engine import Session
from db.rows import ImportRow
from db.sql import fetch_all, fetch_first
from db.tables import IMPORTS


def imports(session: Session) -> list[ImportRow]:
    """All imports including undone ones, oldest first."""
    return fetch_all(session, select(IMPORTS).order_by(IMPORTS.c.id), ImportRow)


def find_import(session: Session, sha256: str, role: str) -> ImportRow | None:
    """The import of this content under this role that is not undone, or None."""
    same = (IMPORTS.c.sha256 == sha256, IMPORTS.c.role == role, IMPORTS.c.undone_at.is_(None))
    return fetch_first(session, select(IMPORTS).where(*same).order_by(IMPORTS.c.id), ImportRow)
