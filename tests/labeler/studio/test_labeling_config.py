"""The labeling configuration of the review page; test_browser uses it in a browser."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from db.rows import AnswerRow, PassageRow, TaskRow
from labeler.review.guidelines import LANGUAGES, instruction
from labeler.review.studio.labeling_config import MAX_PASSAGES, config_sha256, labeling_config
from labeler.review.studio.payloads import task_payload

PAGES = list(itertools.product((True, False), range(1, MAX_PASSAGES + 1), LANGUAGES))
SUGGESTED = labeling_config(blind=False, passage_slots=2, language="both")


def tags(xml: str, name: str) -> list[dict[str, str]]:
    return [each.attrib for each in ElementTree.fromstring(xml).iter(name)]


@pytest.mark.parametrize(("blind", "slots", "language"), PAGES)
def test_each_passage_has_its_own_answer_control(blind: bool, slots: int, language: Any) -> None:
    xml = labeling_config(blind=blind, passage_slots=slots, language=language)
    numbers = range(1, slots + 1)
    assert [(each["name"], each["value"]) for each in tags(xml, "Text")] == [(f"p{n}", f"$p{n}") for n in numbers]
    controls = [(each["name"], each["toName"]) for each in tags(xml, "Labels")]
    assert controls == [(f"answer{n}", f"p{n}") for n in numbers]
    assert {each["granularity"] for each in tags(xml, "Text")} == {"symbol"}  # words would take the particle along
    labels = ["Answer"] if blind else ["Answer", "Candidate"]
    assert [each["value"] for each in tags(xml, "Label")] == labels * slots


def test_verdicts_have_letters_and_candidates_numbers_and_none_is_required() -> None:
    (choices,) = tags(SUGGESTED, "Choices")
    assert "required" not in choices
    text = [(each["value"], each["hotkey"]) for each in tags(SUGGESTED, "Choice")]
    verdicts = [("answerable", "y"), ("no_answer", "n"), ("bad_question", "b")]
    assert text == [*verdicts, ("candidate1", "1"), ("candidate2", "2"), ("candidate3", "3")]
    blind = labeling_config(blind=True, passage_slots=2, language="both")
    assert [(each["value"], each["hotkey"]) for each in tags(blind, "Choice")] == verdicts


def test_the_label_answer_is_selected_from_the_start() -> None:
    selected = [each["value"] for each in tags(SUGGESTED, "Label") if each.get("selected") == "true"]
    assert selected == ["Answer", "Answer"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_blind_page_does_not_mention_suggestions(language: Any) -> None:
    text = labeling_config(blind=True, passage_slots=3, language=language) + instruction(language, blind=True)
    assert re.findall(r"candidate|suggest|predict|score|model|후보|제안|예측|점수", text, re.IGNORECASE) == []


def test_the_guidelines_are_in_the_languages_asked_for() -> None:
    assert "조사는 빼고" in instruction("ko", blind=True)
    assert "particle" not in instruction("ko", blind=True)
    assert "particle" in instruction("en", blind=True)
    assert instruction("both", blind=False) == instruction("ko", blind=False) + instruction("en", blind=False)
    assert "후보" in labeling_config(blind=False, passage_slots=1, language="ko")


def test_the_label_buttons_are_named_in_the_languages_asked_for() -> None:
    named = {
        language: [
            each["html"] for each in tags(labeling_config(blind=False, passage_slots=1, language=language), "Label")
        ]
        for language in LANGUAGES
    }
    assert named == {
        "ko": ["정답", "후보"],
        "en": ["Answer", "Candidate"],
        "both": ["정답 · Answer", "후보 · Candidate"],
    }


def test_pages_with_other_content_have_other_fingerprints_and_white_space_makes_no_difference() -> None:
    assert (
        len(
            {
                config_sha256(labeling_config(blind=blind, passage_slots=slots, language=text))
                for blind, slots, text in PAGES
            }
        )
        == 30
    )
    indented = re.sub(r">\s*<", ">\n\n      <", SUGGESTED)
    assert indented != SUGGESTED
    assert config_sha256(indented) == config_sha256(SUGGESTED)
    assert config_sha256(SUGGESTED.replace("no_answer", "none")) != config_sha256(SUGGESTED)
    assert config_sha256("<View>") != config_sha256("<View")


@pytest.mark.parametrize("slots", [0, MAX_PASSAGES + 1])
def test_a_page_holds_one_to_five_passages(slots: int) -> None:
    with pytest.raises(ValueError, match="slots must be 1 to 5"):
        labeling_config(blind=False, passage_slots=slots, language="ko")


def test_a_page_is_in_korean_english_or_both() -> None:
    with pytest.raises(ValueError, match="language must be one of ko, en, both, got 'de'"):
        labeling_config(blind=False, passage_slots=1, language="de")  # type: ignore[arg-type]


@pytest.mark.parametrize(("blind", "slots", "language"), PAGES)
def test_label_studios_validator_accepts_page_task_and_prediction(blind: bool, slots: int, language: Any) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
    label_interface = interface(labeling_config(blind=blind, passage_slots=slots, language=language))
    label_interface.validate()
    now = datetime(2024, 5, 1, tzinfo=UTC)
    task = TaskRow(1, 1, "q", "random", blind, 0, ("a",), 0, 1, "open", now, None)
    sent = task_payload(
        task,
        round_uid="r",
        push_id="p",
        question="어디?",
        passages={"a": PassageRow("a", "d", 0, "서울에서", "도시")},
        passage_slots=slots,
        answers=[AnswerRow("서울", "a", 0, 2, 0.5, 0.5), AnswerRow("서", "a", 0, 1, 0.2, 0.2)],
    )
    assert label_interface.validate_task({"data": sent["data"]})
    for prediction in sent.get("predictions", []):
        assert label_interface.validate_prediction(prediction, return_errors=True) == []
