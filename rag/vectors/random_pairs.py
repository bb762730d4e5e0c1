"""How similar a model finds texts that have nothing to do with each other: what a cosine has to beat."""

from __future__ import annotations

import numpy as np

from rag.vectors.embedders import Embedder

#: Passages about sixty different things.
UNRELATED = (
    "The baker lets the dough rise overnight in a cool room so that the crust turns out crisp and the crumb open.",
    "Under the new statute, tenants may withhold a part of the rent until the landlord has repaired the heating.",
    "A neutron star packs more mass than the sun into a ball no wider than a city.",
    "The goalkeeper broke two fingers during training and will miss the rest of the season.",
    "To prune an apple tree, cut away branches that cross or point towards the trunk, late in winter.",
    "The symphony's slow movement opens with a single oboe over muted strings.",
    "Payments received after the fifteenth of the month are booked in the following billing period.",
    "Mangrove roots slow the waves down and shelter young fish from their hunters.",
    "The compiler inlines short functions when optimisation is switched on.",
    "Her grandmother crossed the border on foot in the autumn of 1944, carrying nothing but a sewing machine.",
    "Patients should not take this medicine together with grapefruit juice.",
    "The bridge was closed to lorries after inspectors found cracks in two of its cables.",
    "A chess player who gives up a pawn early hopes to gain time for the attack.",
    "Glaciers grind the rock beneath them into a fine flour that turns lakes turquoise.",
    "The museum has bought a bronze mirror from a Roman grave found near the motorway.",
    "Turn the screw clockwise until the belt no longer slips, then tighten the lock nut.",
    "Voters rejected the plan for a new airport by a narrow margin.",
    "Honeybees tell each other where flowers are by dancing on the comb.",
    "The cardigan is knitted from the top down, so the sleeves can be tried on for length.",
    "Inflation fell for the third month in a row, mainly because fuel became cheaper.",
    "The submarine cable carries most of the island's telephone and data traffic.",
    "In the third chapter the detective realises that the gardener cannot have been left-handed.",
    "Concrete needs about four weeks to reach its full strength.",
    "The choir meets on Tuesdays in the parish hall; beginners are welcome.",
    "Whales sleep with one half of the brain at a time.",
    "Our warehouse ships orders placed before noon on the same working day.",
    "The treaty obliges both states to announce military exercises six weeks ahead.",
    "A pinch of salt brings out the sweetness of ripe melon.",
    "The printer shows a blinking orange light when the toner has to be replaced.",
    "Medieval scribes mixed their ink from oak galls, iron salts and gum.",
    "The trail climbs through larch forest to a hut at two thousand metres.",
    "Antibodies recognise the shape of a molecule rather than its chemical formula.",
    "The actor forgot his lines twice on the opening night, and nobody noticed.",
    "A cooperative of forty farmers sells its cheese directly from the dairy.",
    "The telescope's mirror is made of eighteen gilded hexagons.",
    "Employees accrue two and a half days of leave for each full month of service.",
    "Sand dunes sing when their grains slide down in step with one another.",
    "The violin maker taps the spruce and listens before she cuts the first plate.",
    "Earthquakes along this fault recur every hundred and fifty years on average.",
    "Please fasten your seat belt and put your tray table in its upright position.",
    "The twins opened a bicycle repair shop in what used to be a bakery.",
    "Prime numbers become rarer the further one counts, yet they never end.",
    "The vaccine has to be kept at two to eight degrees until it is given.",
    "Fresco painters had to finish each patch before the plaster dried.",
    "The river ferry does not run when the wind is stronger than force seven.",
    "A toddler's vocabulary often doubles within a few weeks around the second birthday.",
    "The insurer pays for storm damage only if the windows had been closed.",
    "Termites build their mounds so that warm air rises and draws fresh air in below.",
    "The committee postponed its decision on the colour of the school uniforms.",
    "Black tea is fully oxidised, while green tea is heated soon after picking.",
    "The locomotive was built in 1912 and still pulls excursion trains in summer.",
    "Stir the paint well, then thin it with a little water for the first coat.",
    "Wolves returned to the valley after an absence of more than a century.",
    "The passphrase should be at least four words long and never be used twice.",
    "In her speech the mayor thanked the volunteers who had filled sandbags all night.",
    "The soup is passed through a sieve and finished with cold butter.",
    "Copper roofs turn green within decades as a layer of carbonate forms.",
    "The referee added six minutes because of the injuries in the second half.",
    "Migrating geese take turns at the front of the formation, where flying is hardest.",
    "The auction house estimates the stamp at a quarter of a million.",
)


def random_similarity(embedder: Embedder) -> tuple[float, float]:
    """Mean and 95th percentile of the cosine between unrelated passages, over all pairs of :data:`UNRELATED`."""
    vectors = embedder.embed_passages(UNRELATED)
    cosines = (vectors @ vectors.T)[np.triu_indices(len(UNRELATED), k=1)]
    return float(cosines.mean()), float(np.percentile(cosines, 95))
