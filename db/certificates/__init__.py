"""Reads and writes of certificates. Every function takes the session first; a frozen ranking is never changed."""

from db.certificates.reads import certificate, certificates, find, items, of_round
from db.certificates.writes import add, conclude, draw_more, freeze, restore, withdraw
