"""No file in; sentences of a grammar of our own out, with the exact roles of their predicates. Synthetic: say so wherever they count.

Roles are PropBank's: `ARG0` who does it, `ARG1` what it is done to, `ARG2` who receives it, `ARGM-LOC`, `ARGM-TMP`, `R-` for a relative
pronoun, `V` the predicate itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tasks.readers import Row

Span = tuple[int, int]  # first token, one past the last


def words(text: str) -> list[str]:
    """The entries of a list written with commas."""
    return [entry.strip() for entry in text.split(",")]


PEOPLE = words(
    "teacher, student, doctor, nurse, farmer, baker, painter, sailor, judge, lawyer, clerk, mayor, senator, soldier, captain, "
    "pilot, engineer, plumber, carpenter, tailor, cook, waiter, gardener, librarian, journalist, editor, poet, singer, actor, "
    "dancer, violinist, conductor, chemist, astronomer, biologist, programmer, architect, surveyor, miner, fisherman, shepherd, "
    "hunter, ranger, guard, detective, thief, witness, neighbour, landlord, tenant, merchant, banker, cashier, accountant, manager, "
    "secretary, apprentice, professor, widow, orphan, grandmother, uncle, cousin, nephew, bride, monk, priest, pilgrim, ambassador, "
    "translator, blacksmith, potter, weaver, jeweller, locksmith, postman, driver"
)
NAMES = words(
    "Maria, Ahmed, Ingrid, Kofi, Mei, Tomas, Priya, Olga, Diego, Hana, Samuel, Fatima, Lars, Yuki, Amara, Pavel, Leila, Bruno, "
    "Sofia, Nikhil, Mr. Okafor, Mrs. Lindqvist, Dr. Tanaka, Professor Moreau, Judge Ferreira, Captain Novak, Sister Agnes, Uncle "
    "Bashir"
)
PERSON_ADJECTIVES = words(
    "young, old, tired, clever, nervous, cheerful, stubborn, careful, famous, retired, polite, angry, curious, shy, wealthy, poor, "
    "honest, tall, former, new, foreign, local, sleepy, brave, grumpy, patient, proud, lonely, busy, forgetful"
)
THING_ADJECTIVES = words(
    "old, new, heavy, small, large, broken, dusty, expensive, cheap, strange, wooden, red, blue, green, yellow, plain, rare, "
    "beautiful, useful, famous, second, last, spare, hidden, borrowed, forgotten, narrow, ancient, modern, remarkable"
)
TIMES = words(
    "yesterday, last week, last night, this morning, on Monday, on Tuesday evening, on Friday, in the spring, in 1987, in 2014, two "
    "days ago, a year ago, after the storm, before dawn, before the meeting, during the war, during the festival, at noon, at "
    "midnight, after lunch, every Sunday, for three hours, in the summer, at the end of May, shortly before the trial, soon after "
    "the harvest, on the third day"
)
PLACES = words(
    "in the library, in the kitchen, in the garden, at the harbour, at the market, on the bridge, in the village, in the town hall, "
    "at the station, on the roof, behind the barn, near the river, under the oak tree, in a small workshop, at the hospital, in the "
    "old theatre, beside the well, on the island, in Lisbon, in northern Kenya, in Kyoto, at the border, in the cellar, outside the "
    "courthouse, in the mountains, on the ferry, at the edge of the forest, in the waiting room, across the street, inside the "
    "museum"
)
PAPERS = words(
    "letter, report, contract, novel, poem, map, recipe, diary, invitation, petition, newspaper article, speech, manual, testament, "
    "telegram, postcard, essay, receipt, script, song, law, proposal, medical file, timetable"
)
GOODS = words(
    "lamp, clock, chair, table, bicycle, violin, guitar, camera, kettle, knife, basket, coat, carpet, mirror, ring, necklace, "
    "statue, painting, vase, radio, telescope, umbrella, suitcase, hammer, ladder, lantern, compass, blanket, scarf, watch, coin, "
    "key, drum, saddle, tent, chest"
)
WORKS = words(
    "bridge, fence, roof, boat, engine, cart, tower, chapel, barn, wall, gate, well, mill, road, tunnel, staircase, greenhouse, "
    "stove, printer, tractor, elevator, fountain, stage, shed, windmill, lighthouse"
)
FOODS = words(
    "soup, bread, cake, stew, cheese, fish, rice, salad, pie, sauce, porridge, roast, pudding, bean stew, apple tart, lentil soup, "
    "omelette, jam"
)

# Past tense and participle of verbs, by what their ARG1 is.
VERBS: dict[str, list[str]] = {
    "paper": words(
        "wrote written, read read, signed signed, translated translated, copied copied, lost lost, found found, hid hidden, burned "
        "burned, tore torn, published published, edited edited, memorized memorized, destroyed destroyed, corrected corrected, kept "
        "kept, drafted drafted"
    ),
    "goods": words(
        "bought bought, sold sold, stole stolen, broke broken, found found, lost lost, polished polished, carried carried, packed "
        "packed, hid hidden, repaired repaired, dropped dropped, borrowed borrowed, wrapped wrapped, examined examined, admired "
        "admired, photographed photographed, returned returned, auctioned auctioned, forgot forgotten"
    ),
    "works": words(
        "built built, painted painted, repaired repaired, inspected inspected, designed designed, destroyed destroyed, cleaned "
        "cleaned, opened opened, closed closed, measured measured, demolished demolished, restored restored, guarded guarded, "
        "replaced replaced"
    ),
    "food": words(
        "cooked cooked, ate eaten, served served, tasted tasted, prepared prepared, burned burned, ordered ordered, warmed warmed, "
        "praised praised, spilled spilled, finished finished, refused refused"
    ),
    "person": words(
        "praised praised, warned warned, helped helped, visited visited, followed followed, thanked thanked, blamed blamed, greeted "
        "greeted, interviewed interviewed, arrested arrested, rescued rescued, ignored ignored, recognized recognized, hired hired, "
        "dismissed dismissed, invited invited, questioned questioned, forgave forgiven, taught taught, saw seen, met met, called "
        "called, betrayed betrayed, cured cured"
    ),
}
GIVING = words(
    "gave given, sent sent, lent lent, showed shown, handed handed, sold sold, offered offered, promised promised, brought brought, "
    "mailed mailed, passed passed, left left, read read, awarded awarded"
)
RESTING = words(
    "slept, waited, rested, sang, danced, worked, prayed, lived, cried, laughed, whistled, argued, paused, shivered, studied, "
    "vanished, appeared"
)
NOUNS = {"paper": PAPERS, "goods": GOODS, "works": WORKS, "food": FOODS, "person": PEOPLE}


@dataclass
class Sentence:
    """Tokens so far, and for each predicate the role of each span."""

    draw: Random
    tokens: list[str] = field(default_factory=list)
    propositions: list[dict[Span, str]] = field(default_factory=list)

    def one(self, choices: Sequence[str]) -> str:
        return choices[int(self.draw.random() * len(choices))]

    def chance(self, share: float) -> bool:
        return self.draw.random() < share

    def say(self, text: str) -> Span:
        start = len(self.tokens)
        self.tokens += text.split()
        return start, len(self.tokens)

    def predicate(self, verb: str, **roles: Span) -> dict[Span, str]:
        """A new proposition; roles said later are added to what it returns."""
        proposition = {span: role for role, span in roles.items()} | {self.say(verb): "V"}
        self.propositions.append(proposition)
        return proposition

    def rows(self) -> Iterator[Row]:
        tokens = [self.tokens[0][0].upper() + self.tokens[0][1:], *self.tokens[1:], "."]
        for proposition in self.propositions:
            tags = ["O"] * len(tokens)
            for (start, end), role in proposition.items():
                tags[start:end] = [f"B-{role}", *[f"I-{role}"] * (end - start - 1)]
            yield {"tokens": tokens, "predicate": tags.index("B-V"), "tags": tags}


def read(files: Sequence[Path], num_sentences: int, seed: int) -> Iterator[Row]:
    """Rows of `tokens`, `predicate` and `tags` from `num_sentences` different sentences; a sentence has one row for each predicate."""
    draw = Random(seed)  # only its random() is used: the one method that gives the same numbers in every version of Python
    seen: set[tuple[str, ...]] = set()
    while len(seen) < num_sentences:
        sentence = Sentence(draw)
        KINDS[int(draw.random() * len(KINDS))](sentence)
        if tuple(sentence.tokens) not in seen:
            seen.add(tuple(sentence.tokens))
            yield from sentence.rows()


def active(sentence: Sentence) -> None:
    """Agent, verb, patient: `On Monday the clerk who knew her signed the letter in the library .`"""
    time = opening(sentence)
    agent = person(sentence, relative=0.25)
    proposition = transitive(sentence, agent)
    close(sentence, proposition, time)


def passive(sentence: Sentence) -> None:
    """Patient, was, participle, by agent: `The old bridge was painted by two brothers last week .`"""
    time = opening(sentence)
    kind = sentence.one(list(VERBS))
    patient = person(sentence) if kind == "person" else thing(sentence, kind, relative=0.2)
    sentence.say("was")
    proposition = sentence.predicate(sentence.one(VERBS[kind]).split()[1], ARG1=patient)
    if sentence.chance(0.7):
        proposition[by(sentence, "by")] = "ARG0"
    close(sentence, proposition, time)


def giving(sentence: Sentence) -> None:
    """Agent, verb, recipient, gift in either order: `Mei lent the nurse her lamp .`, `Mei lent a lamp to the nurse .`"""
    time = opening(sentence)
    agent = person(sentence, relative=0.15)
    proposition = sentence.predicate(sentence.one(GIVING).split()[0], ARG0=agent)
    if sentence.chance(0.5):
        proposition[person(sentence)] = "ARG2"
        proposition[thing(sentence, gift(sentence))] = "ARG1"
    else:
        proposition[thing(sentence, gift(sentence))] = "ARG1"
        proposition[by(sentence, "to")] = "ARG2"
    close(sentence, proposition, time)


def given(sentence: Sentence) -> None:
    """The same in the passive: `The letter was sent to the judge by Olga .`, `The judge was sent a letter .`"""
    time = opening(sentence)
    participle = sentence.one(GIVING).split()[1]
    if sentence.chance(0.6):
        patient = thing(sentence, gift(sentence))
        sentence.say("was")
        proposition = sentence.predicate(participle, ARG1=patient)
        proposition[by(sentence, "to")] = "ARG2"
    else:
        recipient = person(sentence)
        sentence.say("was")
        proposition = sentence.predicate(participle, ARG2=recipient)
        proposition[thing(sentence, gift(sentence))] = "ARG1"
    if sentence.chance(0.5):
        proposition[by(sentence, "by")] = "ARG0"
    close(sentence, proposition, time)


def resting(sentence: Sentence) -> None:
    """Agent and verb: `Before dawn the tired sailor slept on the ferry .`"""
    time = opening(sentence)
    agent = person(sentence, relative=0.3)
    proposition = sentence.predicate(sentence.one(RESTING), ARG0=agent)
    proposition[sentence.say(sentence.one(PLACES))] = "ARGM-LOC"
    close(sentence, proposition, time, place=0.0)


def joined(sentence: Sentence) -> None:
    """One agent, two predicates: `The cook burned the soup and blamed the waiter .`"""
    time = opening(sentence)
    agent = person(sentence)
    first = transitive(sentence, agent)
    if time:
        first[time] = "ARGM-TMP"
    sentence.say("and")
    close(sentence, transitive(sentence, agent), None)


KINDS = (active, active, passive, passive, giving, given, resting, joined)


def transitive(sentence: Sentence, agent: Span) -> dict[Span, str]:
    kind = sentence.one(list(VERBS))
    proposition = sentence.predicate(sentence.one(VERBS[kind]).split()[0], ARG0=agent)
    proposition[person(sentence) if kind == "person" else thing(sentence, kind, relative=0.15)] = "ARG1"
    return proposition


def person(sentence: Sentence, relative: float = 0.0) -> Span:
    """Somebody, by name or by description, with a relative clause in a share of cases: it has a predicate of its own."""
    if sentence.chance(0.25):
        return sentence.say(sentence.one(NAMES))
    start, end = described(sentence, PEOPLE, PERSON_ADJECTIVES)
    if sentence.chance(relative):
        proposition_start = sentence.say("who")
        proposition = transitive_of(sentence, (start, end), proposition_start)
        end = max(span[1] for span in proposition)
    return start, end


def transitive_of(sentence: Sentence, head: Span, pronoun: Span) -> dict[Span, str]:
    """`the clerk who signed the letter`: the head is the agent."""
    kind = sentence.one(list(VERBS))
    proposition = sentence.predicate(sentence.one(VERBS[kind]).split()[0], ARG0=head)
    proposition[pronoun] = "R-ARG0"
    proposition[described(sentence, NOUNS[kind], PERSON_ADJECTIVES if kind == "person" else THING_ADJECTIVES)] = "ARG1"
    return proposition


def thing(sentence: Sentence, kind: str, relative: float = 0.0) -> Span:
    """Something; in a share of cases `the letter that the clerk signed`: the head is the patient of a predicate of its own."""
    start, end = described(sentence, NOUNS[kind], THING_ADJECTIVES)
    if sentence.chance(relative):
        pronoun = sentence.say("that")
        agent = described(sentence, PEOPLE, PERSON_ADJECTIVES)
        proposition = sentence.predicate(sentence.one(VERBS[kind]).split()[0], ARG0=agent, ARG1=(start, end))
        proposition[pronoun] = "R-ARG1"
        end = len(sentence.tokens)
    return start, end


def described(sentence: Sentence, nouns: Sequence[str], adjectives: Sequence[str]) -> Span:
    phrase = [sentence.one(adjectives)] if sentence.chance(0.4) else []
    phrase.append(sentence.one(nouns))
    article = sentence.one(("the", "the", "the", "a", "this", "her", "their"))
    if article == "a" and phrase[0][0] in "aeio":
        article = "an"
    return sentence.say(" ".join([article, *phrase]))


def by(sentence: Sentence, preposition: str) -> Span:
    start, _ = sentence.say(preposition)
    return start, person(sentence)[1]


def gift(sentence: Sentence) -> str:
    return sentence.one(("goods", "paper"))


def opening(sentence: Sentence) -> Span | None:
    """A time before the rest, in a share of cases."""
    if not sentence.chance(0.2):
        return None
    time = sentence.say(sentence.one(TIMES))
    sentence.say(",")
    return time


def close(sentence: Sentence, proposition: dict[Span, str], time: Span | None, place: float = 0.35) -> None:
    """A place, and a time unless the sentence began with one, in a share of cases."""
    if sentence.chance(place):
        proposition[sentence.say(sentence.one(PLACES))] = "ARGM-LOC"
    if time:
        proposition[time] = "ARGM-TMP"
    elif sentence.chance(0.35):
        proposition[sentence.say(sentence.one(TIMES))] = "ARGM-TMP"
