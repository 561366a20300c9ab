"""What reviewers are told, in Korean and English: in full as the project's instruction, in short on the page.

The blind form does not speak of suggestions: its reviewers are not to know that there are any.
"""

from __future__ import annotations

from html import escape
from typing import Literal

Language = Literal["ko", "en", "both"]
LANGUAGES: tuple[Language, ...] = ("ko", "en", "both")

_RULES = {
    "ko": (
        "답을 지문에 있는 글자 그대로, 빠짐없이 답이 되는 가장 짧은 범위로 표시합니다.",
        "조사는 빼고 표시합니다(“서울에서” → “서울”). 단위와 꾸미는 말은 답에 꼭 필요할 때만 넣습니다.",
        "답은 하나만 표시합니다. 여러 곳에 있으면 질문과 가장 가까운 내용의 문장에서 고릅니다.",
        "이 지문들만 읽고 답할 수 없으면 “답 없음”을 고릅니다. 이때는 Answer 표시가 남아 있으면 안 됩니다.",
        "질문이 말이 안 되거나, 지문 없이는 무엇을 묻는지 알 수 없으면 “질문 오류”를 고릅니다.",
        "판단할 수 없으면 건너뜁니다. 남길 말은 의견에 적습니다.",
    ),
    "en": (
        "Mark the answer exactly as it stands in a passage: the shortest span that is a full answer.",
        "Leave out the Korean particle (“서울에서” → “서울”); units and qualifiers only where the answer needs them.",
        "Mark one answer. If it stands in several places, take the sentence that is closest to the question.",
        "If these passages alone do not answer the question, say no answer. No Answer may be left marked then.",
        "If the question makes no sense, or cannot be understood without its passage, say bad question.",
        "Skip what you cannot decide. Whatever is worth saying goes into the comment.",
    ),
}
_SUGGESTED_RULES = {
    "ko": (
        "초록색은 제안된 답, 노란색은 다른 후보입니다. 제안이 맞으면 그대로 제출합니다.",
        "제안이 길거나 짧으면 그것을 고른 뒤 끝을 마우스로 끌어서 고칩니다.",
        "후보가 맞으면 Alt+.로 골라 A를 누릅니다(제안은 그대로 두어도 됩니다). "
        "다른 곳이 답이면 제안을 지우고 표시합니다.",
    ),
    "en": (
        "Green is the suggested answer, yellow are other candidates. If the suggestion is right, just submit.",
        "If it is too long or too short, select it and pull its edge with the mouse.",
        "If a candidate is right, go to it by Alt+. and press A (the suggestion may stay). "
        "If the answer is elsewhere, delete the suggestion and mark it.",
    ),
}
_HEADINGS = {"ko": "검토 지침", "en": "Guidelines"}
_KEYS = {
    "ko": (
        "Ctrl+Enter 제출 · Ctrl+Space 건너뛰기 · 1 2 3 판정 · R 확신 · A 누르고 끌면 답 표시",
        "Alt+. 다음 표시로, A 그것을 답으로, Backspace 지우기 · Ctrl+Z 되돌리기 · Tab 여러 번 의견, 다시 Tab 나오기",
    ),
    "en": (
        "Ctrl+Enter submit · Ctrl+Space skip · 1 2 3 verdict · R confidence · A, then drag: mark the answer",
        "Alt+. next mark, A make it the answer, Backspace delete it · Ctrl+Z undo · Tab, Tab… comment, Tab leaves it",
    ),
}
_WORDS = {
    "answerable": {"ko": "답 있음", "en": "answerable"},
    "no_answer": {"ko": "답 없음", "en": "no answer"},
    "bad_question": {"ko": "질문 오류", "en": "bad question"},
    "confidence": {"ko": "확신", "en": "confidence"},
    "comment": {"ko": "의견", "en": "comment"},
}


def instruction(language: Language, *, blind: bool) -> str:
    """The guidelines as HTML, for the instruction that a project shows its reviewers."""
    return "".join(
        f"<h4>{escape(heading)}</h4><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
        for heading, lines in rules(language, blind=blind)
    )


def rules(language: Language, *, blind: bool) -> list[tuple[str, tuple[str, ...]]]:
    """Headings with their rules, one for each language asked for."""
    return [
        (_HEADINGS[each], _RULES[each] if blind else _SUGGESTED_RULES[each] + _RULES[each])
        for each in _languages(language)
    ]


def keys(language: Language) -> list[str]:
    """What each key does, in lines, for each language asked for. Tried on Label Studio 1.23.2 by the browser tests."""
    return [line for each in _languages(language) for line in _KEYS[each]]


def words(name: str, language: Language) -> str:
    """What the page calls a verdict or a control."""
    return " · ".join(_WORDS[name][each] for each in _languages(language))


def _languages(language: Language) -> tuple[str, ...]:
    return ("ko", "en") if language == "both" else (language,)
