"""Ways of saying and of asking by an author who had read no rule: ``knowledge_update.py --third``. Nothing is tuned on them.

``{v}`` is the value that is told, ``{o}`` the one before it, ``{p}`` a person, as in knowledge_update_dev.py. They are meant
as somebody types them in a chat, with asides, short forms and a second clause.
"""

from __future__ import annotations

STATEMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "lives in": {
        "me": (
            "quick update, we're in {v} now, the boxes are still everywhere",
            "So we finally did it and moved over to {v}.",
            "I've been living in {v} for a bit now and I like it a lot.",
            "Greetings from {v}, my new home!",
            "I packed up everything and relocated to {v} for good.",
            "btw i live in {v} these days",
            "Just signed the lease, so {v} is where I live from today.",
            "We left {o} behind and settled in {v}.",
            "I'm no longer in {o}, I moved to {v} last weekend.",
            "My flat is in {v}, just so you know which timezone I'm in.",
        ),
        "other": (
            "{p} has just moved to {v}, I'll miss our coffees.",
            "Turns out {p} lives over in {v} now.",
            "{p} bought a flat in {v} and is living there already.",
            "Guess who settled down in {v}? {p}!",
            "I visited {p} in {v}, that's where they live now.",
            "{p} gave up the place in {o} and went to live in {v}.",
        ),
    },
    "works at": {
        "me": (
            "Today was my first day at {v}!",
            "I got the job! I'm with {v} from now on.",
            "So I handed in my notice at {o} and started at {v}.",
            "fyi I'm working for {v} now",
            "I work over at {v}, in case that helps.",
            "{v} made me an offer and I took it, so that's where I work now.",
            "My employer these days is {v}.",
            "After ages of interviews I've been hired by {v}.",
            "I jumped ship from {o} to {v}.",
            "I've switched companies, it's {v} now.",
        ),
        "other": (
            "{p} just started a job at {v}.",
            "{p} got hired at {v}, can you believe it?",
            "{p} is working over at {v} these days.",
            "{p} quit {o} and is with {v} now.",
            "I hear {p} has joined the team at {v}.",
            "The company {p} works for is {v}.",
        ),
    },
    "works as": {
        "me": (
            "I'm working as {v} at the moment.",
            "I make my living as {v} these days.",
            "I retrained and I'm {v} now.",
            "For context: I'm {v} by trade.",
            "Big change for me, I've become {v}!",
            "I gave up being {o} and now I'm {v}.",
            "My day job? I'm {v}.",
            "I just started out as {v}.",
            "They took me on as {v}.",
        ),
        "other": (
            "{p} works as {v} now.",
            "{p} is {v}, by the way.",
            "{p} retrained and became {v}.",
            "{p} has a new job as {v}.",
            "{p} earns a living as {v}.",
            "{p} stopped being {o} and is now {v}.",
        ),
    },
    "has manager": {
        "me": (
            "I've got a new boss, {v}.",
            "My boss is {v} now, after the reshuffle.",
            "There was a reorg and now I report to {v}.",
            "{v} has taken over as my manager.",
            "From this week on {v} is my line manager.",
            "{o} left, so {v} is my boss now.",
            "they put me on {v}'s team, so {v} is my boss",
            "The person who manages me is {v}.",
            "I'm now reporting to {v} instead of {o}.",
        ),
        "other": (
            "{p} reports to {v} these days.",
            "{p}'s new boss is {v}.",
            "{v} is now managing {p}.",
            "{p} got a new manager, {v}.",
            "{p} works under {v} now.",
        ),
    },
    "drives": {
        "me": (
            "I just picked up my new car, {v}!",
            "I traded in the old one and I'm driving {v} now.",
            "I finally bought myself {v}.",
            "We got rid of {o} and bought {v}.",
            "My car is {v}, so parking is always fun.",
            "I get around in {v} these days.",
            "I swapped {o} for {v}.",
            "New wheels! I drive {v} now.",
        ),
        "other": (
            "{p} bought {v} last week.",
            "{p} drives {v} now.",
            "{p} showed up in a new car, {v}.",
            "{p} sold {o} and got {v} instead.",
            "{p}'s car is {v} these days.",
            "{p} is driving around in {v} now.",
        ),
    },
    "has favourite food": {
        "me": (
            "My favourite food has to be {v}.",
            "Nothing beats {v}, it's my favourite dish.",
            "I think {v} is now my favorite food.",
            "if you ask me, {v} is the best food there is",
            "I've changed my mind, my favourite is {v} now, not {o}.",
            "My all-time favourite meal is {v}.",
            "These days I love {v} more than any other food.",
            "{v} has replaced {o} as my favourite food.",
        ),
        "other": (
            "{p}'s favourite food is {v}.",
            "{p} loves {v} more than any other dish.",
            "{p} says {v} is the best food ever.",
            "The food {p} likes best is {v} now.",
            "{p} has a new favourite dish: {v}.",
        ),
    },
    "is dating": {
        "me": (
            "I've started seeing someone, {v}.",
            "{v} and I are together now!",
            "I'm going out with {v} now.",
            "So {v} and I are officially a couple.",
            "I broke up with {o} and now I'm dating {v}.",
            "I have a new girlfriend, her name is {v}.",
            "My boyfriend {v} says hi.",
            "things ended with {o}, I'm with {v} now",
            "I'm in a relationship with {v} now.",
        ),
        "other": (
            "{p} is dating {v} now.",
            "{p} and {v} are together now.",
            "{p} has started going out with {v}.",
            "{p} left {o} and is seeing {v} now.",
            "{p}'s new partner is called {v}.",
            "{p} is in a relationship with {v}.",
        ),
    },
}

QUESTIONS: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "lives in": {
        "now": {
            "me": ("where do i live now?", "Which city am I living in?", "Do you remember where my home is?"),
            "other": ("Where's {p} living now?", "In which city does {p} live?", "Where is {p} based?"),
        },
        "before": {
            "me": ("Where was I living before {v}?", "Which city did I live in before I moved to {v}?"),
            "other": ("Where did {p} live before {v}?", "What city was {p} in before moving to {v}?"),
        },
        "when": {
            "me": ("When was it that I moved to {v}?", "Since when have I been living in {v}?"),
            "other": ("When did {p} move to {v}?", "Since when has {p} been in {v}?"),
        },
    },
    "works at": {
        "now": {
            "me": ("Which company am I at now?", "where do I work these days?", "Who's my employer?"),
            "other": ("Where's {p} working now?", "Which company is {p} with?", "Who does {p} work for these days?"),
        },
        "before": {
            "me": ("Which company was I at before {v}?", "Where was I working before I joined {v}?"),
            "other": ("Who did {p} work for before {v}?", "Where was {p} working before {v}?"),
        },
        "when": {
            "me": ("When did I start working at {v}?", "What day did I join {v}?"),
            "other": ("When did {p} start at {v}?", "Since when has {p} been working for {v}?"),
        },
    },
    "works as": {
        "now": {
            "me": ("What's my job?", "What do I do for work these days?", "What's my profession right now?"),
            "other": ("What's {p}'s job now?", "What does {p} do for work?", "What does {p} work as?"),
        },
        "before": {
            "me": ("What was my job before I became {v}?", "What did I do before I was {v}?"),
            "other": ("What was {p}'s job before becoming {v}?", "What did {p} work as before being {v}?"),
        },
        "when": {
            "me": ("When did I become {v}?", "Since when have I been {v}?"),
            "other": ("When did {p} become {v}?", "When did {p} start working as {v}?"),
        },
    },
    "has manager": {
        "now": {
            "me": ("Who's my boss now?", "Who do I report to these days?", "What's the name of my manager?"),
            "other": ("Who's {p}'s boss?", "Who does {p} report to now?", "Who manages {p}?"),
        },
        "before": {
            "me": ("Who was my boss before {v}?", "Who did I report to before {v}?"),
            "other": ("Who was {p}'s manager before {v}?", "Who did {p} report to before {v}?"),
        },
        "when": {
            "me": ("When did {v} become my boss?", "Since when have I been reporting to {v}?"),
            "other": ("When did {v} become {p}'s manager?", "When did {p} start reporting to {v}?"),
        },
    },
    "drives": {
        "now": {
            "me": ("What car am I driving now?", "Which car do I have?", "What's my current car?"),
            "other": ("What car does {p} have now?", "What is {p} driving these days?", "Which car does {p} drive?"),
        },
        "before": {
            "me": ("What car did I have before {v}?", "What was I driving before I got {v}?"),
            "other": ("What did {p} drive before {v}?", "Which car did {p} have before {v}?"),
        },
        "when": {
            "me": ("When did I get {v}?", "When did I buy {v}?"),
            "other": ("When did {p} get {v}?", "Since when has {p} been driving {v}?"),
        },
    },
    "has favourite food": {
        "now": {
            "me": ("What's my favourite food?", "Which dish do I like most?", "What food do I love the most now?"),
            "other": (
                "What's {p}'s favourite food?",
                "What does {p} like to eat best?",
                "What is {p}'s favorite dish?",
            ),
        },
        "before": {
            "me": ("What was my favourite food before {v}?", "Which dish did I like best before {v}?"),
            "other": ("What was {p}'s favourite food before {v}?", "What did {p} like best before {v}?"),
        },
        "when": {
            "me": ("When did {v} become my favourite food?", "Since when is {v} my favourite dish?"),
            "other": ("When did {v} become {p}'s favourite food?", "Since when has {v} been {p}'s favourite?"),
        },
    },
    "is dating": {
        "now": {
            "me": ("Who am I dating now?", "Who's my partner?", "Who am I going out with these days?"),
            "other": ("Who's {p} dating?", "Who is {p} with now?", "Who is {p} going out with?"),
        },
        "before": {
            "me": ("Who was I dating before {v}?", "Who was I with before {v}?"),
            "other": ("Who was {p} dating before {v}?", "Who did {p} go out with before {v}?"),
        },
        "when": {
            "me": ("When did I start dating {v}?", "Since when have {v} and I been together?"),
            "other": ("When did {p} start seeing {v}?", "Since when have {p} and {v} been together?"),
        },
    },
}

CHINESE_STATEMENTS: dict[str, tuple[str, ...]] = {
    "lives in": (
        "跟你说一下,我搬到{v}了。",
        "我现在在{v}住。",
        "我们全家都搬去{v}了。",
        "我在{v}租了房子,现在就住那儿。",
        "我已经离开{o},到{v}定居了。",
        "我家现在在{v}。",
        "不住{o}了,我住{v}。",
    ),
    "works at": (
        "我换工作了,现在在{v}。",
        "今天是我到{v}上班的第一天。",
        "我现在在{v}工作。",
        "我从{o}跳槽到{v}了。",
        "我入职{v}了!",
        "我拿到了{v}的offer,已经去上班了。",
    ),
    "works as": (
        "我现在的工作是{v}。",
        "我转行做{v}了。",
        "我是一名{v}。",
        "我不当{o}了,现在当{v}。",
        "我当上{v}了!",
        "我的职业是{v}。",
    ),
    "has manager": (
        "我的新领导是{v}。",
        "我们换老板了,现在是{v}。",
        "现在{v}是我的上司。",
        "我现在归{v}管。",
        "我现在向{v}汇报。",
    ),
    "drives": (
        "我新买了一辆{v}。",
        "我现在开{v}。",
        "我把{o}卖了,换了辆{v}。",
        "我的车是{v}。",
        "我换车了,现在开的是{v}。",
    ),
    "has favourite food": (
        "我最爱吃{v}。",
        "我最喜欢的食物是{v}。",
        "现在我觉得{v}最好吃。",
        "比起{o},我现在更爱吃{v}。",
        "我最喜欢吃的就是{v}了。",
    ),
    "is dating": (
        "我跟{v}在一起了!",
        "我在和{v}谈恋爱。",
        "我的女朋友叫{v}。",
        "我和{o}分手了,现在和{v}在一起。",
        "我开始和{v}交往了。",
    ),
}

CHINESE_QUESTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "lives in": {
        "now": ("我现在住哪儿?", "我家在哪个城市?", "你还记得我住在哪里吗?"),
        "before": ("搬到{v}之前我住哪里?", "我去{v}之前住在哪个城市?"),
        "when": ("我什么时候搬到{v}的?", "我是哪天开始住在{v}的?"),
    },
    "works at": {
        "now": ("我现在在哪家公司?", "我在哪儿上班?", "我现在的公司是哪家?"),
        "before": ("去{v}之前我在哪里上班?", "我在{v}之前是哪家公司的?"),
        "when": ("我什么时候去{v}上班的?", "我是哪天入职{v}的?"),
    },
    "works as": {
        "now": ("我是做什么工作的?", "我现在的职业是什么?", "我干什么的?"),
        "before": ("当{v}之前我是做什么的?", "我做{v}之前的职业是什么?"),
        "when": ("我什么时候开始当{v}的?", "我哪天成为{v}的?"),
    },
    "has manager": {
        "now": ("我的领导是谁?", "我现在的老板是谁?", "我向谁汇报?"),
        "before": ("{v}之前我的上司是谁?", "在{v}之前谁是我的领导?"),
        "when": ("{v}什么时候成为我的上司的?", "我什么时候开始向{v}汇报的?"),
    },
    "drives": {
        "now": ("我现在开什么车?", "我的车是什么牌子的?", "我开的是哪种车?"),
        "before": ("买{v}之前我开什么车?", "我在{v}之前的车是什么?"),
        "when": ("我什么时候买的{v}?", "我从哪天开始开{v}的?"),
    },
    "has favourite food": {
        "now": ("我最爱吃什么?", "我最喜欢的食物是什么?", "我最喜欢吃啥?"),
        "before": ("爱上{v}之前我最喜欢吃什么?", "{v}之前我最爱吃的是什么?"),
        "when": ("我什么时候开始最爱吃{v}的?", "{v}是什么时候成为我最喜欢的食物的?"),
    },
    "is dating": {
        "now": ("我现在和谁在一起?", "我的对象是谁?", "我在跟谁谈恋爱?"),
        "before": ("和{v}在一起之前我跟谁交往?", "{v}之前我的对象是谁?"),
        "when": ("我什么时候和{v}在一起的?", "我是哪天开始和{v}交往的?"),
    },
}
