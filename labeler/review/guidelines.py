"""Annotation guidelines in Korean and English: in full as a project's instruction, in short on the review page.

The guidelines of blind tasks mention no suggestions.
"""

from __future__ import annotations

from html import escape
from typing import Literal

Language = Literal["ko", "en", "both"]
LANGUAGES: tuple[Language, ...] = ("ko", "en", "both")

_RULES = {
    "ko": (
        "지문에서 정답이 되는 부분을 적힌 그대로, 답으로 충분한 가장 짧은 범위로 표시합니다.",
        "조사는 빼고 표시합니다(예: “서울에서” → “서울”). 단위와 수식어는 답에 꼭 필요할 때만 포함합니다.",
        "정답은 한 곳만 표시합니다. 같은 답이 여러 번 나오면 질문 내용과 가장 가까운 문장에서 고릅니다.",
        "제시된 지문만으로 답할 수 없으면 “답 없음”을 선택합니다.",
        "질문이 성립하지 않거나 원래 지문 없이는 무엇을 묻는지 알 수 없으면 “질문 오류”를 선택합니다.",
        "판단하기 어려우면 건너뜁니다. 참고할 점이 있으면 의견란에 적습니다.",
    ),
    "en": (
        "Mark the answer exactly as written in a passage: the shortest span that answers the question in full.",
        "Leave out a Korean particle (“서울에서” → “서울”). Include units and qualifiers only if needed.",
        "Mark one answer. If it occurs several times, choose the sentence closest to the question.",
        "If these passages alone do not answer the question, choose “no answer”.",
        "If the question makes no sense, or is unclear without its source passage, choose “bad question”.",
        "Skip a question that you cannot decide. Use the comment for remarks.",
    ),
}
_NO_ANSWER_RULE = {
    "ko": "“답 없음”을 선택할 때는 직접 표시한 정답을 남기지 않습니다.",
    "en": "With “no answer”, leave no answer marked that you marked yourself.",
}
_SEARCH_RULE = {
    "ko": "“답 없음”과 함께 검색할 말을 적으면, 그 말로 찾은 다른 지문이 새 과제로 나옵니다.",
    "en": "If you type words to search by with “no answer”, the passages that they find come as a new task.",
}
_SUGGESTION_RULES = {
    "ko": (
        "초록색은 제안된 답, 노란색은 다른 후보입니다. 제안이 맞으면 그대로 제출합니다.",
        "제안의 범위가 길거나 짧으면 클릭해서 선택한 뒤 끝을 마우스로 끌어 맞춥니다.",
        "다른 후보가 정답이면 그 번호를 누릅니다. 정답이 다른 곳에 있으면 그곳을 표시합니다. "
        "어느 쪽이든 제안은 지우지 않아도 됩니다.",
    ),
    "en": (
        "The suggested answer is green, other candidates are yellow. If the suggestion is right, submit it as it is.",
        "If it is too long or too short, click it and drag its edge.",
        "If another candidate is right, press its number. If the answer is elsewhere, mark it there. "
        "In both cases the suggestion may stay.",
    ),
}
_HEADINGS = {"ko": "작업 지침", "en": "Guidelines"}
_KEYS = {
    "ko": "더블클릭(한 단어) 또는 드래그: 정답 표시 · Tab: 정답 직접 입력, Enter로 마침 · Ctrl+Enter 제출 · "
    "N 답 없음 · B 질문 오류 · Ctrl+Space 건너뛰기 · Ctrl+Z 되돌리기 · A 다시 표시하기 · "
    "Alt+. 표시 선택, Backspace 삭제 · Tab 두세 번: 다시 검색할 말, 의견(Enter로 마침) · R 확신도",
    "en": "Double click (a word) or drag: mark the answer · Tab: type the answer, Enter ends it · Ctrl+Enter submit · "
    "N no answer · B bad question · Ctrl+Space skip · Ctrl+Z undo · A mark again · "
    "Alt+. select a mark, Backspace deletes it · Tab twice or thrice: search words, comment (Enter ends them) · "
    "R confidence",
}
_SUGGESTION_KEYS = {
    "ko": "제안이 맞으면 Ctrl+Enter · 다른 후보가 맞으면 그 번호(2, 3) · "
    "답이 다른 곳에 있으면 바로 표시(제안은 그대로 두어도 됩니다)",
    "en": "Ctrl+Enter if the suggestion is right · 2 or 3 takes another candidate · "
    "if the answer is elsewhere, just mark it (the suggestion may stay)",
}
_CAPTIONS = {
    "answer": {"ko": "정답", "en": "Answer"},
    "candidate": {"ko": "후보", "en": "Candidate"},
    "answerable": {"ko": "답 있음", "en": "answerable"},
    "no_answer": {"ko": "답 없음", "en": "no answer"},
    "bad_question": {"ko": "질문 오류", "en": "bad question"},
    "confidence": {"ko": "확신도", "en": "confidence"},
    "comment": {"ko": "의견", "en": "comment"},
    "typed": {"ko": "정답 직접 입력", "en": "type the answer"},
    "search_again": {"ko": "답 없음: 다시 검색할 말", "en": "no answer: words to search again"},
}
_SUMMARY = {
    False: {
        "ko": "제안된 답이 맞는지 확인하고, 틀리면 지문에서 정답을 다시 표시하세요.",
        "en": "Check the suggested answer; if it is wrong, mark the right one in the passages.",
    },
    True: {
        "ko": "질문을 읽고 지문에서 정답을 찾아 표시하세요. 지문에 답이 없으면 “답 없음”을 선택하세요.",
        "en": "Read the question and mark its answer in the passages; if they do not answer it, choose “no answer”.",
    },
}


def instruction(language: Language, *, blind: bool) -> str:
    """The guidelines as HTML, for the instruction that a project shows its reviewers."""
    return "".join(
        f"<h4>{escape(heading)}</h4><ul>{''.join(f'<li>{escape(rule)}</li>' for rule in rules)}</ul>"
        for heading, rules in page_guidelines(language, blind=blind)
    )


def summary(language: Language, *, blind: bool) -> str:
    """What to do, in one sentence a language."""
    return " ".join(_SUMMARY[blind][each] for each in languages(language))


def page_guidelines(language: Language, *, blind: bool) -> list[tuple[str, tuple[str, ...]]]:
    """(heading, rules) for each language asked for, for a review page in Label Studio."""
    return [
        (heading, (*(() if blind else _SUGGESTION_RULES[each]), *rules, _NO_ANSWER_RULE[each], _SEARCH_RULE[each]))
        for each, (heading, rules) in zip(languages(language), guidelines(language), strict=True)
    ]


def guidelines(language: Language) -> list[tuple[str, tuple[str, ...]]]:
    """(heading, rules) for each language asked for; the rules that hold wherever people review."""
    return [(_HEADINGS[each], _RULES[each]) for each in languages(language)]


def keys(language: Language, *, blind: bool) -> list[str]:
    """The keys of the review page, in lines, for each language asked for. Browser tests try them on Label Studio."""
    texts = [_KEYS] if blind else [_SUGGESTION_KEYS, _KEYS]
    return [text[each] for each in languages(language) for text in texts]


def caption(name: str, language: Language) -> str:
    """The name of a label, a verdict or a control on the review page."""
    return " · ".join(_CAPTIONS[name][each] for each in languages(language))


def languages(language: Language) -> tuple[str, ...]:
    """The languages of a page, in order."""
    return ("ko", "en") if language == "both" else (language,)
