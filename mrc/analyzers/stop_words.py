"""Function words of languages written with spaces: they tell the languages apart, and are no terms of an index.

Languages with a Snowball stemmer, and others that would be taken for one of them. Malay counts as Indonesian, Croatian
and Bosnian as Serbian: their stemmers fit. The words of English are `mrc.analyzers.characters.STOP_WORDS`.
"""

from __future__ import annotations

from typing import Final

#: ISO 639-1 code -> function words, in every script that the language is written in
FUNCTION_WORDS: Final[dict[str, str]] = {
    # with a Snowball stemmer
    "ar": "في من على إلى عن مع هذا هذه ذلك التي الذي الذين كان كانت يكون أن إن ما لا لم لن هو هي هم و أو ثم "
    "قد كل بعد قبل بين حتى عند كما أي متى أين كيف لماذا ماذا هل",
    "hy": "և ու է են եմ եր էր էին որ որը որի մի այս այդ այն նա նրա նրանց իր են թե համար հետ մեջ վրա որպես "
    "ինչ ով երբ որտեղ ինչպես ինչու կամ բայց նաև",
    "eu": "eta da dira zen ziren du dute zuen zuten bat ez edo baina ere hau hori hura horrek honen zer nor "
    "non noiz nola zergatik zein izan bere beste arte baino dago daude izango",
    "ca": "de la el i els les en un una que per del al amb és va són no es com més però o ha aquest aquesta "
    "pel dels seu seva on quan qui què quin quina també hi ser era fou l d",
    "cs": "a v na je se že s z do o i k po za od pro jako by byl byla bylo byli jsou to ten ta který která "
    "které jeho její ale nebo také ve ze kdo co kdy kde jak proč který při už",
    "da": "og i at er en det den til af på som med for de et ikke var blev har han hun sig fra der om ved "
    "men eller efter også skal kan vil hvem hvad hvor hvornår hvorfor hvilken hans havde være",
    "nl": "de het een van en in is dat op te voor met die zijn er aan niet om als bij ook door naar was "
    "werd worden uit over dan maar of tot hij zij ze wie wat waar wanneer hoe waarom welke deze dit "
    "heeft had",
    "eo": "la kaj de en estas estis al ne kun por el ke ĝi li ŝi ili mi vi ni tiu tio kiu kio kie kiam kiel "
    "kial sed aŭ pri per sur ĉe ĝis ankaŭ plej pli da unu esti",
    "et": "ja on ei et oli see ka kui oma mis kes kus millal kuidas miks või aga ning tema ta nad selle "
    "seda olid olnud pärast enne juures kõik mitte siis veel üks palju",
    "fi": "ja on ei se että oli hän ovat olivat mutta myös kun kuin joka jotka tai sekä niin mikä kuka "
    "missä milloin miten miksi jossa jonka mukaan ole ollut olla sen hänen tämä ne vuonna",
    "fr": "de la le les et des en un une du est que dans qui pour par sur au aux pas plus ne se ce cette "
    "son sa ses avec il elle ils sont été était ou où quand comment pourquoi quel quelle quoi l d qu "
    "n s c a",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an "
    "werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war "
    "wurde wer was wo wann warum welche welcher",
    "el": "και το του η ο της την τα των στο στη στην με για από που να είναι ήταν ένα μια τον τους οι σε "
    "ως δεν θα αλλά ή κατά ποιος ποια πότε πού πώς γιατί τι",
    "hi": "के में की है और से का को पर यह वह एक ने हैं था थे थी कि जो भी इस उस तो ही लिए साथ कर या नहीं बाद "
    "तक अपने कौन क्या कब कहाँ कहां कैसे क्यों किस हुआ गया",
    "hu": "a az és hogy nem is egy van volt meg de ez azt ezt csak vagy mint már még ha el ki mi mikor hol "
    "miért hogyan melyik volna lett lesz után szerint között amely aki ami",
    "id": "yang dan di dari untuk dengan pada adalah ini itu ke oleh sebagai dalam tidak akan atau juga "
    "telah menjadi ada mereka ia dia karena tersebut siapa apa kapan dimana mana bagaimana mengapa "
    "bisa saat seorang",
    "ga": "agus an na is a i ar go le do de sé sí bhí tá ní níl ach nó seo sin é iad faoi ó chun nach cad "
    "cé cathain conas cén raibh leis air ag gur",
    "it": "di e il la che in un una è per del della con non i le si da al dei nel delle alla sono come più "
    "anche ma lo gli ha dal nella su o era fu chi cosa quando dove come perché quale quali l d dell "
    "suo sua",
    "lt": "ir yra į iš kad su buvo tai bet kaip jo jis ji ne už po apie nuo iki ar kur kas kada kodėl kuris "
    "kuri jų savo prie dėl taip pat per ant arba",
    "ne": "को र मा छ हो यो एक लागि पनि गरेको भएको थियो थिए छन् ले बाट गर्न भने तथा वा हुन् हुन्छ त्यो यस "
    "उनी कसले के कहिले कहाँ कसरी किन कुन सँग गरे",
    "no": "og i er på det en at til av som med for den de ikke var et har han hun seg fra om ved men eller "
    "etter også skal kan vil hvem hva hvor når hvorfor hvilken ble blir hadde være sin etter",
    "fa": "و در به از که این را با است برای آن یک های می شد شده بود تا بر او هم خود نیز یا اما ما چه چرا "
    "کجا کی چگونه کدام چند پس هر کرد باشد شود",
    "pl": "i w na z się nie do jest to że o jak po za od przez dla co ale który która które był była było "
    "są ten ta tego oraz lub jego jej tym już czy kto kiedy gdzie dlaczego jaki jako przy ze",
    "pt": "de a o e que do da em um uma para com não os as no na por mais dos das se como mas ao foi é são "
    "ou seu sua pela pelo também ele ela quem quando onde porque qual quais à às era",
    "ro": "de și şi în la a cu pe din un o care este nu să sau pentru mai ca au fost prin al ale lui ei cel "
    "cea dar sunt era cine ce când unde cum care după între într nici ar fi",
    "ru": "и в на не что с он по как это а из у за к о от для же но его она они так было был была были то "
    "все бы если или который которая которые при до кто когда где почему какой чем",
    "sr": "и је у на се да су за од са који која које као није али или био била било то из он она по о до "
    "ће што тај ко када где како зашто i je u na se da su za od sa koji koja koje kao nije ali ili "
    "bio bila bilo to iz on ona po o do će što taj ko tko kada gdje gde kako zašto",
    "st": "le ea ya ho ka ba e ke se o ha ka hore ka mme kapa empa tsa oa wa bo la ne feela joalo yena bona "
    "hae eo tse mang eng neng hokae joang hobaneng ntse",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha "
    "fue este esta son entre era cuando muy sin sobre también hasta hay donde quien quién qué cuándo "
    "dónde cómo cuál porque",
    "sv": "och i att det som en på är av för med till den har de inte om ett var han hon sig från men eller "
    "efter också ska kan vid hur vad vem var när varför vilken blev hade vara sin då under",
    "ta": "மற்றும் ஒரு இந்த அந்த என்று என்ற இது அது உள்ள இருந்து வேண்டும் இல்லை அவர் அவர்கள் என்ன எங்கே "
    "எப்போது யார் எப்படி ஏன் எந்த ஆகும் போன்ற மேலும்",
    "tr": "ve bir bu da de için ile olarak olan çok daha gibi o ne en kadar sonra ama veya ise değil her mi "
    "mı tarafından olduğu oldu var yok kim nerede zaman nasıl neden niçin hangi kendi göre ancak",
    "yi": "און די דער אין איז צו פון דאס אז נישט ער זי זיי מיט אויף א אן האט זענען געווען ווי אויך פאר דעם "
    "וואס ווער ווען וואו פארוואס אבער ביי נאך",
    # without one
    "af": "die van en in is het 'n dat nie te vir met op wat was sy hy as aan om ook deur word ek hulle "
    "deur haar wie waar wanneer hoekom hoe nie maar of tot uit",
    "be": "і ў на не што з па як гэта да у за ён яна яны быў была было для ад але або які якая калі дзе хто "
    "чаму пры яго",
    "bg": "на и в се от за да е са с по не че като до това който която които при беше са или но си той тя "
    "те кой какво кога къде как защо след един",
    "cy": "y yr a yn o i ac ar am mae ei eu wedi gan oedd fod ond neu hefyd sydd pwy beth pryd ble sut pam "
    "gyda hwn cael",
    "gl": "de a o e que do da en un unha para con non os as no na por máis dos das se como pero ao foi é "
    "son ou seu súa pola polo tamén el ela quen cando onde porque cal cales ó galego",
    "he": "של את על לא הוא היא זה עם כי גם או אל הם היה הייתה אשר כל בין אך רק מה מי איפה מתי למה איך אבל "
    "יש כדי לאחר ידי היו",
    "is": "og í að er á sem til um við með fyrir var það en af ekki hann hún þeir eru frá eða eftir einnig "
    "hver hvað hvar hvenær hvernig hvers þar því",
    "la": "et in est ad non ut cum sed de ex ab qui quae quod sunt esse aut per hic eius etiam quis quid "
    "ubi quando cur a erat fuit atque",
    "lv": "un ir no ar uz par ka kas bija tika kā arī vai bet pie pēc līdz gada viņš viņa to tas šis kur "
    "kad kāpēc kurš savu tā nav gadā",
    "mk": "и на во се да од за е со не што како по до тоа кој која кои при беше или но тој таа тие кога "
    "каде зошто ги го биле",
    "mr": "आणि आहे या व ते तो ती हे मध्ये होते होता आहेत एक नाही पण किंवा त्या त्यांनी साठी म्हणून कोण काय कधी कुठे कसे का येथे केले झाला",
    "sk": "a v na je sa že s z do o aj k po za od pre ako by bol bola bolo boli sú to ten tá ktorý ktorá "
    "ktoré jeho jej ale alebo tiež vo zo kto čo kedy kde prečo pri už",
    "sl": "in je v na se da so za z s ki ni pa po od kot tudi bil bila bilo ali pri do o iz njegov tega "
    "leta kdo kaj kdaj kje kako zakaj še že",
    "sq": "e të dhe në një i me për nga që është u ka si më do të tij nuk por ose ishte janë kjo ky kush "
    "çfarë kur ku si pse",
    "sw": "na ya wa kwa katika ni la za cha ambayo hii huo hiyo pia kama au lakini kutoka baada yake wake "
    "hadi kila nani nini lini wapi vipi gani alikuwa ilikuwa",
    "tl": "ang ng sa mga na at ay si ni para o kung hindi niya siya ito isang mula noong bilang may kanyang "
    "sino ano kailan saan paano bakit nang",
    "uk": "і в на не що з у та до за як це він вона вони був була було для від але або який яка які при "
    "його хто коли де чому також про",
    "ur": "کے میں کی ہے اور سے کا کو پر یہ وہ ایک نے ہیں تھا تھے تھی کہ جو بھی اس تو لیے ساتھ کر یا نہیں "
    "بعد تک کون کیا کب کہاں کیسے کیوں",
    "vi": "của và là có được trong cho không các những một người này đã với để khi từ đến năm tại ra vào "
    "theo về cũng như ở ai gì đâu nào sao thì bị do trên",
}

#: code -> name of the Snowball stemmer
STEMMERS: Final[dict[str, str]] = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "st": "sesotho", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
