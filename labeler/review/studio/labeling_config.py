"""The review page: a Label Studio labeling configuration, with or without suggestions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from xml.etree import ElementTree

from labeler.review.guidelines import LANGUAGES, Language, caption, keys, page_guidelines
from labeler.review.studio.page.candidates import CANDIDATE_NAMES

MAX_PASSAGES = 5  # on one page

VERDICT = "verdict"
CONFIDENCE = "confidence"
COMMENT = "comment"
TYPED = "typed"  # an answer typed instead of marked
SEARCH = "search_again"  # words of a reviewer who found no answer
NOTE = "note"  # the key of the task's data that says why it is asked again
ANSWER_LABEL = "Answer"
CANDIDATE_LABEL = "Candidate"
VERDICTS = ("answerable", "no_answer", "bad_question")

ANSWER_KEY, CANDIDATE_KEY, CONFIDENCE_KEY = "a", "c", "r"
VERDICT_KEYS = {"answerable": "y", "no_answer": "n", "bad_question": "b"}

# The rule for `area` shows the edges of a selected region, which can be dragged: Label Studio draws them as <area>,
# which newer browsers do not display.
_STYLE = """
.lb-page { max-width: 1180px; }
.lb-page h1, .lb-page h2, .lb-page h4 { margin: 0 !important; }
.lb-top { position: sticky; top: 0; z-index: 5; padding: 6px 0; background: var(--color-neutral-background, #fff);
  border-bottom: 1px solid var(--color-neutral-border, #ddd); }
.lb-top h2 { font-size: 26px; line-height: 1.3; word-break: keep-all; overflow-wrap: anywhere; }
.lb-verdict { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 18px; }
.lb-rating { display: flex; align-items: center; gap: 6px; order: 2; }
.lb-rating h4 { font-size: 14px; }
.lb-verdict .lsf-choices, .lb-verdict .ant-form-item { margin: 0 !important; }
.lb-verdict .lsf-text-area { order: 3; flex: 1 1 40%; margin: 0 !important; }
.lb-note h4 { font-size: 14px; color: #b35900 !important; }
.lb-note:has(h4:empty) { display: none; }
.lb-keys { padding: 4px 0; }
.lb-keys h4 { font-size: 12px; font-weight: 400; line-height: 1.5; opacity: 0.75; }
.lb-passage { margin: 8px 0; padding: 6px 12px; border: 1px solid var(--color-neutral-border, #ddd);
  border-radius: 6px; }
.lb-passage:has(.lsf-richtext__line:only-child:empty) { display: none; }
.lb-head { display: flex; align-items: center; justify-content: space-between; }
.lb-head h4 { font-size: 14px; opacity: 0.75; }
.lb-head .lsf-labels { margin: 0; }
.lb-passage .lsf-htx-richtext { font-size: 17px; line-height: 1.75; white-space: pre-wrap; word-break: keep-all;
  overflow-wrap: anywhere; }
.lb-passage .htx-highlight area { display: inline; }
.lb-rule h4 { font-size: 14px; font-weight: 400; line-height: 1.6; }
"""


def text_name(number: int) -> str:
    """The name of a passage's text on the page and its key in the task's data; passages are numbered from 1."""
    return f"p{number}"


def title_name(number: int) -> str:
    """The key of a passage's document title in the task's data."""
    return f"t{number}"


def labels_name(number: int) -> str:
    """The name of the control that marks answers in a passage."""
    return f"answer{number}"


def labeling_config(*, blind: bool, passage_slots: int, language: Language) -> str:
    """The XML of a page with room for so many passages. A blind one has no label for candidates.

    Raises:
        ValueError: `passage_slots` is not 1 to MAX_PASSAGES, or the language is unknown.
    """
    if not 1 <= passage_slots <= MAX_PASSAGES:
        raise ValueError(f"passage_slots must be 1 to {MAX_PASSAGES}, got {passage_slots}")
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    root = ElementTree.Element("View", className="lb-page")
    _add(root, "Style").text = _STYLE
    top = _add(root, "View", className="lb-top")
    _add(top, "Header", value="$question", size="2")
    _add(_add(top, "View", className="lb-note"), "Header", value=f"${NOTE}", size="5")
    _verdict(top, language, blind=blind)
    _lines(root, "lb-keys", keys(language, blind=blind))
    for number in range(1, passage_slots + 1):
        _passage(root, number, language, blind=blind)
    _guidelines(root, language, blind=blind)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def config_sha256(xml: str) -> str:
    """The fingerprint of a labeling configuration. White space between elements makes no difference."""
    try:
        canonical = ElementTree.canonicalize(xml, strip_text=True)
    except (ElementTree.ParseError, ValueError):  # not XML at all, or text that no XML can hold
        canonical = xml
    return hashlib.sha256(canonical.encode()).hexdigest()


def _passage(root: ElementTree.Element, number: int, language: Language, *, blind: bool) -> None:
    name = text_name(number)
    block = _add(root, "View", className="lb-passage")
    head = _add(block, "View", className="lb-head")
    _add(head, "Header", value=f"${title_name(number)}", size="5")
    labels = _add(head, "Labels", name=labels_name(number), toName=name)
    answer, candidate = caption("answer", language), caption("candidate", language)
    # Selected from the start: a double click marks a word.
    look = {"hotkey": ANSWER_KEY, "background": "#1a7f37", "selected": "true"}
    _add(labels, "Label", value=ANSWER_LABEL, html=answer, **look)
    if not blind:
        _add(labels, "Label", value=CANDIDATE_LABEL, html=candidate, hotkey=CANDIDATE_KEY, background="#b58900")
    _add(block, "Text", name=name, value=f"${name}", granularity="symbol", showLabels="true")


def _verdict(top: ElementTree.Element, language: Language, *, blind: bool) -> None:
    first = text_name(1)
    row = _add(top, "View", className="lb-verdict")
    # In the order of the Tab key; the style shows another order. Label Studio has its hotkeys off inside an input field
    # (docs/reviewing.md). A field that holds its one text after Enter is gone, and with it the focus.
    for name in (TYPED, SEARCH, COMMENT):
        field = {"rows": "1", "showSubmitButton": "false", "maxSubmissions": "1"}
        _add(row, "TextArea", name=name, toName=first, placeholder=caption(name, language), **field)
    rating = _add(row, "View", className="lb-rating")
    _add(rating, "Header", value=caption("confidence", language), size="5")
    _add(rating, "Rating", name=CONFIDENCE, toName=first, maxRating="5", size="small", hotkey=CONFIDENCE_KEY)
    # Not required: an answer that is marked means answerable.
    kind = {"choice": "single-radio", "showInline": "true"}
    choices = _add(row, "Choices", name=VERDICT, toName=first, **kind)
    for verdict in VERDICTS:
        _add(choices, "Choice", value=verdict, hotkey=VERDICT_KEYS[verdict], html=caption(verdict, language))
    for rank, name in enumerate(() if blind else CANDIDATE_NAMES, start=1):
        _add(choices, "Choice", value=name, hotkey=str(rank), html=f"{caption('candidate', language)} {rank}")


def _guidelines(root: ElementTree.Element, language: Language, *, blind: bool) -> None:
    collapse = _add(root, "Collapse", bordered="true")
    for heading, rules in page_guidelines(language, blind=blind):
        _lines(_add(collapse, "Panel", value=heading), "lb-rule", [f"• {rule}" for rule in rules])


def _lines(parent: ElementTree.Element, style: str, lines: Sequence[str]) -> None:
    block = _add(parent, "View", className=style)
    for line in lines:
        _add(block, "Header", value=line, size="5")


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)
