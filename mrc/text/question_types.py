"""Question types by question words, Korean and English; coarse on purpose."""

from __future__ import annotations

import re
from typing import Final, Literal

QuestionType = Literal["who", "when", "where", "how_many", "why", "how", "which", "what", "other"]

# In this order: "how many" before "how", "어느 해" (which year) before "어느" (which).
_RULES: Final[tuple[tuple[QuestionType, str], ...]] = (
    ("who", r"\bwho(m|se)?\b|누구|누가|누군|인물은|사람은"),
    ("when", r"\bwhen\b|\b(what|which) (year|date|day|month|century)\b"),
    ("when", r"언제|몇 ?년|년도는|어느 ?해|날짜|연도"),
    ("where", r"\bwhere\b|\b(what|which) (city|country|place|town|state)\b"),
    ("where", r"어디|장소|지역은|도시는|나라는"),
    ("how_many", r"\bhow (many|much|old|long|far|tall|high|large|big)\b|몇|얼마|수는|비율은"),
    ("why", r"\bwhy\b|왜|이유|까닭|원인"),
    ("how", r"\bhow\b|어떻게|방법"),
    ("which", r"\bwhich\b|어느|어떤"),
    ("what", r"\bwhat\b|무엇|무슨|뭐|이름은|것은|곳은"),
)


def question_type(question: str) -> QuestionType:
    """The first type whose words occur in the question; `other` where none does."""
    found = (name for name, words in _RULES if re.search(words, question, re.IGNORECASE))
    return next(found, "other")
