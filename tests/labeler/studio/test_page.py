"""The review page as a labelling configuration; how it works in a browser is in test_browser."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from db.rows import AnswerRow, PassageRow, TaskRow
from labeler.review.guidelines import LANGUAGES, instruction
from labeler.review.studio.convert import task_json
from labeler.review.studio.labeling_config import MAX_PLACES, page, page_sha256, readable

FORMS = list(itertools.product((True, False), range(1, MAX_PLACES + 1), LANGUAGES))
SUGGESTED = page(blind=False, places=2, language="both")


def tags(xml: str, name: str) -> list[dict[str, str]]:
    return [each.attrib for each in ElementTree.fromstring(xml).iter(name)]


@pytest.mark.parametrize(("blind", "places", "language"), FORMS)
def test_each_passage_has_its_own_answer_control(blind: bool, places: int, language: Any) -> None:
    xml = page(blind=blind, places=places, language=language)
    numbers = range(1, places + 1)
    assert [(each["name"], each["value"]) for each in tags(xml, "Text")] == [(f"p{n}", f"$p{n}") for n in numbers]
    controls = [(each["name"], each["toName"]) for each in tags(xml, "Labels")]
    assert controls == [(f"answer{n}", f"p{n}") for n in numbers]
    assert {each["granularity"] for each in tags(xml, "Text")} == {"symbol"}  # words would take the particle along
    labels = ["Answer"] if blind else ["Answer", "Candidate"]
    assert [each["value"] for each in tags(xml, "Label")] == labels * places
    assert readable(xml)


def test_a_verdict_is_required_and_has_a_key_for_each_choice() -> None:
    (choices,) = tags(SUGGESTED, "Choices")
    assert choices["required"] == "true"
    said = [(each["value"], each["hotkey"]) for each in tags(SUGGESTED, "Choice")]
    assert said == [("answerable", "1"), ("no_answer", "2"), ("bad_question", "3")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_blind_form_does_not_speak_of_suggestions(language: Any) -> None:
    said = page(blind=True, places=3, language=language) + instruction(language, blind=True)
    assert re.findall(r"candidate|suggest|predict|score|model|후보|제안|예측|점수", said, re.IGNORECASE) == []


def test_the_guidelines_are_in_the_languages_asked_for() -> None:
    assert "조사는 빼고" in instruction("ko", blind=True)
    assert "particle" not in instruction("ko", blind=True)
    assert "particle" in instruction("en", blind=True)
    assert instruction("both", blind=False) == instruction("ko", blind=False) + instruction("en", blind=False)
    assert "후보" in page(blind=False, places=1, language="ko")


def test_pages_with_other_content_have_other_fingerprints_and_layout_does_not_count() -> None:
    assert len({page_sha256(page(blind=blind, places=places, language=said)) for blind, places, said in FORMS}) == 30
    indented = re.sub(r">\s*<", ">\n\n      <", SUGGESTED)
    assert indented != SUGGESTED
    assert page_sha256(indented) == page_sha256(SUGGESTED)
    assert page_sha256(SUGGESTED.replace("no_answer", "none")) != page_sha256(SUGGESTED)
    assert page_sha256("<View>") != page_sha256("<View")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name="p2"', 'name="text2"'),
        ('name="answer2"', 'name="labels2"'),
        ('name="answer2" toName="p2"', 'name="answer2" toName="p1"'),
        ('value="Answer"', 'value="Antwort"'),
        ('name="verdict"', 'name="said"'),
        ('value="no_answer"', 'value="none"'),
        ("</View>", "</Vi>"),
    ],
)
def test_a_page_that_lost_a_control_of_ours_is_not_readable(old: str, new: str) -> None:
    assert old in SUGGESTED
    assert not readable(SUGGESTED.replace(old, new))


def test_a_page_with_more_on_it_stays_readable() -> None:
    more = SUGGESTED.replace("</View>", '<Rating name="mood" toName="p1"/></View>', 1)
    assert readable(more.replace('hotkey="1"', 'hotkey="q"'))
    assert not readable("<View/>")
    assert not readable("no XML")


@pytest.mark.parametrize("places", [0, MAX_PLACES + 1])
def test_a_page_holds_one_to_five_passages(places: int) -> None:
    with pytest.raises(ValueError, match="places must be 1 to 5"):
        page(blind=False, places=places, language="ko")


def test_a_page_speaks_korean_english_or_both() -> None:
    with pytest.raises(ValueError, match="language must be one of ko, en, both, got 'de'"):
        page(blind=False, places=1, language="de")  # type: ignore[arg-type]


@pytest.mark.parametrize(("blind", "places", "language"), FORMS)
def test_label_studios_own_validator_takes_page_task_and_prediction(blind: bool, places: int, language: Any) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
    label_interface = interface(page(blind=blind, places=places, language=language))
    label_interface.validate()
    now = datetime(2024, 5, 1, tzinfo=UTC)
    task = TaskRow(1, 1, "q", "random", blind, 0, ("a",), 0, 1, "open", now, None)
    sent = task_json(
        task,
        round_uid="r",
        push_id="p",
        question="어디?",
        passages={"a": PassageRow("a", "d", 0, "서울에서", "도시")},
        places=places,
        answers=[AnswerRow("서울", "a", 0, 2, 0.5, 0.5), AnswerRow("서", "a", 0, 1, 0.2, 0.2)],
    )
    assert label_interface.validate_task({"data": sent["data"]})
    for prediction in sent.get("predictions", []):
        assert label_interface.validate_prediction(prediction, return_errors=True) == []
