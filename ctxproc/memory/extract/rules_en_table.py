"""What English sentences state a fact: the table of `ctxproc.memory.extract.rules_en`.

A phrase is what follows the subject, a regular expression in which a space is any white space. Its first word may have
three forms, "live/lives/living", after "I", after a name, and of the gerund; "am/is" is the verb to be. From these the
engine makes "is living in", "started living in", "no longer lives in", "used to live in". A phrase without a slash is
an event, as it stands: "moved to". What fills ``{noun}`` in a relation is the group of that name.
"""

from __future__ import annotations

from dataclasses import dataclass

from ctxproc.memory.extract import objects_en as o

RELATIVES = (
    "mother|mum|mom|father|dad|sister|brother|twin|son|daughter|wife|husband|partner|boyfriend|girlfriend"
    "|fianc[eé]e?|spouse"
    "|grandmother|grandma|grandfather|grandpa|aunt|uncle|cousin|niece|nephew|stepmother|stepfather|stepsister|stepbrother"
    "|mother-in-law|father-in-law|sister-in-law|brother-in-law|best friend|friend|roommate|flatmate|housemate|neighbou?r"
    "|colleague|co-?worker|boss|manager|supervisor|landlord|landlady|doctor|dentist|therapist|teacher|tutor"
    "|mentor|coach|trainer"
    "|assistant|lawyer|accountant|hairdresser|vet|nanny|baby|child|kid"
)
PETS = (
    "dog|cat|puppy|kitten|hamster|rabbit|bunny|parrot|horse|pony|turtle|tortoise|snake|goldfish|fish|lizard|guinea"
    " pig|pet"
)
ONE = frozenset(
    "mother father wife husband partner boyfriend girlfriend fiance fiancee fiancé fiancée spouse manager boss supervisor"
    " landlord landlady doctor dentist therapist tutor mentor coach trainer assistant lawyer accountant hairdresser vet"
    " nanny".split()
) | {"best friend"}
"""Of these one has one at a time."""
SAME = {
    "mum": "mother",
    "mom": "mother",
    "dad": "father",
    "grandma": "grandmother",
    "grandpa": "grandfather",
    "color": "colour",
    "dish": "food",
    "meal": "food",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table.

    Attributes:
        relation: as in `Triple`.
        phrase: after the subject, or for what is owned, after "my".
        kind: what may stand behind it.
        single, ends: as in `Triple`.
        needs: a regular expression that must occur behind the phrase in the same clause.
    """

    relation: str
    phrase: str
    kind: o.Kind
    single: bool = True
    ends: bool = False
    needs: str = ""


def _rows(
    relation: str, kind: o.Kind, *phrases: str, single: bool = True, ends: bool = False, needs: str = ""
) -> tuple[Rule, ...]:
    """Rules that differ in nothing but the phrase."""
    return tuple(Rule(relation, phrase, kind, single, ends, needs) for phrase in phrases)


_HOME = (
    *_rows(
        "lives in",
        o.place,
        "live/lives/living (?:over |back |together )?in",
        "reside/resides/residing in",
        "am/is (?:now )?(?:based|settled) in",
        "(?:moved|relocated|emigrated|shifted)(?: back| over| out| down| up| house| home)?(?: from [^,.;]{1,40}?)? to",
        "settled(?: down)? in",
        "made (?:my|our|her|his|their) home in",
        r"(?:bought|rented|found|got) (?:a|an|my|our) (?:\w+ )?(?:flat|house|apartment|place|home) in",
    ),
    *_rows("lives in", o.called_home, "(?:made|call|calls)"),
    *_rows("lives in", o.town, "am/is (?:now )?(?:a|an) (?:\\w+ )?(?:resident|inhabitant|citizen) of"),
    *_rows("lives in", o.place, "stay/stays/staying in", needs=r"\b(?:since|permanently|for good)\b"),
    *_rows("lives in", o.place, "(?:have|has|'ve|'s) (?:lived|been living) in", needs=r"\b(?:since|for|all my life)\b"),
    *_rows("lives in", o.place, "(?:am|'m|is|'s|are|'re) (?:moving|relocating) to", needs="DATE"),
    *_rows(
        "lives in", o.place, "(?:moved|relocated)(?: away| out)? (?:from|of|out of)", ends=True, needs="^(?!.* to )"
    ),
    *_rows(
        "comes from",
        o.town,
        "come/comes/coming (?:originally )?from",
        "am/is (?:originally |actually )?from",
        "grew up in",
    ),
    *_rows("was born in", o.birthplace, "was born(?: and raised)? in"),
)
_LOST = "(?:quit|left|lost|resigned from|gave up|gave notice at)"
_WORK = (
    *_rows(
        "works at",
        o.employer,
        "work/works/working (?:now )?(?:at|for|with)",
        "work/works/working as [^,.;]{2,40}? (?:at|for|with)",
        "am/is (?:now )?employed (?:at|by|with)",
        "am/is (?:now )?an employee (?:of|at)",
        "(?:accepted|signed|took) (?:an offer|a contract|a job offer) (?:from|with|at)",
        r"(?:got|landed|took|accepted|found|have|has|started)(?: myself)? (?:a|my|an|the)(?: \w+){0,2}"
        " (?:job|position|role|post) (?:at|with|for)",
        "(?:got|was|been|were|am|'m|is) (?:hired|recruited|taken on) (?:by|at)",
        "started(?: out)? at",
        "(?:switched|changed|moved) (?:jobs|employers|companies)(?: from [^,.;]{1,40}?)? to",
    ),
    *_rows("works at", o.company, "joined"),
    *_rows(
        "works at",
        o.employer,
        rf"{_LOST} (?:my|our|her|his|their|the) (?:\w+ )?(?:job|position|post|role) (?:at|with)",
        ends=True,
    ),
    *_rows(
        "works at",
        o.company,
        "(?:resigned from|quit(?! my| her| his| the)|(?:got|was) fired from|(?:got|was) laid off from|left my job at)",
        ends=True,
    ),
    *_rows(
        "works at",
        o.nothing,
        rf"{_LOST} (?:my|her|his|their) (?:old |current |day )?job\b(?! (?:at|with|as))",
        r"(?:retired|(?:got|was) (?:laid off|fired|made redundant))\b(?! from)",
        ends=True,
    ),
    *_rows(
        "works as",
        o.job,
        "work/works/working (?:now )?as",
        "am/is (?:now )?employed as",
        "(?:got|was|have been|'ve been) (?:promoted|appointed|hired)(?: to| as)",
        r"(?:got|landed|took|found|have|has|started) (?:a|my)(?: \w+){0,2} (?:job|position|work) as",
        "started(?: out)? as (?=an? )",
        "(?:make|makes|earn|earns) (?:a|my|our|her|his) living as",
        "(?:became|become) (?=an? )",
    ),
    *_rows("works as", o.trade, "am/is", needs=r"\bby (?:profession|trade|training)\b"),
    *_rows("works as", o.known_job, "am/is (?=an? )"),
)
_PEOPLE = (
    *_rows("is named", o.name, "(?:am|'m|is) (?:called|named)", "(?:go|goes) by(?: the name(?: of)?)?"),
    *_rows("is aged", o.age, r"am/is (?:already |only )?(?=\d)", r"turned (?=\d)"),
    *_rows("was born on", o.date, "was born on(?: the)?"),
    *_rows("is married to", o.name, "am/is (?:happily )?married to", "(?:got married to|married)"),
    *_rows("is married to", o.name_or_nothing, "(?:got divorced|divorced|got a divorce)(?: from)?", ends=True),
    *_rows("is engaged to", o.name, "am/is engaged to", "got engaged to"),
    *_rows(
        "is dating",
        o.name,
        "date/dates/dating",
        "(?:am|'m|is|'s|are|have been|'ve been|has been|started) (?:now )?(?:seeing|going out with|together with)",
        r"(?:am|'m|is|'s|are) (?:now )?seeing (?:somebody|someone)(?: new)?[,:] (?=\w)",
        "go/goes/going out with",
        r"am/is in a (?:\w+ )?relationship with",
        "got (?:back )?together with",
    ),
    *_rows("is dating", o.name, "(?:broke|split) up with", ends=True),
    *_rows(
        "has {noun}",
        o.called,
        r"(?:have|'ve got|got|has|'s got|own|owns|adopted|bought|rescued) (?:an?|one)(?: \w+){0,2} "
        f"(?P<noun>{RELATIVES}|{PETS}),?(?: who is| that is| who's)?(?: called| named| by the name of| whose name is)",
    ),
    *_rows(
        "has {noun}",
        o.name,
        r"(?:have|'ve got|got|has|'s got) (?:an?|one)(?: \w+){0,2} "
        rf"(?P<noun>{RELATIVES}|{PETS})[,:] (?:who is |who's |(?:her|his) name is )?(?:called |named )?(?=\w)",
    ),
    *_rows("has manager", o.name, "report/reports/reporting to"),
)
_TASTES = (
    *_rows(
        "has favourite food",
        o.value,
        "(?:like|likes|love|loves)",
        needs=r"^eating\b.*\b(?:best|most)\b|\b(?:best|most|more than any|above all)\b.*\b(?:food|dish|meal)(?:e?s)?\b",
    ),
    *_rows(
        "likes",
        o.thing,
        "like/likes/liking",
        "love/loves/loving",
        "enjoy/enjoys/enjoying",
        "adore/adores/adoring",
        "am/is (?:really |totally |very |so )?(?:into|fond of|keen on|crazy about|passionate about)",
        "am/is (?:an? )?(?:really |very )?(?:big|huge|massive|great|real) fan of",
        single=False,
    ),
    *_rows(
        "dislikes",
        o.thing,
        "(?:hate|hates|dislike|dislikes|detest|detests|loathe|loathes|can't stand|cannot stand|can't bear)",
        single=False,
    ),
    *_rows(
        "dislikes",
        o.thing,
        "(?:don't|do not|doesn't|does not) (?:really |particularly |much )?(?:like|enjoy|love)",
        single=False,
        needs="^(?!.*any ?(?:more|longer))",
    ),
    *_rows("is allergic to", o.thing, r"am/is (?:\w+ )?allergic to", single=False),
    *_rows(
        "is", o.state, "am/is", "(?:became|went|turned|have been|'ve been) (?=an? |veg|pesc|teetotal)", single=False
    ),
)
_DOINGS = (
    *_rows("studies", o.subject, "study/studies/studying", "(?:am|'m|is) majoring in", "(?:major|majors) in"),
    *_rows(
        "studies at",
        o.school,
        "study/studies/studying(?: [^,.;]{2,30}?)? at",
        "(?:enrolled|got accepted|got admitted|was accepted|was admitted) (?:at|in|to|into)",
        r"go/goes/going to(?= (?:the )?[A-Z][\w ]*(?:University|College|School|Academy|Institute))",
    ),
    *_rows(
        "is learning", o.language, "(?:am|'m|is|'s|have been|'ve been|started) learning(?: to speak)?", single=False
    ),
    *_rows(
        "speaks", o.language, "speak/speaks/speaking(?: fluent| a little| some| good)?", "am/is fluent in", single=False
    ),
    *_rows("plays", o.game, "play/plays/playing(?: the)?", single=False),
    *_rows(
        "drives",
        o.vehicle,
        "drive/drives/driving(?: around| about)?(?: in)?",
        "am/is (?:now )?(?:behind the wheel|the owner) of",
    ),
    *_rows("drives", o.known_vehicle, "own/owns/owning", "have/has/having"),
    *_rows("drives", o.known_vehicle, "(?:bought|got|leased)(?: myself| ourselves| herself| himself)?"),
    *_rows("drives", o.known_vehicle, "(?:swapped|traded|traded in|exchanged) [^,.]{1,40}? for"),
    *_rows("drives", o.known_vehicle, "(?:switched|changed|upgraded) to"),
    *_rows("owns", o.thing_owned, "own/owns/owning"),
    *_rows("plans to", o.deed, "plan/plans/planning to", "intend/intends/intending to", single=False),
)
STATEMENTS = (*_HOME, *_WORK, *_PEOPLE, *_TASTES, *_DOINGS)

_TO_EAT = r"favou?rite thing to eat"
_FAVOURITE = (
    r"favou?rite (?P<noun>(?!(?:thing|part|bit|one|way|memory|moment|time)s?\b)[a-z]+"
    r"(?: (?!is\b|was\b|used\b|of\b|in\b|about\b|to\b|has\b|isn)[a-z]+)?)"
)
OWNED = (
    *_rows("is named", o.called, "name"),
    *_rows("has {noun}", o.name, f"(?P<noun>{RELATIVES}|{PETS})(?:'s name)?"),
    *_rows("has favourite {noun}", o.value, f"(?:all-time |absolute )?{_FAVOURITE}"),
    *_rows("has favourite food", o.value, _TO_EAT),
    *_rows("was born on", o.date, "(?:birthday|date of birth)"),
    *_rows("works as", o.stated_job, "(?:job|profession|occupation|job title|day job|line of work)"),
    *_rows("works at", o.company, "(?:employer|company|workplace|firm|place of work|job)"),
    *_rows("lives in", o.town, "(?:home|home address|address|place|apartment|flat|house|current city|city)"),
    *_rows("comes from", o.town, "home ?town"),
    *_rows("drives", o.vehicle, "(?:car|vehicle|ride)"),
    *_rows("is aged", o.age, "age"),
    *_rows("has phone number", o.number, "(?:phone |mobile |cell |cell phone |telephone )?number"),
    *_rows("has email", o.address, "e-?mail(?: address)?"),
    *_rows("speaks", o.language, "(?:native|first|mother) (?:language|tongue)", single=False),
    *_rows("studies", o.subject, "(?:major|degree)"),
)
"""What stands between "my" and "is"."""
