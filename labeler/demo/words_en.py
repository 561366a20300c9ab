"""English templates of the synthetic encyclopaedia (`labeler.demo.templates`), and its invented names."""

from labeler.demo.templates import split_list

MACROS = {
    "@When": "[When|In which year|In what year]",
    "@who": "[Who|Which person]",
    "@person": "[person|man or woman|figure]",
    "@town": "[town|place]",
    "@Tell": "[Name|Give the name of]",
}

GIVEN = split_list(
    "Orlen Mirra Tavish Iselde Corvin Pella Hadrin Sunniva Berec Lioba Garrick Neve Odo Thessaly Wystan "
    "Ruelle Jorun Ansa Fenwick Damaris Ludo Petra Caspian Elowen Bastin Yrsa Quill Marit Torvald Oona"
)
SURNAMES = split_list(
    "Vasketh Brandle Ormsby Tarrowin Quillard Hestrin Maldove Pennick Dray Sorrel Lindqvane Harrowmoor "
    "Teague Bellwin Krantz Ostrander Fallowby Merrin Stonewick Averil"
)
PLACE_HEADS = split_list(
    "Kar Vel Bren Mos Thal Ist Dun Hollow Ash Marl Pel Oster Win Grim Lark Sal Fen Tor Rook Ember Quen Hazel Byr Nor"
)
PLACE_TAILS = split_list("wick mere holm den ford bury stead gate combe haven moor ley")
PLACE_MARKS = ("Upper", "New", "East", "Old")
RIVER_HEADS = split_list(
    "Sorne Ilva Brathe Tessel Ouden Marrow Lathe Quist Elder Nevis Arrin Dovel Mirk Yarl Penna Orrow"
)
RIVER_FORM = "River {}"
LANDS = split_list(
    "Cape Ondry;the Vessel Isles;the Glass Desert;Lake Umbriel;the Carrow Peaks;Mount Tavel;"
    "the Hollow Coast;the Sable Marshes;Port Ennis;the White Plateau;the Lorn Archipelago;"
    "the Amber Steppe;Cape Wrathen;Lake Sennet;Mount Ygren;the Drowned Forest",
    ";",
)
ADJECTIVES = split_list(
    "Glass Silver Hidden Paper Winter Crimson Silent Copper Amber Broken Distant Velvet Iron Hollow "
    "Golden Salt Midnight Borrowed Painted Northern Scarlet Sleeping Crooked Secret Second-Hand Marble "
    "Wooden Restless"
)
NOUNS = split_list(
    "Orchard Lantern Harbour Clock Sparrow Garden Mirror Ladder Crown Kettle Compass Heron Bell Staircase "
    "River Window Fiddle Island Anchor Letter Chimney Pocket Candle Tower Puppet Suitcase Shadow Teacup"
)
FAIR_MARKS = split_list(
    "Lantern Harvest Moon Thistle Cider Feather Drum Ribbon Acorn Frost Bonfire Tulip Herring Kite Mask "
    "Snow Honeybee Barrel Firefly Pumpkin Maypole Cherry Saddle Oyster"
)
EXPEDITION_MARKS = split_list(
    "Aldous Brisk Cormorant Dawn Equinox Falcon Gannet Halcyon Ibis Juniper Kestrel Longhope Meridian "
    "Narwhal Osprey Polestar Quicksand Reindeer Solstice Tempest Umber Vanguard Walrus Zephyr"
)
SHIPS = split_list(
    "Brave Otter;Evening Star;Grey Duchess;Lucky Penny;Merry Widow;Old Patience;Proud Swallow;Red Pilgrim;"
    "Sea Bramble;Swift Badger;True Cousin;Wandering Goose;Wild Rose;Young Baron;Bold Venture;Quiet Sister",
    ";",
)
COMPANY_MARKS = split_list(
    "Abbot Birchall Caldwell Denholm Eckhart Farrow Gimlet Hobday Inkpen Jessop Kilner Lomax Mundy Nettle "
    "Opie Prout Quaife Rudge Scrim Tolley Upjohn Vickery Wragg Yelland"
)
DEVICES = split_list("loom pump lamp clock press kiln sieve lens plough bellows winch barometer stove organ")
DEVICE_MARKS = split_list(
    "tide cloud ember frost spindle copper whisper marsh mirror feather thunder amber willow salt pebble "
    "ivy moth saffron cobweb lilac"
)
FAIRS = ("Fair", "Festival", "Feast", "Carnival")
WORKS = ("Glassworks", "Foundry", "Mills", "Brothers", "Trading Company", "Shipyard", "Potteries", "Tannery")
THINGS = {
    "craft": "lace;rope;blue pottery;church bells;saddles;smoked eel;paper kites;candles;violins;felt hats;ink;honey",
    "goods": "spectacles;pocket knives;window glass;bicycles;tea kettles;umbrellas;pianos;fishing nets;door locks;boots",
    "material": "brass;walnut wood;cast iron;whalebone;tin;porcelain;oiled leather;cork;bamboo;slate;copper wire",
    "dish": "plum soup;barley cake;roast goose;pickled pears;chestnut bread;onion pie;herring stew;honey dumplings",
}

TEMPLATES = """
kind person
: born year
- {S} was born in {A}.
- {S} [came into the world|first saw daylight] in {A}.
- The [parish book|town register] gives {A} as the year of birth of {S}.
- In {A} {S} was born to a family of [millers|weavers|ferrymen].
- The cradle of {S} stood ready in {A}.
? @When was {S} born?
? What is the [year of birth|birth year] of {S}?
? @When did {S} come into the world?
? @When did the life of {S} begin?
: hometown town
- {S} [grew up|spent a quiet childhood] in {A}.
- The [childhood home|boyhood and school years] of {S} [was|lay] in {A}.
- {A} is the [home town|native place] of {S}.
- {S} [comes|came] from {A}.
- People in {A} still show the house where {S} was a child.
? Where did {S} [grow up|spend childhood]?
? [Which|What] @town does {S} come from?
? What is the [home town|native place] of {S}?
? In which @town was {S} a child?
: mentor person
- {S} [learned the trade from|was taught by] {A}.
- {A} [taught|trained|tutored] {S}.
- {S} was [a pupil|an apprentice] of {A}.
- The [teacher|mentor] of {S} was {A}.
- Under the eye of {A}, {S} [learned to draw|mastered the craft].
? @who [taught|trained] {S}?
? Who was the [teacher|mentor|master] of {S}?
? Whose [pupil|apprentice] was {S}?
? From whom did {S} learn the trade?
: medal year
- {S} [received|was awarded|won] the Lantern Medal in {A}.
- In {A} the academy [honoured|decorated] {S} with the Lantern Medal.
- The Lantern Medal [went to|was pinned on] {S} in {A}.
- The jury [chose|crowned] {S} in {A}.
? @When did {S} [receive|win] the Lantern Medal?
? @When was {S} [honoured|decorated] by the academy?
? @When did the jury choose {S}?
? What is the year of the medal of {S}?
: pupils number 3 60
- {S} [trained|taught] {A} pupils.
- {A} [apprentices|young people] [passed through|learned in] the workshop of {S}.
- The school of {S} had {A} [learners|places].
- As many as {A} followers [called|named] {S} their teacher.
? How many [pupils|apprentices|learners] did {S} [have|train]?
? How many [young people|followers] did {S} teach?
? What was the number of [pupils|apprentices] of {S}?
+ A street in {town} [bears the name|keeps the memory] of {S}.
+ {person} [painted|drew] the only known portrait of {S}.
+ A fire in {year} [destroyed|spoiled] most letters of {S}.
+ {S} [owned|collected] {number} clocks.

kind town
: founded year
- {S} was [founded|established|settled] in {A}.
- The [founding|foundation] of {S} dates from {A}.
- The first houses of {S} [rose|were built] in {A}.
- {S} [began as|started out as] a salt camp in {A}.
- In {A} settlers [laid out|marked out] {S}.
? @When was {S} [founded|established|settled]?
? What is the founding year of {S}?
? @When did {S} begin?
? @When did the first houses of {S} go up?
: founder person
- {S} was [founded|established] by {A}.
- {A} [founded|laid out|established] {S}.
- The founder of {S} was {A}.
- {S} owes its [existence|first walls] to {A}.
- It was {A} who [led the first settlers to|drove the first stake at] {S}.
? @who founded {S}?
? Who was the founder of {S}?
? By whom was {S} [established|laid out|founded]?
? To whom does {S} owe its existence?
? @who led the first settlers to {S}?
: flood year
- A [flood|great flood] [struck|drowned] {S} in {A}.
- In {A} high water [ruined|swept through] {S}.
- {S} was [flooded|under water] in {A}.
- The river [burst into|overran] {S} in {A}.
? @When did a flood strike {S}?
? @When was {S} [flooded|under water]?
? What is the year of the flood of {S}?
? @When did [high water|the river] [ruin|overrun] {S}?
: population number 900 90000
- {S} has {A} inhabitants.
- {A} people [live in|are at home in] {S}.
- The [population|number of residents] of {S} is {A}.
- The last census [counted|found] {A} [residents|souls] in {S}.
? How many [people|residents|inhabitants] live in {S}?
? What is the population of {S}?
? How many [inhabitants|residents|souls] does {S} have?
? How many people did the census count in {S}?
: craft thing craft
- {S} is [known|famous] for its {A}.
- The [pride|speciality] of {S} is {A}.
- Traders come to {S} to buy {A}.
- For centuries {S} has lived from {A}.
- The [workshops|market stalls] of {S} are full of {A}.
? What is {S} [known|famous] for?
? Which [product|craft] made {S} famous?
? What is the [speciality|pride] of {S}?
? What do traders buy in {S}?
? Of what are the [workshops|market stalls] of {S} full?
+ A statue of {person} stands [on|beside] the market square.
+ The school of {S} has {number} pupils.
+ A railway line to {town} was [closed|given up] in {year}.
+ The clock tower of {S} was painted in {year}.

kind bridge
: opened year
- {S} [opened|was opened] to [traffic|carts] in {A}.
- The first [travellers|carriages] crossed {S} in {A}.
- The opening of {S} was celebrated in {A}.
- {S} has been in use since {A}.
- {S} was [finished|completed] in {A}.
? @When did {S} open?
? @When was {S} [opened|completed|finished]?
? Since when has {S} been in use?
? @When did the first travellers cross {S}?
: rebuilt year
- {S} was [rebuilt|renewed] in {A}.
- In {A} workers [replaced|strengthened] the deck of {S}.
- A [repair|renovation] of {S} took place in {A}.
- {S} [got|was given] a new deck in {A}.
? @When was {S} [rebuilt|renewed|repaired]?
? @When did {S} get a new deck?
? What is the year of the [repair|renovation] of {S}?
? @When was the deck of {S} [replaced|strengthened]?
: architect person
- {S} was designed by {A}.
- {A} [designed|drew the plans for] {S}.
- The [architect|designer] of {S} was {A}.
- The [plans|drawings] of {S} came from the desk of {A}.
- {S} is the [masterpiece|work] of {A}.
? @who designed {S}?
? Who was the [architect|designer] of {S}?
? By whom was {S} designed?
? @who drew the plans [for|of] {S}?
? Whose [work|masterpiece] is {S}?
: crosses river
- {S} [crosses|spans] the {A}.
- {S} [leads|carries the road] over the {A}.
- The {A} flows [under|beneath] {S}.
- Below {S} runs the {A}.
- Under {S} [fishermen row along|boats float on] the {A}.
? [Which|What] river does {S} [cross|span]?
? Which river [flows|runs] [under|beneath|below] {S}?
? What water does {S} lead over?
: length number 40 900 metres
- {S} is {A} long.
- The [length|span] of {S} is {A}.
- From end to end {S} measures {A}.
- {S} [stretches|reaches] over {A}.
- A walk across {S} is [a matter of|a stroll of] {A}.
? How long is {S}?
? What is the [length|span] of {S}?
? How many metres does {S} [measure|stretch]?
? How far does {S} [reach|stretch]?
? How [far|long] is a walk across {S}?
+ A plaque on {S} [names|remembers] {person}.
+ A storm in {year} [broke|bent] the railings of {S}.
+ {number} lamps [light|line] {S} at night.
+ The stone [came|was brought] from {town}.

kind invention
: invented year
- {S} was invented in {A}.
- {S} [first worked|was first shown] in {A}.
- In {A} the [first|earliest] model of {S} was [built|finished].
- The patent for {S} was [granted|registered] in {A}.
- {S} dates back to {A}.
? @When was {S} invented?
? @When was {S} first [shown|built]?
? @When was the patent for {S} granted?
? How old is {S}: from [which|what] year does it date?
: inventor person
- {S} was [invented|devised|thought up] by {A}.
- {A} [invented|devised|built the first model of] {S}.
- The inventor of {S} was {A}.
- {S} is a brainchild of {A}.
- The idea for {S} came to {A} in a dream.
? @who [invented|devised] {S}?
? Who was the inventor of {S}?
? By whom was {S} [invented|devised|thought up]?
? Whose [brainchild|idea] was {S}?
: workshop town
- {S} was [made|produced] in {A}.
- The workshop that makes {S} stands in {A}.
- {S} [was first built|took shape] in {A}.
- Workers in {A} [assembled|turned out] {S}.
- {S} [left|rolled out of] a workshop in {A}.
? Where was {S} [made|produced|built]?
? In which @town was {S} [made|assembled]?
? In which @town did {S} take shape?
? Where does the workshop stand that makes {S}?
: material thing material
- {S} is made of {A}.
- The [body|frame] of {S} [consists of|is of] {A}.
- {A} is the main material of {S}.
- Its maker used {A} for {S}.
- {S} was [cut|shaped] from {A}.
? What is {S} made of?
? Which material was used for {S}?
? What does the [body|frame] of {S} consist of?
? What is the main material of {S}?
? From what was {S} [cut|shaped]?
? Out of which material is {S} made?
: sold number 50 9000
- {A} [copies|pieces] of {S} were sold.
- {S} found {A} buyers.
- The [sales|orders] of {S} reached {A}.
- Customers [bought|ordered] {S} {A} times.
- The trade in {S} came to {A} pieces.
? How many [copies|pieces] of {S} were sold?
? How many buyers did {S} find?
? How many times was {S} [sold|bought|ordered]?
? What number did the [sales|orders] of {S} reach?
+ A museum in {town} keeps one [example|specimen].
+ {person} wrote the manual for {S}.
+ A stamp of {year} shows {S}.
+ {S} has {number} moving parts.

kind festival
: first year
- {S} was first [held|celebrated] in {A}.
- {S} [began|started] in {A}.
- {S} took place for the first time in {A}.
- {S} goes back to {A}.
- People have [gathered for|danced at] {S} since {A}.
? @When was {S} first [held|celebrated]?
? @When did {S} [begin|start]?
? Since when has {S} taken place?
? To which year does {S} go back?
: host town
- {S} [is held|takes place] in {A}.
- {A} [hosts|is the home of] {S}.
- The [streets|squares] of {A} fill up for {S}.
- Visitors travel to {A} for {S}.
- The people of {A} dress up for {S}.
? Where [is {S} held|does {S} take place]?
? [Which|What] @town hosts {S}?
? In which @town can {S} be [seen|visited]?
? Where do visitors travel for {S}?
: starter person
- {S} was [started|founded|called into life] by {A}.
- {A} [started|founded|had the idea for] {S}.
- The founder of {S} was {A}.
- {S} goes back to an idea of {A}.
? @who [started|founded] {S}?
? Who was the founder of {S}?
? By whom was {S} [started|called into life]?
? Whose idea was {S}?
: visitors number 300 80000
- {S} [draws|attracts] {A} visitors.
- {A} [guests|people] [come to|attend] {S}.
- Last year {S} counted {A} guests.
- The crowd at {S} numbers {A}.
? How many [visitors|guests|people] [come to|attend] {S}?
? How many [visitors|guests] does {S} [draw|attract|count]?
? How large is the crowd at {S}?
: dish thing dish
- The traditional [dish|food] of {S} is {A}.
- At {S} people eat {A}.
- Cooks [serve|prepare] {A} at {S}.
- {S} smells of {A}.
- {S} would be nothing without {A}.
- Every guest of {S} [tastes|is offered] {A}.
? What [do people eat|is eaten] at {S}?
? What is the traditional [dish|food] of {S}?
? Which [dish|food] is [served|prepared] at {S}?
? What do cooks serve at {S}?
+ {person} won the [boat race|singing contest] of {year}.
+ {number} lanterns hang above the dancers.
+ The [drums|costumes] of {S} come from {town}.
+ Rain spoiled {S} in {year}.

kind expedition
: departed year
- {S} [set out|departed|left harbour] in {A}.
- In {A} {S} [began its journey|set sail].
- The departure of {S} fell in {A}.
- Crowds waved {S} goodbye in {A}.
- The anchor of {S} was raised in {A}.
? @When did {S} [set out|depart|leave]?
? @When did {S} [begin its journey|set sail]?
? What was the year of departure of {S}?
: leader person
- {S} was [led|commanded] by {A}.
- {A} [led|commanded|headed] {S}.
- The [leader|commander] of {S} was {A}.
- {S} followed the orders of {A}.
- At the head of {S} [stood|went] {A}.
? @who [led|commanded|headed] {S}?
? Who was the [leader|commander|head] of {S}?
? By whom was {S} [led|commanded]?
? Whose orders did {S} follow?
: goal land
- {S} [travelled|sailed] to {A}.
- The [goal|destination] of {S} was {A}.
- {S} [explored|mapped] {A}.
- {A} was [reached|mapped] by {S}.
? Where did {S} [travel|sail|go]?
? What was the [goal|destination] of {S}?
? [Which|What] region did {S} [explore|map|reach]?
: members number 8 300
- {S} had {A} members.
- {A} [men and women|people] [took part in|joined] {S}.
- The [crew|party] of {S} was {A} strong.
- {S} counted {A} heads.
? How many [members|people] did {S} have?
? How many people [took part in|joined] {S}?
? How [large|strong] was the [crew|party] of {S}?
: ship ship
- {S} used the ship {A}.
- The ship of {S} was called {A}.
- {S} travelled [aboard|on board] the {A}.
- The {A} [carried|bore] {S} across the sea.
- {S} [slept and worked|lived] on the {A}.
? What was the ship of {S} called?
? [Which|What] ship did {S} [use|travel on]?
? Which [vessel|ship] carried {S}?
? Aboard which [vessel|ship] did {S} travel?
+ {person} kept the [diary|log] of {S}.
+ {number} crates of samples [were lost|came home].
+ A monument was raised in {town} in {year}.
+ {person} [cooked|played the fiddle] for the party.

kind company
: established year
- {S} was [founded|established|set up] in {A}.
- {S} [opened its doors|began trading] in {A}.
- The founding of {S} dates from {A}.
- {S} has been in business since {A}.
- {S} [was entered in the register|lit its first furnace] in {A}.
? @When was {S} [founded|established|set up]?
? @When did {S} [open its doors|begin trading]?
? What is the founding year of {S}?
? Since when has {S} been in business?
: establisher person
- {S} was [founded|established|set up] by {A}.
- {A} [founded|set up|started] {S}.
- The founder of {S} was {A}.
- {S} [grew out of|began as] a shed owned by {A}.
? @who [founded|set up|started] {S}?
? Who was the founder of {S}?
? By whom was {S} [founded|established]?
? Out of whose shed did {S} grow?
: seat town
- {S} [is based|has its seat] in {A}.
- The [headquarters|head office] of {S} [is|stands] in {A}.
- {S} [runs|directs] its business from {A}.
- {A} is the seat of {S}.
? Where is {S} based?
? Where is the [headquarters|head office|seat] of {S}?
? In which @town does {S} have its seat?
? From which @town does {S} run its business?
: staff number 20 4000
- {S} [employs|gives work to] {A} people.
- {A} [people|workers] [work|earn their bread] at {S}.
- The [staff|workforce] of {S} numbers {A}.
- {S} has {A} [employees|workers].
? How many [people|workers] does {S} employ?
? How many [people|employees] work at {S}?
? How large is the [staff|workforce] of {S}?
? What is the number of [employees|workers] of {S}?
: goods thing goods
- {S} [makes|produces|manufactures] {A}.
- {A} are the [main line|daily bread] of {S}.
- {S} [earns its money|made its name] with {A}.
- The [product|catalogue] of {S} is all about {A}.
? What does {S} [make|produce|manufacture]?
? Which [product|goods] does {S} sell?
? With what did {S} make its name?
? What is the main line of {S}?
? What comes out of the workshops of {S}?
+ {person} keeps the books of {S}.
+ A strike in {year} lasted {number} days.
+ {S} [sold|closed] its branch in {town} in {year}.
+ The chimney of {S} is {number} feet high.

kind book
: published year
- {S} was [published|printed|released] in {A}.
- {S} [appeared|came out] in {A}.
- In {A} {S} reached the bookshops.
- The first edition of {S} is from {A}.
- Readers first held {S} in their hands in {A}.
? @When was {S} [published|printed|released]?
? @When did {S} [appear|come out]?
? From which year is the first edition of {S}?
? @When did {S} reach the bookshops?
: author person
- {S} was written by {A}.
- {A} [wrote|is the author of] {S}.
- The [author|writer] of {S} is {A}.
- {S} came from the pen of {A}.
- {S} made {A} famous as a novelist.
- {A} spent ten years on {S}.
? @who wrote {S}?
? Who is the [author|writer] of {S}?
? By whom was {S} written?
? From whose pen did {S} come?
? @who spent ten years on {S}?
: setting town
- {S} [is set|plays] in {A}.
- The story of {S} [unfolds|takes place] in {A}.
- The [setting|scene] of {S} is {A}.
- The heroes of {S} live in {A}.
- {S} leads its readers to {A}.
? Where is {S} set?
? Where does the story of {S} [take place|unfold]?
? What is the [setting|scene] of {S}?
? In which @town do the heroes of {S} live?
? Where does {S} lead its readers?
: pages number 80 900
- {S} has {A} pages.
- {S} runs to {A} pages.
- {S} [fills|covers] {A} [sheets|leaves].
- The [length|thickness] of {S} is {A} pages.
? How many pages does {S} have?
? How [long|thick] is {S}?
? To how many pages does {S} run?
? How many [leaves|sheets|pages] does {S} fill?
? What is the number of pages of {S}?
: illustrator person
- The [pictures|illustrations] in {S} are by {A}.
- {A} [illustrated|drew the pictures for] {S}.
- {S} was illustrated by {A}.
- The woodcuts of {S} are the work of {A}.
- {A} [filled|adorned] {S} with drawings.
? @who illustrated {S}?
? Who is the illustrator of {S}?
? @who drew the [pictures|woodcuts] [for|of] {S}?
? By whom are the [illustrations|pictures] in {S}?
+ {person} turned {S} into an opera in {year}.
+ {S} was [translated|burned] in {town} in {year}.
+ {number} copies of {S} [survive|are left].
+ {person} called {S} a [riddle|marvel].
"""

ANAPHORS = {
    "town": "the town",
    "bridge": "the bridge",
    "invention": "the device",
    "festival": "the festival",
    "expedition": "the expedition",
    "company": "the firm",
    "book": "the book",
}
ASIDES = ("By contrast,", "Elsewhere,", "For comparison:", "It should not be confused with its namesake:")
