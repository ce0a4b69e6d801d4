"""Word lists for making questions: verbs and their base forms, synonyms, pronouns, words for persons."""

from __future__ import annotations

AUXILIARIES = frozenset("is was are were has had have can could will would may might must should".split())
IRREGULAR = dict(
    pair.split("-")
    for pair in (
        "became-become began-begin brought-bring built-build came-come chose-choose cost-cost cut-cut did-do drew-draw "
        "drove-drive ate-eat fell-fall felt-feel fought-fight found-find flew-fly fled-flee forbade-forbid forgot-forget "
        "gave-give got-get went-go grew-grow hung-hang heard-hear held-hold hid-hide hit-hit kept-keep knew-know "
        "laid-lay led-lead left-leave lent-lend let-let lost-lose lay-lie made-make meant-mean met-meet paid-pay put-put "
        "ran-run rose-rise said-say sang-sing sank-sink sat-sit saw-see sold-sell sent-send set-set shook-shake shot-shoot "
        "showed-show slept-sleep spoke-speak spent-spend split-split spread-spread stood-stand stole-steal struck-strike "
        "swam-swim swore-swear took-take taught-teach told-tell thought-think threw-throw understood-understand "
        "won-win wore-wear wrote-write withdrew-withdraw underwent-undergo overcame-overcome bought-buy caught-catch "
        "died-die used-use helped-help".split()
    )
)
PRESENT = dict(
    pair.split("-")
    for pair in (
        "includes-include contains-contain consists-consist plays-play lies-lie provides-provide uses-use becomes-become "
        "makes-make takes-take refers-refer means-mean serves-serve gives-give goes-go comes-come begins-begin ends-end "
        "requires-require allows-allow causes-cause occurs-occur depends-depend produces-produce covers-cover runs-run "
        "represents-represent remains-remain follows-follow features-feature forms-form holds-hold marks-mark "
        "describes-describe tells-tell says-say sings-sing lives-live works-work wants-want leads-lead controls-control "
        "affects-affect increases-increase prevents-prevent protects-protect contributes-contribute belongs-belong "
        "appears-appear stars-star tries-try finds-find decides-decide discovers-discover kills-kill helps-help "
        "shows-show suggests-suggest indicates-indicate leaves-leave returns-return meets-meet falls-fall gets-get "
        "has-have owns-own operates-operate stands-stand flows-flow involves-involve differs-differ offers-offer".split()
    )
)
PRONOUNS = frozenset("he she it they this that these those".split())
PLACES = ("in what city", "in which country", "at what place")
PERSONS = (
    "president|king|queen|emperor|minister|author|director|actor|actress|singer|poet|painter|scientist|wife|husband|son"
    "|daughter|father|mother|brother|sister|man|woman|girl|boy|people|students|soldiers|mr|mrs|sir|captain|prince|princess"
)
SYNONYMS = {
    word: others.split("/")
    for word, others in (
        entry.split(":")
        for entry in (
            "located:situated/found founded:established/started/set_up established:founded/created began:started "
            "begin:start start:begin commence:begin built:constructed/erected build:construct constructed:built "
            "created:made/formed create:make/form made:produced/created make:produce/create called:named/known_as "
            "named:called known:called/famous famous:well-known/known large:big/sizeable largest:biggest/greatest "
            "big:large biggest:largest small:little first:earliest main:chief/primary/principal primary:main chief:main "
            "major:important/main important:significant/key significant:important various:different/several many:numerous "
            "several:many/a_number_of near:close_to/next_to died:passed_away die:pass_away won:gained/got win:gain/get "
            "received:got/was_given receive:get/obtain obtained:got obtain:get became:turned_into become:turn_into "
            "released:issued/published/put_out release:issue/put_out published:released/printed publish:release "
            "wrote:authored/penned write:author/pen written:authored/penned bought:purchased/acquired buy:purchase "
            "acquired:bought sold:marketed used:employed/utilized use:employ/utilize employed:used helped:aided/assisted "
            "help:aid/assist assisted:helped ended:finished/concluded end:finish/conclude finished:completed/ended "
            "completed:finished complete:finish opened:launched closed:shut destroyed:ruined/demolished "
            "killed:slain/murdered defeated:beat/overcame defeat:beat attacked:assaulted fought:battled fight:battle "
            "moved:relocated/shifted move:relocate lived:resided live:reside/dwell lives:resides home:house "
            "house:home job:occupation/work occupation:job company:firm/business/corporation firm:company city:town "
            "town:city country:nation/state nation:country movie:film film:movie/picture song:track/tune album:record "
            "book:work/volume novel:book author:writer writer:author child:kid children:kids leader:head/chief "
            "head:leader war:conflict/fighting battle:fight/clash conflict:war army:troops/forces troops:soldiers "
            "soldiers:troops increase:rise/grow increased:rose/grew decrease:fall/drop decreased:fell/dropped "
            "reduced:lowered/cut reduce:lower/cut rapidly:quickly/fast quickly:rapidly/fast slowly:gradually "
            "usually:typically/normally/generally often:frequently/commonly commonly:often/usually currently:now/today "
            "approximately:about/around/roughly about:around/approximately around:about nearly:almost almost:nearly "
            "show:display/demonstrate showed:displayed/revealed shown:displayed/seen said:stated/claimed say:state/claim "
            "stated:said claimed:said/argued argued:claimed believed:thought/held think:believe thought:believed "
            "wanted:wished/desired want:wish/desire tried:attempted/sought try:attempt allowed:permitted/let allow:permit "
            "forced:compelled/made required:needed require:need need:require needed:required chosen:selected/picked "
            "choose:select/pick chose:selected/picked selected:chosen appointed:named/made elected:voted_in "
            "produced:made/created produce:make produces:makes caused:led_to/brought_about cause:lead_to/bring_about "
            "causes:leads_to contain:include/have contains:has/includes include:contain/comprise includes:contains "
            "consists:is_made_up provide:give/supply/offer provides:gives/supplies provided:gave/supplied give:provide "
            "given:granted/provided gave:provided/granted part:portion/section type:kind/sort kind:type/sort "
            "area:region/zone region:area/zone border:boundary/edge purpose:aim/goal goal:aim method:way/technique "
            "way:method people:persons/individuals person:individual money:funds/cash beginning:start "
            "old:ancient/aged ancient:old new:novel/recent modern:contemporary entire:whole/complete whole:entire "
            "difficult:hard hard:difficult easy:simple quick:fast beautiful:lovely/pretty rich:wealthy poor:needy "
            "dangerous:risky/unsafe happy:glad sad:unhappy angry:furious/mad afraid:scared/frightened "
            "took:seized/grabbed get:obtain/receive found:discovered find:discover discovered:found discover:find "
            "developed:created/designed develop:create/design designed:planned/drawn_up invented:devised/created "
            "introduced:brought_in/launched performed:played/carried_out perform:play/carry_out held:hosted/staged "
            "played:portrayed/acted_as play:portray portrayed:played sung:performed sang:performed sing:perform "
            "joined:became_a_member_of join:become_a_member_of left:quit/departed leave:quit/depart returned:came_back "
            "return:come_back arrived:came arrive:come reached:got_to reach:get_to met:encountered meet:encounter "
            "ruled:governed/reigned rule:govern/reign controlled:governed/ran led:headed/guided lead:head/guide "
            "formed:created/set_up form:create/make_up replaced:succeeded/took_over_from replace:succeed/take_over_from "
            "connected:linked/joined connect:link/join divided:split/separated separated:divided surrounded:encircled "
            "considered:regarded_as/seen_as regarded:considered referred:alluded described:depicted/characterized "
            "describe:depict/characterize originally:initially/at_first initially:originally/at_first later:afterwards "
            "previously:formerly/before formerly:previously eventually:finally/in_the_end finally:eventually "
            "primarily:mainly/mostly mainly:primarily/mostly mostly:mainly/largely largely:mostly".split()
        )
    )
}
SYNONYMS = {word: [other.replace("_", " ") for other in others] for word, others in SYNONYMS.items()}
