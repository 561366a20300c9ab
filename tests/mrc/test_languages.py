"""The language of texts, and the analyzer that `auto` chooses for it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from benchmarks.languages import TEMPLATES, collection, top_3
from mrc.analyzers import Bigram, get_analyzer, text_language
from mrc.analyzers.stemming import STEMMING
from mrc.analyzers.stop_words import STEMMERS
from mrc.retrieve.bm25 import BM25
from tests.commands import new_workspace, ok, run

# fmt: off
TEXTS = [
    ("ja", "東京は日本の首都であり、世界最大の都市の一つである。江戸幕府が置かれた後に発展した。"),
    ("zh", "北京是中华人民共和国的首都，也是全国的政治中心和文化中心。"),
    ("th", "กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย"),
    ("lo", "ນະຄອນຫຼວງວຽງຈັນເປັນເມືອງຫຼວງຂອງສາທາລະນະລັດປະຊາທິປະໄຕປະຊາຊົນລາວ"),
    ("km", "ភ្នំពេញគឺជារាជធានី និងជាទីក្រុងធំបំផុតនៃប្រទេសកម្ពុជា"),
    ("my", "ရန်ကုန်မြို့သည် မြန်မာနိုင်ငံ၏ အကြီးဆုံးမြို့ ဖြစ်သည်။"),
    ("ko", "서울은 대한민국의 수도이다."),
    ("en", "London is the capital of England and the largest city in the United Kingdom."),
    ("de", "Berlin ist die Hauptstadt und ein Land der Bundesrepublik Deutschland. Die Stadt ist mit rund "
     "3,7 Millionen Einwohnern die bevölkerungsreichste."),
    ("fr", "Paris est la capitale de la France. Située au cœur du Bassin parisien, sur une boucle de la "
     "Seine, elle est divisée en arrondissements."),
    ("es", "Madrid es un municipio y una ciudad de España. La localidad es la capital del Estado y de la "
     "Comunidad."),
    ("ca", "Barcelona és una ciutat i metròpoli a la costa mediterrània de la península Ibèrica. És la "
     "capital de Catalunya."),
    ("pt", "Lisboa é a capital de Portugal e a cidade mais populosa do país. Tem uma população de meio "
     "milhão de habitantes dentro dos seus limites."),
    ("it", "Roma è la capitale d'Italia. È il comune più popoloso e più esteso della nazione ed è tra le "
     "maggiori capitali europee."),
    ("nl", "Amsterdam is de hoofdstad van Nederland. De stad ligt in de provincie Noord-Holland, aan de "
     "monding van de Amstel en aan het IJ."),
    ("sv", "Stockholm är Sveriges huvudstad och landets största tätort. Staden ligger vid Mälarens utlopp i "
     "Östersjön och är en av de äldsta."),
    ("da", "København er Danmarks hovedstad og største by. Byen ligger på Sjælland og er også hjemsted for "
     "regeringen, som har til huse på Christiansborg."),
    ("no", "Oslo er Norges hovedstad og største by. Byen ligger innerst i Oslofjorden og er også et eget "
     "fylke. Den ble grunnlagt rundt år 1000."),
    ("fi", "Helsinki on Suomen pääkaupunki ja Uudenmaan maakuntakeskus. Se on väkiluvultaan maan suurin "
     "kaupunki, ja se sijaitsee Suomenlahden rannalla."),
    ("et", "Tallinn on Eesti pealinn ja suurim linn. See asub Põhja-Eestis Soome lahe ääres ning on ka "
     "Harju maakonna keskus."),
    ("hu", "Budapest Magyarország fővárosa és egyben legnagyobb városa. Az ország politikai, művelődési és "
     "közlekedési központja, amely a Duna két partján fekszik."),
    ("tr", "Ankara, Türkiye'nin başkenti ve en kalabalık ikinci şehridir. Bu şehir ülkenin ortasında yer "
     "alır ve çok eski bir yerleşimdir."),
    ("pl", "Warszawa jest stolicą Polski i największym miastem w kraju. Leży nad Wisłą, na Mazowszu, i od "
     "wielu lat jest siedzibą rządu."),
    ("cs", "Praha je hlavní a současně největší město České republiky. Leží na řece Vltavě a je sídlem "
     "vlády, které se zde usídlilo."),
    ("sk", "Bratislava je hlavné mesto Slovenska a najväčšie mesto krajiny. Leží na rieke Dunaj a je sídlom "
     "vlády, ktorá sa tu usadila."),
    ("ro", "București este capitala României și cel mai populat oraș din țară. Orașul se află în sud-estul "
     "țării, pe malurile râului Dâmbovița."),
    ("ru", "Москва является столицей России и крупнейшим по численности населения городом страны. Город "
     "расположен на реке и известен с XII века."),
    ("uk", "Київ є столицею України та найбільшим містом країни. Місто розташоване на берегах Дніпра і було "
     "засноване у V столітті."),
    ("bg", "София е столицата на България и най-големият град в страната. Градът се намира в западната част "
     "на страната и е сред най-старите."),
    ("sr", "Београд је главни град Србије и највећи град у земљи. Налази се на ушћу Саве у Дунав и један је "
     "од најстаријих градова."),
    ("sr", "Zagreb je glavni grad Hrvatske i najveći grad u zemlji. Nalazi se na rijeci Savi i jedan je od "
     "najstarijih gradova koji su poznati."),
    ("el", "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας."),
    ("hy", "Երևանը Հայաստանի մայրաքաղաքն է։"),
    ("ar", "القاهرة هي عاصمة جمهورية مصر العربية وأكبر مدنها من حيث عدد السكان و تقع على نهر النيل في شمال "
     "البلاد"),
    ("fa", "تهران پایتخت ایران است و پرجمعیت‌ترین شهر این کشور به شمار می‌رود که در شمال آن قرار دارد."),
    ("ur", "کراچی پاکستان کا سب سے بڑا شہر ہے اور یہ صوبہ سندھ کا دارالحکومت ہے جو بحیرہ عرب کے ساحل پر ہے"),
    ("he", "ירושלים היא בירת ישראל והיא העיר הגדולה של המדינה. גם היום היא אחת הערים העתיקות של העולם כי "
     "היא על הר."),
    ("yi", "ירושלים איז די הויפטשטאט פון ישראל און די גרעסטע שטאט אין דעם לאנד. זי איז אויף א בארג."),
    ("hi", "दिल्ली भारत की राजधानी है और यह देश का एक बड़ा शहर है। इस शहर में बहुत लोग रहते हैं।"),
    ("mr", "मुंबई ही महाराष्ट्राची राजधानी आहे आणि ते भारतातील एक मोठे शहर आहे. या शहरात मोठे बंदर आहे."),
    ("ne", "काठमाडौं नेपालको राजधानी हो र यो देशको एक ठूलो सहर हो। यस सहरमा धेरै मानिस छन्।"),
    ("ta", "சென்னை தமிழ்நாட்டின் தலைநகரம் ஆகும்."),
    ("vi", "Hà Nội là thủ đô của nước Việt Nam và là một thành phố lớn. Thành phố này có nhiều người dân và "
     "được thành lập từ lâu."),
    ("id", "Jakarta adalah ibu kota negara Indonesia dan kota terbesar di negara itu. Kota ini terletak di "
     "pantai utara dan memiliki penduduk yang banyak."),
    ("lt", "Vilnius yra Lietuvos sostinė ir didžiausias šalies miestas. Jis yra prie Neries ir buvo įkurtas "
     "XIV amžiuje, o apie jį rašė daug kas."),
    ("lv", "Rīga ir Latvijas galvaspilsēta un lielākā pilsēta valstī. Tā ir pie Daugavas un ir dibināta "
     "1201. gadā, kā arī ir osta."),
    ("ga", "Is í Baile Átha Cliath príomhchathair na hÉireann agus an chathair is mó ar an oileán. Tá sí "
     "suite ar an gcósta."),
    ("eu", "Bilbo Bizkaiko hiriburua da eta Euskal Herriko hiririk handiena. Hiri hau Nerbioi ibaiaren "
     "ondoan dago eta oso zaharra da."),
    ("eo", "Parizo estas la ĉefurbo de Francio kaj la plej granda urbo en la lando. Ĝi situas ĉe la rivero "
     "kaj estas tre malnova."),
    ("sw", "Dodoma ni mji mkuu wa Tanzania na ni mji mkubwa katika nchi hii. Mji huo uko katika kati ya "
     "nchi kwa muda mrefu."),
    ("is", "Reykjavík er höfuðborg Íslands og er stærsta borg landsins. Hún er á suðvesturlandi og þar eru "
     "flestir íbúar sem búa á landinu."),
]
# fmt: on
LATIN = " ".join(f"zork{number} blim{number}" for number in range(30))


@pytest.mark.parametrize(
    ("language", "text"), TEXTS, ids=[f"{code}-{number}" for number, (code, _) in enumerate(TEXTS)]
)
def test_the_language_of_a_text_is_found_by_its_script_and_function_words(language: str, text: str) -> None:
    assert text_language([text]) == language
    assert text_language(iter([text] * 3)) == language


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        ([], "en"),
        (["alpha beta"], "en"),  # too few words to tell
        (["1988 2024 " * 30], "en"),
        (["ｱｲｳｴｵ ｶｷｸｹｺ"], "ja"),  # half-width kana
        (["Ｔｈｅ ｄｏｇ ｉｓ ｉｎ ｔｈｅ ｈｏｕｓｅ"], "en"),  # full-width letters
        ([LATIN], "und-Latn"),
        (["ঢাকা বাংলাদেশের রাজধানী ও বৃহত্তম শহর।"], "und"),
        (["Berlin: München, Köln. Hamburg? Das ist es, und der Rest ist alt."], "de"),
    ],
)
def test_a_text_without_function_words_counts_as_english_only_if_it_is_short(texts: list[str], language: str) -> None:
    assert text_language(texts) == language


JAPANESE = "東京は日本の首都であり、世界最大の都市の一つである。江戸幕府が置かれた後に発展した。"
ENGLISH = "London is the capital of England and the largest city in the United Kingdom, and it is very old."


def test_the_language_of_mixed_texts_is_that_of_most_of_their_words() -> None:
    assert text_language([JAPANESE, JAPANESE, ENGLISH]) == "ja"
    assert text_language([JAPANESE, ENGLISH, ENGLISH, ENGLISH]) == "en"
    assert text_language([f"{JAPANESE} Linux, GNU/Linux, GPL 2.0"] * 2) == "ja"
    assert text_language(["서울은 대한민국의 수도이다. " + "Seoul is big. " * 3]) == "ko"  # a tenth is Hangul


def test_auto_takes_bigrams_or_the_stemmer_of_the_language(caplog: pytest.LogCaptureFixture) -> None:
    for language in ("ja", "zh", "th", "lo", "km", "my"):
        assert get_analyzer("auto", language).name == "bigram"
    for language, stemmer in STEMMERS.items():
        assert get_analyzer("auto", language).name == stemmer
    assert caplog.records == []
    with pytest.raises(ValueError, match="language must be"):
        get_analyzer("auto", "tlh")


@pytest.mark.parametrize(
    ("language", "analyzer", "named", "how"),
    [
        ("vi", "bigram", "(vi)", "whole"),
        ("und", "bigram", "not recognised", "whole"),
        ("und-Latn", "english", "not recognised", "stems"),
    ],
)
def test_auto_warns_of_a_language_without_analyzer(
    language: str, analyzer: str, named: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert get_analyzer("auto", language).name == analyzer
    (record,) = caplog.records
    assert named in record.getMessage()
    assert how in record.getMessage()
    assert "choose another one with --analyzer: bigram" in record.getMessage()


@pytest.mark.parametrize("name", STEMMING)
def test_every_stemmer_has_terms_for_unusual_texts(name: str) -> None:
    analyzer = get_analyzer(name)
    assert list(analyzer.terms(["", " \n\t", "!?"])) == [[], [], []]
    assert "42" in analyzer("\x00 42 \u202e\udcff")


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("german", "Die Häuser", "ein Haus"),
        ("french", "les écoles de l’Europe", "l'école d'Europe"),
        ("russian", "города", "городу"),
        ("turkish", "İSTANBUL’UN KITAPLARI", "istanbul kıtap"),
        ("hindi", "किताबें", "किताब"),
        ("spanish", "las casas grandes", "una casa"),
        ("arabic", "الكُتُب", "كتب"),
        ("persian", "کتاب\u200cها", "کتابها"),
    ],
)
def test_inflected_words_have_the_stem_of_their_base_form(name: str, one: str, other: str) -> None:
    analyzer = get_analyzer(name)
    assert set(analyzer(other)) & set(analyzer(one))


def test_a_vowel_sign_belongs_to_its_letter() -> None:
    assert Bigram()("ที่นี่") == ["ที่นี่"]  # two letters with two marks each: one bigram
    assert Bigram()("हिन्दी, বাংলা 42") == ["हिन्दी", "বাংলা", "42"]  # whole, not cut at their vowel signs
    assert Bigram()("ភ្នំពេញ")[0] == "ភ្នំ"
    assert Bigram()("❤️ ok") == ["ok"]


@pytest.mark.parametrize("language", TEMPLATES)
def test_auto_finds_passages_where_english_terms_do_not(language: str) -> None:
    made = collection(language, passages=600, seed=1)
    assert text_language(made.passages) == language
    before, now = top_3(made, "english"), top_3(made, "auto")
    assert now >= before + 0.2
    assert now >= 0.7


def test_a_workspace_is_indexed_by_the_analyzer_of_its_language(tmp_path: Path) -> None:
    at = ("-w", new_workspace(tmp_path / "ws"))
    made = collection("ja", passages=5, seed=0)
    for number, passage in enumerate(made.passages):
        (tmp_path / f"{number}.txt").write_text(passage, encoding="utf-8")
    ok("import", *(tmp_path / f"{number}.txt" for number in range(5)), "--as", "corpus", *at)
    assert ok("index", *at)["analyzer"] == "bigram"
    assert ok("search", made.questions[0], "-k", "1", *at)["hits"][0]["text"] == made.passages[0]
    assert ok("index", "--analyzer", "german", *at)["analyzer"] == "german"
    assert "one of auto" in run("index", "--analyzer", "klingon", *at).err


def test_an_index_of_a_stemmer_is_saved_and_loaded(tmp_path: Path) -> None:
    index = BM25.build(["Die Häuser sind alt und sie stehen in der Stadt.", "Ein Wald ist es und kein Garten."])
    assert index.analyzer.name == "german"
    index.save(tmp_path / "index")
    assert BM25.load(tmp_path / "index").search(["Welches Haus?"], 1)[0].tolist() == [[0]]
