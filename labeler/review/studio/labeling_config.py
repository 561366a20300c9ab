"""The review page: a Label Studio labelling configuration, with or without suggestions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from labeler.review.guidelines import LANGUAGES, Language, keys, rules, words

MAX_PLACES = 5  # passages on one page

VERDICT = "verdict"
CONFIDENCE = "confidence"
COMMENT = "comment"
ANSWER_LABEL = "Answer"
CANDIDATE_LABEL = "Candidate"
VERDICTS = ("answerable", "no_answer", "bad_question")

ANSWER_KEY, CANDIDATE_KEY, CONFIDENCE_KEY = "a", "c", "r"

# The rule for `area` brings back the edges of a selected mark, by which it is made longer or shorter: Label Studio
# makes them of <area>, which newer browsers do not show.
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
.lb-verdict .lsf-text-area { order: 3; flex: 1 1 240px; margin: 0 !important; }
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


def text_name(place: int) -> str:
    """The name of a passage's text on the page and of its key in the task's data; places count from 1."""
    return f"p{place}"


def title_name(place: int) -> str:
    """The key of a passage's document title in the task's data."""
    return f"t{place}"


def labels_name(place: int) -> str:
    """The name of the control that marks answers in a passage."""
    return f"answer{place}"


def page(*, blind: bool, places: int, language: Language) -> str:
    """The configuration of the page with so many passages. A blind one cannot even name a candidate."""
    if not 1 <= places <= MAX_PLACES:
        raise ValueError(f"places must be 1 to {MAX_PLACES}, got {places}")
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    root = ElementTree.Element("View", className="lb-page")
    _add(root, "Style").text = _STYLE
    top = _add(root, "View", className="lb-top")
    _add(top, "Header", value="$question", size="2")
    _verdict(top, language)
    _lines(root, "lb-keys", keys(language))
    for place in range(1, places + 1):
        _passage(root, place, blind=blind)
    _guidelines(root, language, blind=blind)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def page_sha256(xml: str) -> str:
    """The fingerprint of a page: equal for pages that differ in layout of their XML alone."""
    try:
        canonical = ElementTree.canonicalize(xml, strip_text=True)
    except ElementTree.ParseError:
        canonical = xml
    return hashlib.sha256(canonical.encode()).hexdigest()


def readable(xml: str) -> bool:
    """Whether annotations made with this page can be read: it has all our controls, whatever else was changed."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return False
    texts = {tag.get("name") for tag in root.iter("Text")}
    labels = {tag.get("name"): tag for tag in root.iter("Labels")}
    places = [each for each in range(1, MAX_PLACES + 1) if text_name(each) in texts or labels_name(each) in labels]
    if not places or not all(text_name(each) in texts and _marks(labels, each) for each in places):
        return False
    verdicts = [tag for tag in root.iter("Choices") if tag.get("name") == VERDICT]
    return len(verdicts) == 1 and set(VERDICTS) <= _values(verdicts[0], "Choice")


def _passage(root: ElementTree.Element, place: int, *, blind: bool) -> None:
    name = text_name(place)
    block = _add(root, "View", className="lb-passage")
    head = _add(block, "View", className="lb-head")
    _add(head, "Header", value=f"${title_name(place)}", size="5")
    labels = _add(head, "Labels", name=labels_name(place), toName=name)
    _add(labels, "Label", value=ANSWER_LABEL, hotkey=ANSWER_KEY, background="#1a7f37")
    if not blind:
        _add(labels, "Label", value=CANDIDATE_LABEL, hotkey=CANDIDATE_KEY, background="#b58900")
    _add(block, "Text", name=name, value=f"${name}", granularity="symbol", showLabels="true")


def _verdict(top: ElementTree.Element, language: Language) -> None:
    first = text_name(1)
    row = _add(top, "View", className="lb-verdict")
    # In the order of the Tab key, shown in another by the style. From the comment Tab must lead to something that is
    # no input field, or the keys would stay dead: so the rating comes next.
    hint = words("comment", language)
    _add(row, "TextArea", name=COMMENT, toName=first, rows="1", showSubmitButton="false", placeholder=hint)
    rating = _add(row, "View", className="lb-rating")
    _add(rating, "Header", value=words("confidence", language), size="5")
    _add(rating, "Rating", name=CONFIDENCE, toName=first, maxRating="5", size="small", hotkey=CONFIDENCE_KEY)
    kind = {"choice": "single-radio", "required": "true", "showInline": "true"}
    choices = _add(row, "Choices", name=VERDICT, toName=first, **kind)
    for key, verdict in enumerate(VERDICTS, start=1):
        _add(choices, "Choice", value=verdict, hotkey=str(key), html=words(verdict, language))


def _guidelines(root: ElementTree.Element, language: Language, *, blind: bool) -> None:
    collapse = _add(root, "Collapse", bordered="true")
    for heading, lines in rules(language, blind=blind):
        _lines(_add(collapse, "Panel", value=heading), "lb-rule", [f"• {line}" for line in lines])


def _lines(parent: ElementTree.Element, style: str, lines: Sequence[str]) -> None:
    block = _add(parent, "View", className=style)
    for line in lines:
        _add(block, "Header", value=line, size="5")


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _marks(labels: Mapping[str | None, ElementTree.Element], place: int) -> bool:
    """Whether the control of a place marks answers in its passage."""
    tag = labels.get(labels_name(place))
    return tag is not None and tag.get("toName") == text_name(place) and ANSWER_LABEL in _values(tag, "Label")


def _values(tag: ElementTree.Element, child: str) -> set[str | None]:
    return {each.get("value") for each in tag.iter(child)}
