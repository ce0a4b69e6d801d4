"""English words that are no concepts, and verbs and adjectives that are common: lists, for want of a tagger."""

from __future__ import annotations

CLOSED = frozenset(
    "a an the this that these those some any no none each every either neither both all half much many few more"
    " most less least several such another other others enough i me my mine myself we us our ours ourselves you your"
    " yours yourself yourselves he him his himself she her hers herself it its itself they them their theirs"
    " themselves one ones someone somebody something anyone anybody anything everyone everybody everything nobody"
    " nothing who whom whose which what whatever whoever when whenever where wherever why how however and or but nor"
    " so yet for because since although though while whereas if unless until till than as whether of in on at by"
    " with without within from to into onto upon over under above below between among amongst about against along"
    " across around behind beside besides before after during through throughout toward towards near off out up down"
    " away back via per despite except like unlike plus minus am is are was were be been being do does did done"
    " doing have has had having will would shall should can could may might must ought not never ever always often"
    " sometimes seldom rarely usually again already also too very quite rather just only even still almost nearly"
    " perhaps maybe then there here now soon later ago today tomorrow yesterday tonight once twice well else instead"
    " together apart alone far yes yeah yep ok okay oh hi hey hello hmm wow please thanks thank etc hence thus"
    " therefore meanwhile otherwise anyway moreover furthermore lot lots bit kind sort thing things stuff gonna"
    " wanna gotta de la le der den van von und et el los las du des mr mrs ms dr st".split()
)
ALSO_NAMES = frozenset(("may", "will", "van", "von"))
"""Closed-class words that are names where they have a capital within a sentence."""
NUMBERS = frozenset(
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen".split()
)
DETERMINERS = frozenset(
    "a an the this that these those my your his her its our their some any no each every another which whose".split()
)
BEFORE_NOUNS = frozenset("of with at in for from about on after before during without by".split())
BEFORE_VERBS = frozenset(
    "i we you they he she it who to will would shall should can could may might must not never 'll don't doesn't"
    " didn't do does did always often usually just also".split()
)
BEFORE_ING = frozenset(
    "am is are was were be been being i'm keep kept start started stop stopped love loved like liked enjoy enjoyed hate"
    " not go went going by while".split()
)
ADVERBS = frozenset(
    "abroad actually ahead anymore anywhere backwards especially everywhere finally forward forwards indeed maybe"
    " nowhere overall overseas somehow somewhat somewhere upstairs downstairs outdoors indoors lately recently".split()
)
LY_NOUNS = frozenset(
    "ally anomaly assembly belly bully butterfly family fly italy jelly july lily melancholy monopoly reply supply".split()
)
ADJECTIVES = frozenset(
    "able active actual afraid alive allergic amazing ancient angry annual awesome awful bad bald beautiful best"
    " better big bitter black blue bored boring brave brief bright brilliant broad broken brown busy calm certain"
    " cheap clean clear clever close cold common complete cool correct crazy cruel current cute daily dark dead dear"
    " deep different difficult dirty double dry due dull dumb eager early eastern easy elder eldest empty entire"
    " equal exact excellent excited exciting expensive extra fair familiar famous fancy fast fat fellow fierce final"
    " fine firm first flat foreign formal former free fresh friendly full fun funny future gentle glad gold golden"
    " good gray great green grey happy hard healthy heavy high honest hot huge humble hungry ill important"
    " impossible inner interested interesting junior keen key kind large last late lazy light little local lonely"
    " long loose loud lovely low lucky mad main major male female mean medium mere mild minor modern moral narrow"
    " nasty national natural near neat necessary nervous new next nice noble noisy normal northern obvious odd"
    " official old older oldest open opposite orange ordinary original own pale past perfect personal physical pink"
    " plain pleasant polite poor popular possible present pretty previous prime private proper proud public pure"
    " purple quick quiet rare raw ready real recent red regular related rich right ripe rough round royal rude sad"
    " safe same second secret senior separate serious severe sharp short sick silent silly similar simple single"
    " slight slow small smart smooth social soft solid sore sorry southern special square stable sunny rainy windy"
    " cloudy steady steep stiff straight strange strict strong stupid sudden sure sweet tall terrible thick thin"
    " third tight tiny tired total tough true typical ugly unique upper upset useful usual vague valid various vast"
    " violent warm weak weird western wet white whole wide wild wise wooden worse worst worth wrong yellow young"
    " younger youngest".split()
)
ADJECTIVE_ENDINGS = ("ful", "less", "ous", "able", "ible", "ive", "ish", "ical")
VERBS = (
    "accept achieve act add admire admit adopt advise afford agree allow annoy answer appear apply appoint"
    " appreciate approach argue arrange arrive ask assume attack attempt attend avoid bake base beat become beg"
    " begin behave belong believe bet blame blow boil borrow bother break breathe bring build burn buy call camp"
    " care carry catch cause celebrate change charge chase chat check choose claim clean climb close collect come"
    " compare complain complete concern confirm connect consider consist contain continue control convince cook cope"
    " copy cost count cover create cross cry cut dance dare deal decide declare defend deliver demand deny depend"
    " describe deserve design destroy develop die differ dig disagree disappear discover discuss dislike divide drag"
    " draw dream dress drink drive drop earn eat edit employ enable encourage end enjoy ensure enter escape"
    " establish examine excite excuse exist expand expect experience explain explore express extend face fail fall"
    " fear feed feel fight figure fill find finish fit fix fly fold follow forbid force forget forgive form found"
    " freeze gain gather get give glance go grab grow guess hand handle hang happen hate hear help hide hit hold"
    " hope hurry hurt ignore imagine improve include increase indicate influence inform insist inspire intend"
    " introduce invent invest invite involve join joke jump keep kick kill kiss knit knock know lack last laugh"
    " launch lay lead lean learn leave lend let lie lift listen live locate look lose love maintain make manage mark"
    " marry matter mean measure meet melt mention mind miss mix move name need notice obtain occur offer open order"
    " owe own paint park pass pay perform persuade pick plan plant play point pour practise practice pray prefer"
    " prepare present press prevent proceed produce promise protect prove provide publish pull punish push put quit"
    " raise reach read realise realize receive recognise recognize recommend record reduce refer reflect refuse"
    " regret relate relax release remain remember remind remove repair repeat replace report represent require"
    " rescue rest result retire return reveal ride ring rise roll ruin run rush save say search see seek seem sell"
    " send serve set settle shake share shine shoot shop shout show shut sing sit sleep smell smile smoke sound"
    " speak spend spoil stand stare start stay steal stick stop strike struggle study succeed suffer suggest suit"
    " support suppose surprise surround survive suspect swear swim switch take talk taste teach tear tell tend thank"
    " think throw tie touch travel treat trust try turn understand use visit vote wait wake walk want warn wash"
    " waste watch wear welcome win wish wonder work worry write"
).split()
PASTS = frozenset(
    "ate beaten became become began begun bent bit bitten blew blown bought bound bred broke broken brought built"
    " burnt came caught chose chosen clung crept dealt dove drank drawn dreamt drew driven drove drunk dug eaten"
    " fallen fed fell felt fled flew flown forgave forgot forgotten fought found froze frozen gave given gone got"
    " gotten grew ground grown heard held hid hidden hung kept knelt knew known laid lain leapt learnt led left lent"
    " lost made meant met paid proven ran rang ridden risen rode rose rung said sang sank sat saw seen sent shaken"
    " shone shook shot shown slept slid sold sought spent spoke spoken spread sprang stole stolen stood struck stuck"
    " sung sunk swam swept swore sworn swum swung taken taught thought threw thrown told took tore torn understood"
    " went woke woken won wore worn wove woven written wrote".split()
)


NO_OBJECT = frozenset(
    "it that this these those them him her me you us myself yourself himself herself themselves there here how what"
    " when where why who which whatever everything something anything nothing all some any many much more most both"
    " each one ones to be being about your his its their our the my and or but not no so very too for with of in on"
    " at as if than being seeing hearing knowing having getting doing going making when how is are was were do did a"
    " an i we he she they through lots lot tons talking chatting working thinking".split()
)
NO_PLACE = frozenset(
    "fear peace hope pain denial luxury poverty harmony silence total constant my your a the an this that here"
    " there it town person general fact love between one two case order addition debt sin exile style".split()
)
NO_EMPLOYER = frozenset(
    "home night the a an my this that it me you us them him her all once times weekends least most first last".split()
)
JOBS = frozenset(
    "accountant actor actress actuary advisor analyst architect artist assistant astronaut attorney author baker"
    " banker barber barista bartender biologist bookkeeper builder butcher carpenter cashier chef chemist cleaner"
    " clerk coach comedian composer consultant contractor counselor counsellor curator dancer dentist designer"
    " detective developer director doctor economist editor electrician engineer farmer firefighter fisherman florist"
    " gardener geologist hairdresser historian illustrator inspector instructor interpreter journalist judge lawyer"
    " lecturer librarian lifeguard linguist manager mathematician mechanic midwife miner model musician nanny nurse"
    " optician painter paralegal paramedic pharmacist photographer physician physicist physiotherapist pianist pilot"
    " plumber poet policeman politician postman potter principal producer professor programmer psychiatrist"
    " psychologist publisher realtor receptionist recruiter reporter researcher retailer sailor salesman salesperson"
    " scientist sculptor secretary singer soldier statistician strategist supervisor surgeon surveyor tailor teacher"
    " technician therapist trainer translator tutor typist veterinarian vet waiter waitress welder writer zoologist".split()
)
VEHICLES = frozenset(
    "car van truck suv scooter motorbike motorcycle jeep audi bmw chevrolet citroen dacia fiat ford honda hyundai"
    " kia lexus mazda mercedes mini nissan opel peugeot porsche prius renault seat skoda subaru suzuki tesla toyota"
    " volkswagen volvo vw beetle golf polo clio corolla civic camry fiesta mustang rover jaguar bentley ferrari lada"
    " saab buick cadillac dodge chrysler alfa lancia mitsubishi polestar rivian byd pickup minivan hatchback sedan"
    " convertible coupe campervan moped vespa".split()
)
GAMES = frozenset(
    "football soccer tennis basketball baseball volleyball badminton squash golf hockey rugby cricket chess poker"
    " piano guitar violin cello drums bass saxophone trumpet flute clarinet harp ukulele banjo accordion".split()
)


def _forms(verb: str) -> set[str]:
    """The regular forms of a verb; a few that do not exist are among them."""
    base = verb[:-1] if verb.endswith("e") else verb
    forms = {verb, verb + "s", base + "ed", base + "ing"}
    if verb.endswith("y") and verb[-2] not in "aeiou":
        forms |= {verb[:-1] + "ies", verb[:-1] + "ied"}
    if verb.endswith(("s", "x", "ch", "sh", "o")):
        forms.add(verb + "es")
    if verb[-1] not in "aeiouwxy" and verb[-2] in "aeiou" and verb[-3:-2] not in "aeiou":
        forms |= {verb + verb[-1] + "ed", verb + verb[-1] + "ing"}
    return forms


VERB_FORMS = PASTS.union(*map(_forms, VERBS))
