"""Retrieval in languages other than Korean and English: the analyzers `english`, `bigram` and `auto` on made texts.

Each passage describes a made person in a few template sentences; questions name the person or the work. So the figures
compare analyzers on one language; they say nothing about real texts. No data is needed.

python benchmarks/languages.py [--passages 1000] [--languages ja zh th lo km my de] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from mrc.analyzers import get_analyzer, text_language
from mrc.retrieve.bm25 import BM25

ANALYZERS = ("english", "bigram", "auto")


@dataclass(frozen=True)
class Templates:
    """A passage and questions about it; names are made of the syllables, {one} and {other} of the words."""

    passage: str
    questions: tuple[str, ...]
    syllables: str
    words: str  # each as it stands in the passage, and in the question after a slash


TEMPLATES = {
    "ja": Templates(
        "{name}は{year}年に{place}で生まれた{one}である。{work}を発表して広く知られるようになった。晩年は{home}で{other}と暮らした。",
        (
            "{name}が生まれた場所はどこですか？",
            "{work}を発表したのは誰ですか？",
            "{one}の{name}は晩年をどこで過ごしましたか？",
        ),
        "山 川 田 中 小 林 森 石 井 高 木 村 上 野 原 藤 松 本 清 水 池 橋 か み さ と な る ゆ き ひ ろ",
        "画家 作家 建築家 物理学者 作曲家 詩人 化学者 探検家 彫刻家 歴史家 家族 弟子 友人 妹 息子",
    ),
    "zh": Templates(
        "{name}于{year}年出生在{place}，是一位{one}。他发表的{work}受到了广泛关注。晚年与{other}一起居住在{home}。",
        ("{name}出生在哪里？", "{work}是谁发表的？", "{one}{name}晚年住在什么地方？"),
        "张 王 李 赵 陈 林 周 吴 徐 孙 马 朱 胡 郭 何 高 罗 明 华 国 文 志 建 平 海 云 江 山 春 光",
        "画家 作家 建筑师 物理学家 作曲家 诗人 化学家 探险家 雕塑家 历史学家 家人 学生 朋友 妹妹 儿子",
    ),
    "th": Templates(
        "{name}เกิดเมื่อปี {year} ที่{place}และเป็น{one} ผลงาน{work}ทำให้เป็นที่รู้จัก ช่วงสุดท้ายของชีวิตอยู่กับ{other}ที่{home}",
        ("{name}เกิดที่ไหน", "ใครเป็นเจ้าของผลงาน{work}", "{one}ชื่อ{name}ใช้ชีวิตช่วงสุดท้ายที่ไหน"),
        "สม ชัย วิ นา พร กิต ธน รัต บุญ ศรี มา ลี ทอง ดี เพ็ญ จัน อา ภา สุ ริ ยา นิ ติ พง ษา เก แก้ว คำ",
        "จิตรกร นักเขียน สถาปนิก นักฟิสิกส์ นักแต่งเพลง กวี นักเคมี นักสำรวจ ครอบครัว ลูกศิษย์ เพื่อน น้องสาว",
    ),
    "lo": Templates(
        "{name}ເກີດໃນປີ {year} ທີ່{place}ແລະເປັນ{one} ຜົນງານ{work}ເຮັດໃຫ້ເປັນທີ່ຮູ້ຈັກ ບັ້ນປາຍຊີວິດຢູ່ກັບ{other}ທີ່{home}",
        ("{name}ເກີດຢູ່ໃສ", "ໃຜເປັນເຈົ້າຂອງຜົນງານ{work}", "{one}ຊື່{name}ຢູ່ໃສໃນບັ້ນປາຍຊີວິດ"),
        "ສົມ ໄຊ ວິ ນາ ພອນ ກິດ ທະ ນົນ ບຸນ ສີ ມາ ລີ ທອງ ດີ ເພັດ ຈັນ ອາ ພາ ສຸ ລິ ຍາ ນິ ຕິ ແກ້ວ ຄຳ",
        "ຈິດຕະກອນ ນັກຂຽນ ສະຖາປະນິກ ນັກຟີຊິກ ນັກແຕ່ງເພງ ກະວີ ຄອບຄົວ ລູກສິດ ໝູ່ ນ້ອງສາວ",
    ),
    "km": Templates(
        "{name}កើតនៅឆ្នាំ {year} នៅ{place}និងជា{one} ស្នាដៃ{work}ធ្វើឱ្យគេស្គាល់ ចុងបញ្ចប់នៃជីវិតរស់នៅជាមួយ{other}នៅ{home}",
        ("{name}កើតនៅឯណា", "តើនរណាជាម្ចាស់ស្នាដៃ{work}", "{one}ឈ្មោះ{name}រស់នៅទីណានៅចុងជីវិត"),
        "សុខ វិ នា ពេជ្រ គឹម ធា រ័ត្ន បុណ្យ ស្រី មា លី ទង ដារា ចាន់ អា ភា សុ រិ យា និ តិ កែវ កាំ",
        "វិចិត្រករ អ្នកនិពន្ធ ស្ថាបត្យករ អ្នករូបវិទ្យា អ្នកតែងភ្លេង កវី គ្រួសារ សិស្ស មិត្ត ប្អូនស្រី",
    ),
    "my": Templates(
        "{name}သည် {year} ခုနှစ်တွင်{place}၌မွေးဖွားပြီး{one}ဖြစ်သည်။ {work}ကြောင့်ထင်ရှားသည်။ {home}တွင်{other}နှင့်နေထိုင်သည်။",
        ("{name}ကိုဘယ်မှာမွေးသလဲ", "{work}ကိုဘယ်သူရေးသလဲ", "{one}{name}ဘယ်မှာနေထိုင်သလဲ"),
        "အောင် ကို မောင် သန်း စိုး ဝင်း လှ မြ ခင် နု ထွန်း ဇော် မင်း တင် ကျော် စု ရီ နှင်း ဖြူ သီ တာ",
        "ပန်းချီဆရာ စာရေးဆရာ ဗိသုကာ ရူပဗေဒပညာရှင် တေးရေးဆရာ ကဗျာဆရာ မိသားစု တပည့် သူငယ်ချင်း ညီမ",
    ),
    "de": Templates(
        "{name} wurde {year} in {place} geboren und sammelte {one} und {other}. Mit dem Buch {work} wurde sie bekannt, "
        "und sie lebte bis zuletzt in {home}.",
        ("Wer besaß {one} und {other}?", "Welche Person sammelte {one} sowie {other}?"),
        "Ar Bel Cor Dan El Fal Gor Hen Is Jor Kal Lin Mar Nol Or Pel Quin Ros Sel Tor Ul Var Wil Zan",
        "Uhren/eine_Uhr Münzen/eine_Münze Briefe/einen_Brief Häuser/ein_Haus Bücher/ein_Buch "
        "Schiffe/ein_Schiff Lampen/eine_Lampe Bilder/ein_Bild Karten/eine_Karte Steine/einen_Stein "
        "Glocken/eine_Glocke Schlüssel/einen_Schlüssel Hüte/einen_Hut Gläser/ein_Glas Türen/eine_Tür "
        "Räder/ein_Rad Vasen/eine_Vase Ketten/eine_Kette Ringe/einen_Ring Pflanzen/eine_Pflanze "
        "Fahnen/eine_Fahne Waffen/eine_Waffe Stühle/einen_Stuhl Tische/einen_Tisch Federn/eine_Feder",
    ),
}


@dataclass(frozen=True)
class Collection:
    """Passages, questions, and the number of each question's passage."""

    passages: list[str]
    questions: list[str]
    golds: list[int]


def collection(language: str, *, passages: int, seed: int) -> Collection:
    """Made passages and as many questions in a language."""
    templates, rng = TEMPLATES[language], np.random.default_rng(seed)
    syllables = templates.syllables.split()
    words = [word.replace("_", " ").partition("/") for word in templates.words.split()]
    found = Collection([], [], [])
    for number in range(passages):
        first, second = (words[place] for place in rng.choice(len(words), size=2, replace=False))
        named = {part: "".join(rng.choice(syllables, size=3)) for part in ("name", "place", "work", "home")}
        named |= {"year": str(rng.integers(1500, 2000))}
        asked = {"one": first[2] or first[0], "other": second[2] or second[0]}
        found.passages.append(templates.passage.format(**named, one=first[0], other=second[0]))
        found.questions.append(str(rng.choice(templates.questions)).format(**named, **asked))
        found.golds.append(number)
    return found


def top_3(made: Collection, analyzer: str) -> float:
    """The share of questions whose passage is among the first three."""
    ids, _ = BM25.build(made.passages, analyzer=analyzer).search(made.questions, 3)
    return float(np.mean([gold in row for gold, row in zip(made.golds, ids.tolist(), strict=True)]))


def report(languages: Sequence[str], *, passages: int, seed: int) -> None:
    print(f"top-3 in % of {passages} made passages and questions, by analyzer; `auto` before: english")
    print(f"language  {'  '.join(f'{name:>8}' for name in ANALYZERS)}  auto chooses")
    for language in languages:
        made = collection(language, passages=passages, seed=seed)
        scores = "  ".join(f"{100 * top_3(made, name):8.1f}" for name in ANALYZERS)
        chosen = get_analyzer("auto", text_language(made.passages)).name
        print(f"{language:8}  {scores}  {chosen}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--languages", nargs="+", choices=list(TEMPLATES), default=list(TEMPLATES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    report(options.languages, passages=options.passages, seed=options.seed)


if __name__ == "__main__":
    main()
