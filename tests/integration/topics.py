"""A few topics in their own words: what a cluster label should be able to tell apart."""

from __future__ import annotations

#: Language, and the words of which a topic's label must have one, by topic.
WORDS: dict[str, tuple[str, set[str]]] = {
    "beekeeping": ("en", {"bees", "hive", "hives", "honey", "colony", "colonies", "queen", "beekeeper"}),
    "coffee": ("en", {"coffee", "espresso", "beans", "roast", "roasting", "grind", "brew"}),
    "chess": ("en", {"chess", "pawn", "pawns", "bishop", "knight", "king", "rook", "endgame", "queen"}),
    "glaciers": ("en", {"glacier", "glaciers", "ice", "meltwater", "moraine", "crevasses"}),
    "mortgages": ("en", {"mortgage", "mortgages", "loan", "lender", "repayment", "borrower"}),
    "sauerteig": ("de", {"sauerteig", "teig", "brot", "mehl", "roggen", "backofen"}),
}

_TEXTS = {
    "beekeeping": """
A healthy hive holds one queen, a few hundred drones and tens of thousands of worker bees during the summer.
The beekeeper opens the hive on a warm afternoon and lifts each frame to look for eggs and sealed brood.
Worker bees carry nectar to the comb, where it is dried by fanning wings until it becomes honey.
A colony that has lost its queen grows restless and may raise a new one from a young larva.
Smoke calms bees because they fill themselves with honey when they believe that the hive is on fire.
Varroa mites feed on the brood, so beekeepers count fallen mites and treat the colony in late summer.
In spring a strong colony prepares to swarm, and the old queen leaves the hive with half of the bees.
Honey is harvested once the bees have capped the cells of the comb with wax.
A new beekeeper should start with two hives, since one colony can then help the other with brood.
During winter the bees form a tight cluster around the queen and live on stored honey.
Beeswax from old comb is melted, filtered and poured into moulds for candles.
An entrance reducer keeps mice and robber bees out of a weak hive in autumn.
Bees find their way back to the hive by the sun and tell others of flowers with a waggle dance.
Sugar syrup is fed to a colony whose honey was taken, so that the bees do not starve before spring.
A queen excluder keeps the queen out of the honey supers, so that no brood is laid in them.
The beekeeper wears a veil and gloves, and brushes bees gently from each comb of the hive.
""",
    "coffee": """
Coffee beans are roasted until the first crack, when steam breaks them open with a popping sound.
A light roast keeps the acidity of the beans, while a dark roast tastes of chocolate and smoke.
For espresso the coffee is ground fine, tamped evenly and brewed under nine bars of pressure.
A burr grinder gives an even grind, which matters more to the cup than the price of the machine.
Water for coffee should be just off the boil, since boiling water makes the brew bitter.
A good espresso runs for about twenty-five seconds and wears a hazel crema.
If the coffee tastes sour, grind the beans finer; if it tastes bitter, grind them coarser.
Arabica beans grow at high altitude and are sweeter than robusta, which holds more caffeine.
Steamed milk with fine foam turns an espresso into a cappuccino or a flat white.
Green beans keep for a year, but roasted coffee goes stale within a few weeks of roasting.
In a French press coarse coffee steeps for four minutes before the plunger goes down.
The barista weighs the ground coffee and the espresso in the cup to repeat a good shot.
Washed beans are freed of their fruit before drying, natural ones dry inside the coffee cherry.
Cold brew coffee steeps overnight in the refrigerator and is low in acidity.
Pour-over coffee is brewed slowly in a paper filter, with a bloom of thirty seconds at first.
Roasting at home fills the kitchen with smoke, and the beans must be cooled at once after the roast.
""",
    "chess": """
White opens the chess game by moving the king's pawn two squares and takes space in the centre.
A bishop pair is strong in open positions, where the pawns do not block the diagonals.
The knight is the only chess piece that jumps over others, and it likes outposts behind pawns.
In the endgame the king becomes a fighting piece and walks towards the passed pawn.
Castling brings the king to safety behind its pawns and the rook into play.
The Sicilian Defence answers the king's pawn with the pawn of the queenside bishop.
A rook belongs behind a passed pawn, whether the pawn is its own or the opponent's.
Black sacrificed a knight for two pawns and an attack against the exposed king.
Doubled pawns can be a weakness, but they open a file for the rook.
A grandmaster calculates checks and captures before any quiet move on the chess board.
The game ended in stalemate, since the king had no legal move and was not in check.
In queen endgames a perpetual check saves many a lost chess position.
The pin of the knight by the bishop cost Black a piece in the middlegame.
A pawn that reaches the last rank is promoted, nearly always to a queen.
The opponent resigned when the fork of the knight won the rook.
With opposite-coloured bishops the chess endgame is often drawn, even two pawns down.
""",
    "glaciers": """
A glacier forms where more snow falls in winter than melts in summer, and old snow turns to ice.
The tongue of the glacier has retreated two kilometres since the moraine was left behind.
Crevasses open where the ice of a glacier bends over a step in its bed.
Meltwater runs through tunnels under the glacier and leaves it milky with ground rock.
The mass balance of glaciers is measured with stakes drilled into the ice.
Glaciers carve valleys in the shape of a U and carry boulders far from where they broke off.
Icebergs calve from a glacier that ends in the sea, and drift away with the current.
A lateral moraine shows how thick the ice of the glacier once was.
When debris covers the ice thickly, the glacier below it melts more slowly.
Glaciers of the Alps have lost half of their ice in less than a century.
A surge makes a glacier advance by kilometres within months after decades of rest.
Under its own weight ice flows downhill, faster in the middle of the glacier than at its sides.
Lakes dammed by a moraine may burst and flood the valley below the glacier.
Firn is snow that outlasted a summer and is on its way to glacier ice.
Meltwater at the bed lets a glacier slide over the rock in summer.
The ice sheet of Greenland drains into the sea through a few fast glaciers.
""",
    "mortgages": """
The lender checks the income of the borrower before it agrees to a mortgage on the house.
A fixed-rate mortgage keeps the same interest for ten years, whatever the market does.
The monthly repayment consists of interest and a part that pays off the loan.
With a variable rate the cost of the mortgage rises when the central bank raises interest.
A deposit of a fifth of the price brings the borrower a cheaper mortgage.
Lenders charge a fee for early repayment of a loan whose rate is fixed.
The house secures the mortgage: if the borrower stops paying, the lender may sell it.
Refinancing replaces an old mortgage by a new loan at a lower interest rate.
The loan-to-value ratio tells how much of the price of the home is borrowed from the lender.
First-time buyers may get a mortgage with a guarantee of their parents.
An interest-only mortgage leaves the whole loan to be repaid at the end of its term.
A broker compares mortgage offers of many lenders and is paid by commission.
The valuation of the house limits the loan that a lender will give.
Mortgage insurance pays the lender if the borrower can't meet the repayments.
Closing costs, such as taxes and the notary, are not covered by the mortgage.
A longer term lowers the monthly repayment but raises the interest paid on the loan.
""",
    "sauerteig": """
Ein Sauerteig aus Roggen braucht nur Mehl, Wasser und einige Tage Geduld in einer warmen Küche.
Der Bäcker füttert den Sauerteig am Abend, damit er am Morgen kräftig aufgeht.
Der Teig für das Brot ruht zwei Stunden und wird dann zu einem runden Laib geformt.
Roggenmehl bindet mehr Wasser als Weizenmehl, deshalb ist der Teig klebriger.
Im heißen Backofen bekommt das Brot zuerst viel Dampf und später eine trockene Hitze.
Ein reifer Sauerteig riecht mild nach Apfel und schwimmt, wenn man ihn ins Wasser gibt.
Das Brot ist fertig gebacken, wenn es beim Klopfen auf die Unterseite hohl klingt.
Wer den Teig über Nacht in den Kühlschrank stellt, bekommt ein Brot mit mehr Geschmack.
Salz kommt erst später in den Teig, weil es die Hefen im Sauerteig bremst.
Die Kruste reißt kontrolliert auf, wenn man den Laib vor dem Backen einschneidet.
Vollkornmehl macht das Brot dunkler und den Teig schwerer.
Ein Rest des Sauerteigs bleibt im Glas und wird für das nächste Brot aufgehoben.
Dinkel verträgt wenig Kneten, sonst reißt der Teig und das Brot wird flach.
Die Krume ist locker, wenn der Sauerteig genug Triebkraft hatte.
Gebacken wird das Roggenbrot anfangs sehr heiß, danach lässt man den Backofen abfallen.
Mehl mit hoher Typenzahl enthält mehr Mineralstoffe und lässt den Sauerteig schneller säuern.
""",
}
#: The passages of each topic.
TEXTS: dict[str, list[str]] = {topic: text.strip().split("\n") for topic, text in _TEXTS.items()}


def parts_of(label: str) -> set[str]:
    """The single words of a label."""
    return set(label.casefold().replace(",", " ").split())
