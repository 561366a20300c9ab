"""Trimming: particles in their context, and brackets with and without partners."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.postprocess.trimming import with_paired_brackets, without_josa

MARKS = "([{<《〈「『【“‘)]}>》〉」』】”’\"'"


def trimmed(text: str, span: str, question: str = "") -> str:
    start = text.index(span)
    begin, end = without_josa(question, text, start, start + len(span))
    return text[begin:end]


# --- particles ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def _kiwi() -> None:
    pytest.importorskip("kiwipiepy")


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("그는 서울에서 태어났고 서울 강북에 살았다.", "서울에서", "서울"),
        ("국가의 힘이다. 국가는 크다.", "국가의", "국가"),
        ("그는 한양으로부터 왔다. 한양 사람이다.", "한양으로부터", "한양"),
        ("그는 육군 총장과 만났다. 총장은 떠났다.", "육군 총장과", "육군 총장"),
        ("1921년에는 학당이 섰다. 1921년 봄이었다.", "1921년에는", "1921년"),  # two particles, one after the other
    ],
)
def test_particles_after_a_noun_that_occurs_elsewhere_are_dropped(text: str, span: str, expected: str) -> None:
    assert trimmed(text, span) == expected


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("제주도는 섬이다. 제주 사람은 제주도를 떠났다.", "제주도"),
        ("그의 나이는 모른다. 나 혼자 그의 나이를 안다.", "나이"),
        ("국가는 크다. 그들은 국 대신 국가를 말했다.", "국가"),
        ("회의는 길었다. 그 회 다음 회의를 열었다.", "회의"),
    ],
)
def test_nouns_that_end_like_a_particle_keep_their_ends(text: str, span: str) -> None:
    assert trimmed(text, span) == span


def test_a_particle_is_kept_if_its_noun_occurs_nowhere_else() -> None:
    assert trimmed("그는 서울에서 태어났다.", "서울에서") == "서울에서"


def test_the_noun_may_occur_in_the_question() -> None:
    assert trimmed("그는 서울에서 태어났다.", "서울에서", "서울 사람은 누구인가?") == "서울"


def test_a_noun_that_always_has_the_same_particle_keeps_it() -> None:
    assert trimmed("그는 서울에서 태어나 서울에서 죽었다.", "서울에서") == "서울에서"


def test_an_occurrence_inside_another_word_does_not_count() -> None:
    assert trimmed("그는 서울에서 태어났다. 남서울 역이다.", "서울에서") == "서울에서"


def test_nothing_is_tagged_if_the_word_occurs_nowhere_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tagged: list[str] = []
    monkeypatch.setattr("mrc.postprocess.trimming._particles", lambda text: tagged.append(text) or ())
    assert trimmed("그는 서울에서 태어나 한양에서 죽었다.", "서울에서") == "서울에서"
    assert not tagged
    trimmed("그는 서울에서 태어나 서울 강북에서 죽었다.", "서울에서")
    assert tagged


@given(st.text(alphabet="서울은는이가에의도 를나국제주.1(年😀", min_size=1, max_size=40), st.data())
def test_trimming_keeps_the_start_and_is_never_empty(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    begin, stop = without_josa(text[::-1], text, start, end)
    assert begin == start < stop <= end
    assert text[begin:stop].strip() or not text[start:end].strip()


# --- brackets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ('He sang "Hello" twice.', '"Hello', '"Hello"'),
        ('He sang "Hello" twice.', 'Hello"', '"Hello"'),
        ("Hanyang (Seoul) grew.", "Hanyang (Seoul", "Hanyang (Seoul)"),
        ("소설 「봄봄」을 썼다.", "봄봄」", "「봄봄」"),
        ("It (the mill) stood.", "It (", "It"),
        ("It (the mill, rebuilt) stood.", "(the mill", "the mill"),
        ("It (the old mill) stood.", "mill)", "mill"),
        ("the Beatles' song", "Beatles'", "Beatles'"),
        ("the dogs’ bowl", "dogs’", "dogs’"),
        ("the 'old mills' stood", "mills'", "mills"),
        ("the ‘old mills’ stood", "mills’", "mills"),
        ("the 'Beatles' sang", "Beatles'", "'Beatles'"),
        ("Rob's 'Tarn' and James' mill", "James'", "James'"),
        ("the mill' fell", "mill'", "mill"),
        ("King's Landing", "King'", "King"),
        ("He is 5'10\" tall.", "5'10\"", "5'10\""),
        ("He is 5'10\" tall.", "5'", "5'"),
        ('A "new" pipe of 12" by 6".', '12"', '12"'),
        ('12"의 관', '12"', '12"'),
        ('A "new", or 12", pipe', '12"', '12"'),
        ("The 1990's end", "1990'", "1990"),
        ('The "Apollo 11" flew.', 'Apollo 11"', '"Apollo 11"'),
        ('The "old Apollo 11" flew.', 'Apollo 11"', "Apollo 11"),
        ("the '90s were", "'90s", "'90s"),
        ("summer of ’69, then", "’69", "’69"),
        ("the '90s, the Beatles' years", "Beatles'", "Beatles'"),
        ("It is '1984' by", "'1984", "'1984'"),
        ("x in [0, 1) is", "[0, 1)", "[0, 1)"),
        ("x in (0, ∞] is", "(0, ∞", "(0, ∞]"),
        ("x in [0, 1) is", "0, 1)", "[0, 1)"),
        ("Hanyang (Seoul) grew.", "Hanyang (Seoul) grew", "Hanyang (Seoul) grew"),
        ("It was [the (mill] of Tarn.", "the (mill] of Tarn", "the (mill] of Tarn"),
        ("King's Landing is O'Hara’s.", "King's Landing is O'Hara’s", "King's Landing is O'Hara’s"),
        ("(", "(", "("),
    ],
)
def test_an_unpaired_mark_gets_its_adjoining_partner_or_is_dropped_at_an_end(
    text: str, span: str, expected: str
) -> None:
    start = text.index(span)
    begin, end = with_paired_brackets(text, start, start + len(span))
    assert text[begin:end] == expected


@given(st.text(alphabet=MARKS + "as1, ", min_size=1, max_size=14), st.data())
def test_repair_adds_only_the_partner_that_adjoins_and_drops_only_marks_and_spaces(
    text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    begin, stop = with_paired_brackets(text, start, end)
    assert 0 <= begin < stop <= len(text)
    assert text[begin:stop].strip() or not text[start:end].strip()
    changed = text[min(begin, start) : max(begin, start)] + text[min(stop, end) : max(stop, end)]
    assert set(changed) <= {*MARKS, " "}, "no letter comes or goes"
    assert with_paired_brackets(text, begin, stop) == (begin, stop), "nothing is left to repair"
