"""Ways of saying and of asking on which the rules were written. What is reported uses others: knowledge_update_test.py.

``{v}`` is the value that is told, ``{o}`` the one before it, ``{p}`` a person. "me" is what the user says of himself. A text
with ``{o}`` only tells a change. Questions of "before" and "when" name the value that came after, or began.
"""

from __future__ import annotations

STATEMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "lives in": {
        "me": (
            "I live in {v}.",
            "I'm living in {v} now.",
            "I moved to {v}.",
            "I've moved from {o} to {v}.",
            "I just moved to {v}, the boxes are everywhere.",
            "We're settled in {v} now.",
            "{v} is my new home.",
            "I relocated to {v} for good.",
            "I've been living in {v} lately.",
            "Goodbye {o}, hello {v}: I have moved.",
            "My new address is in {v}.",
            "We packed everything up and moved to {v}.",
            "I no longer live in {o}, I'm in {v} now.",
        ),
        "other": (
            "{p} lives in {v}.",
            "{p} moved to {v}.",
            "{p} has moved from {o} to {v}.",
            "By the way, {p} is living in {v} now.",
            "{p} relocated to {v}.",
            "{p} has just moved to {v}.",
            "{p} doesn't live in {o} any more but in {v}.",
            "{p} resides in {v} these days.",
        ),
    },
    "works at": {
        "me": (
            "I work at {v}.",
            "I started working at {v}.",
            "I got a job at {v}.",
            "I left {o} and now I work for {v}.",
            "I'm working for {v} these days.",
            "I've joined {v}.",
            "I quit {o} and started at {v} today.",
            "I am employed at {v} now.",
            "{v} hired me!",
            "My new employer is {v}.",
            "Today was my first day at {v}.",
        ),
        "other": (
            "{p} works at {v}.",
            "{p} started working for {v}.",
            "{p} left {o} and joined {v}.",
            "{p} got a job at {v}.",
            "{p} has joined {v}.",
            "{p} was hired by {v}.",
            "{p} quit {o} and works for {v} now.",
            "{p} has a new job at {v}.",
        ),
    },
    "works as": {
        "me": (
            "I work as {v}.",
            "I'm {v} by profession.",
            "I'm working as {v} now.",
            "I became {v}.",
            "My job is {v}.",
            "I've retrained and I am now {v}.",
            "I earn my living as {v} now.",
            "I got a job as {v}.",
            "I'm no longer {o}, I am {v} now.",
            "I've started working as {v}.",
        ),
        "other": (
            "{p} works as {v}.",
            "{p} is {v} by profession.",
            "{p} became {v}.",
            "{p} is working as {v} now.",
            "{p} is now {v}.",
            "{p} has become {v}.",
            "{p} got a job as {v}.",
            "{p} earns a living as {v}.",
        ),
    },
    "has manager": {
        "me": (
            "My manager is {v}.",
            "My manager's name is {v}.",
            "My new manager is called {v}.",
            "My manager is now {v}, not {o} any more.",
            "{v} is my manager now.",
            "I report to {v} now.",
            "{v} became my manager.",
            "{v} has replaced {o} as my manager.",
            "My manager these days is {v}.",
            "I have a new manager, {v}.",
        ),
        "other": (
            "{p}'s manager is {v}.",
            "{p}'s new manager is called {v}.",
            "{v} is {p}'s manager now.",
            "{p} has a new manager, {v}.",
            "{v} became {p}'s manager.",
            "{p} now reports to {v}.",
        ),
    },
    "drives": {
        "me": (
            "I drive {v}.",
            "I'm driving {v} now.",
            "I sold my car, I drive {v} now.",
            "My car is {v}.",
            "I bought {v} and drive it every day.",
            "These days I drive {v}.",
            "I swapped {o} for {v}.",
            "My new car is {v}.",
            "I've switched to {v}, a nice car.",
        ),
        "other": (
            "{p} drives {v}.",
            "{p} is driving {v} now.",
            "{p}'s car is {v}.",
            "{p} now drives {v}.",
            "{p}'s new car is {v}.",
            "{p} swapped {o} for {v}.",
        ),
    },
    "has favourite food": {
        "me": (
            "My favourite food is {v}.",
            "My favorite food is {v} now.",
            "My favourite food used to be {o}, now it's {v}.",
            "{v} is my favourite food.",
            "These days my favourite food is {v}.",
            "{v} has become my favourite food.",
            "My favourite dish is {v}.",
            "I like {v} best of all foods now.",
            "My favourite food isn't {o} any more, it's {v}.",
        ),
        "other": (
            "{p}'s favourite food is {v}.",
            "{p}'s favorite food is {v} now.",
            "{v} has become {p}'s favourite food.",
            "These days {p}'s favourite food is {v}.",
            "{p}'s favourite dish is {v}.",
        ),
    },
    "is dating": {
        "me": (
            "I'm dating {v}.",
            "I'm dating {v} now.",
            "{o} and I broke up, I'm seeing {v} now.",
            "I'm in a relationship with {v}.",
            "I've started dating {v}.",
            "{v} and I are a couple now.",
            "My new girlfriend is {v}.",
            "I'm going out with {v} now.",
            "I broke up with {o} and I'm dating {v}.",
        ),
        "other": (
            "{p} is dating {v}.",
            "{p} is seeing {v} now.",
            "{p} is in a relationship with {v}.",
            "{p} has started dating {v}.",
            "{p} is going out with {v}.",
            "{p} and {v} are a couple now.",
        ),
    },
}

QUESTIONS: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "lives in": {
        "now": {
            "me": (
                "Where do I live now?",
                "Where do I live?",
                "Which city am I living in?",
                "What city is my home at the moment?",
                "Tell me where I'm living these days.",
                "In which town do I reside?",
            ),
            "other": (
                "Where does {p} live now?",
                "Which city does {p} live in?",
                "Do you know where {p} is living?",
                "Where's {p} based nowadays?",
                "Which place does {p} call home?",
            ),
        },
        "before": {
            "me": (
                "Where did I live before {v}?",
                "Where did I live before I moved to {v}?",
                "Which city was my home before {v}?",
                "Before {v}, where was I living?",
                "Where had I been living until I moved to {v}?",
                "From where did I move to {v}?",
            ),
            "other": (
                "Where did {p} live before {v}?",
                "Where was {p} living before moving to {v}?",
                "Before {v}, where did {p} live?",
                "Which city did {p} leave for {v}?",
                "Where was {p}'s home before {v}?",
            ),
        },
        "when": {
            "me": (
                "When did I move to {v}?",
                "Since when do I live in {v}?",
                "On what date did I relocate to {v}?",
                "How long have I lived in {v}?",
                "When did {v} become my home?",
            ),
            "other": (
                "When did {p} move to {v}?",
                "On which day did {p} relocate to {v}?",
                "Since when has {p} lived in {v}?",
            ),
        },
    },
    "works at": {
        "now": {
            "me": (
                "Where do I work?",
                "Which company do I work for now?",
                "Who is my employer?",
                "What company am I with these days?",
                "At which firm am I employed?",
            ),
            "other": (
                "Where does {p} work?",
                "Who does {p} work for now?",
                "Who employs {p}?",
                "Which firm is {p} working for?",
                "What's the name of {p}'s employer?",
            ),
        },
        "before": {
            "me": (
                "Where did I work before {v}?",
                "Which company did I work for before {v}?",
                "Who was my employer before {v}?",
                "Where was I working prior to {v}?",
                "Which firm did I leave for {v}?",
            ),
            "other": (
                "Where did {p} work before {v}?",
                "Who employed {p} before {v}?",
                "Prior to {v}, which company did {p} work for?",
            ),
        },
        "when": {
            "me": (
                "When did I start working at {v}?",
                "When did I join {v}?",
                "On which date did I begin at {v}?",
                "How long have I been with {v}?",
                "When was I hired by {v}?",
            ),
            "other": (
                "When did {p} start working at {v}?",
                "When was {p} hired by {v}?",
                "Since when has {p} been working at {v}?",
            ),
        },
    },
    "works as": {
        "now": {
            "me": (
                "What is my job?",
                "What do I do for a living?",
                "What's my profession these days?",
                "What kind of work do I do?",
                "How do I earn my living?",
            ),
            "other": (
                "What is {p}'s job?",
                "What does {p} do for a living?",
                "What is {p}'s occupation?",
                "What does {p} work as?",
                "How does {p} earn a living?",
            ),
        },
        "before": {
            "me": (
                "What was my job before I became {v}?",
                "What did I work as before {v}?",
                "What was my profession before I was {v}?",
                "What did I do for a living before becoming {v}?",
            ),
            "other": (
                "What was {p}'s job before becoming {v}?",
                "What was {p}'s occupation before {v}?",
                "What had {p} been working as before becoming {v}?",
            ),
        },
        "when": {
            "me": (
                "When did I become {v}?",
                "When did I start working as {v}?",
                "Since when have I been {v}?",
                "On what day did I become {v}?",
            ),
            "other": ("When did {p} become {v}?", "Since when has {p} been {v}?", "When did {p} start to work as {v}?"),
        },
    },
    "has manager": {
        "now": {
            "me": (
                "Who is my manager?",
                "Who's my manager now?",
                "Who do I report to?",
                "What's my manager's name?",
                "Who is my boss these days?",
            ),
            "other": (
                "Who is {p}'s manager?",
                "Who is the manager of {p}?",
                "Who does {p} report to?",
                "What is the name of {p}'s manager?",
                "Who is {p}'s boss?",
            ),
        },
        "before": {
            "me": (
                "Who was my manager before {v}?",
                "Before {v}, who was my manager?",
                "Who did I report to before {v}?",
                "Who was my boss until {v} took over?",
            ),
            "other": (
                "Who was {p}'s manager before {v}?",
                "Before {v}, who was {p}'s manager?",
                "Who did {p} report to before {v}?",
            ),
        },
        "when": {
            "me": (
                "When did {v} become my manager?",
                "Since when is {v} my manager?",
                "On which day did {v} become my boss?",
                "How long has {v} been my manager?",
                "When did I start reporting to {v}?",
            ),
            "other": (
                "When did {v} become {p}'s manager?",
                "How long has {v} been {p}'s manager?",
                "When did {p} start reporting to {v}?",
            ),
        },
    },
    "drives": {
        "now": {
            "me": (
                "What car do I drive?",
                "What do I drive now?",
                "Which vehicle am I driving at present?",
                "What's my car?",
                "What kind of car have I got?",
            ),
            "other": (
                "What car does {p} drive?",
                "What is {p}'s car?",
                "Which vehicle is {p} driving?",
                "What kind of car has {p} got?",
            ),
        },
        "before": {
            "me": (
                "What did I drive before {v}?",
                "What car did I have before {v}?",
                "Which car was I driving before {v}?",
                "Before {v}, what was my car?",
                "What did I swap for {v}?",
            ),
            "other": (
                "What did {p} drive before {v}?",
                "Which car was {p} driving before {v}?",
                "Before {v}, what was {p}'s car?",
            ),
        },
        "when": {
            "me": (
                "When did I start driving {v}?",
                "Since when do I drive {v}?",
                "On what date did I get {v}?",
                "How long have I been driving {v}?",
                "When did {v} become my car?",
            ),
            "other": (
                "When did {p} start driving {v}?",
                "Since when has {p} been driving {v}?",
                "When did {p} get {v}?",
            ),
        },
    },
    "has favourite food": {
        "now": {
            "me": (
                "What is my favourite food?",
                "What's my favorite food now?",
                "Which dish do I like best?",
                "What food is my favourite these days?",
                "What do I like eating most?",
            ),
            "other": (
                "What is {p}'s favourite food?",
                "Which dish does {p} like best?",
                "What food does {p} like most?",
                "What's {p}'s favorite dish?",
            ),
        },
        "before": {
            "me": (
                "What was my favourite food before {v}?",
                "Before {v}, what was my favourite food?",
                "What did I like eating most before {v}?",
            ),
            "other": (
                "What was {p}'s favourite food before {v}?",
                "Before {v}, what was {p}'s favourite food?",
                "Which dish did {p} like best before {v}?",
            ),
        },
        "when": {
            "me": (
                "When did {v} become my favourite food?",
                "Since when is {v} my favourite food?",
                "How long has {v} been my favourite food?",
                "On which day did {v} become my favourite dish?",
            ),
            "other": ("When did {v} become {p}'s favourite food?", "Since when has {v} been {p}'s favourite food?"),
        },
    },
    "is dating": {
        "now": {
            "me": (
                "Who am I dating?",
                "Who am I seeing now?",
                "Who's my partner at the moment?",
                "Who am I in a relationship with?",
                "Who am I going out with?",
            ),
            "other": (
                "Who is {p} dating?",
                "Who is {p} in a relationship with?",
                "Who is {p}'s partner?",
                "Who is {p} going out with now?",
            ),
        },
        "before": {
            "me": (
                "Who was I dating before {v}?",
                "Who did I date before {v}?",
                "Before {v}, who was I seeing?",
                "Who was my partner before {v}?",
                "Who was I with before I met {v}?",
            ),
            "other": (
                "Who was {p} dating before {v}?",
                "Before {v}, who was {p} dating?",
                "Who was {p}'s partner before {v}?",
            ),
        },
        "when": {
            "me": (
                "When did I start dating {v}?",
                "Since when am I seeing {v}?",
                "How long have {v} and I been a couple?",
                "On which day did I start going out with {v}?",
            ),
            "other": (
                "When did {p} start dating {v}?",
                "Since when has {p} been dating {v}?",
                "How long have {p} and {v} been together?",
            ),
        },
    },
}

CHINESE_STATEMENTS: dict[str, tuple[str, ...]] = {
    "lives in": (
        "我住在{v}。",
        "我现在住在{v}。",
        "我搬到{v}了。",
        "我从{o}搬到了{v}。",
        "我搬家到了{v}。",
        "我已经不住{o}了,现在住{v}。",
        "我家在{v}。",
        "我在{v}住。",
    ),
    "works at": (
        "我在{v}工作。",
        "我现在在{v}上班。",
        "我离开了{o},现在在{v}工作。",
        "我入职了{v}。",
        "我跳槽到{v}了。",
        "我从{o}辞职,加入了{v}。",
        "我现在是{v}的员工。",
    ),
    "works as": (
        "我的职业是{v}。",
        "我现在是一名{v}。",
        "我当上了{v}。",
        "我现在的工作是{v}。",
        "我成为{v}了。",
        "我做了{v}。",
        "我不做{o}了,现在是{v}。",
    ),
    "has manager": (
        "我的经理是{v}。",
        "我的经理叫{v}。",
        "我的新经理是{v}。",
        "我的经理换成了{v}。",
        "{v}是我的新经理。",
        "{v}当了我的经理。",
    ),
    "drives": ("我开的是{v}。", "我现在开{v}。", "我换了车,现在开的是{v}。", "我买了一辆{v}。", "我的车是{v}。"),
    "has favourite food": (
        "我最喜欢的食物是{v}。",
        "我现在最喜欢吃{v}。",
        "我最爱吃{v}。",
        "现在我最喜欢的食物变成了{v}。",
        "我现在最爱的食物是{v}。",
    ),
    "is dating": (
        "我的女朋友是{v}。",
        "我现在和{v}谈恋爱。",
        "我交了女朋友,叫{v}。",
        "我和{v}在一起了。",
        "我现在的女友是{v}。",
    ),
}

CHINESE_QUESTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "lives in": {
        "now": ("我现在住在哪里?", "我住在哪个城市?", "我目前住哪儿?", "我家现在在哪个城市?"),
        "before": (
            "我住在{v}之前住在哪里?",
            "搬到{v}以前我住在哪里?",
            "搬来{v}之前,我家在哪里?",
            "我在{v}之前住在什么地方?",
        ),
        "when": ("我什么时候搬到{v}的?", "我是哪天搬到{v}的?", "我是几月几号搬去{v}的?", "我住在{v}多久了?"),
    },
    "works at": {
        "now": ("我在哪里工作?", "我现在在哪家公司上班?", "我目前在哪家公司?", "我的雇主是谁?"),
        "before": ("我去{v}之前在哪里工作?", "加入{v}之前,我在哪家公司?", "在{v}之前我在哪儿上班?"),
        "when": ("我什么时候开始在{v}工作的?", "我是什么时候加入{v}的?", "我在{v}工作多久了?"),
    },
    "works as": {
        "now": ("我的职业是什么?", "我现在做什么工作?", "我目前从事什么职业?", "我是做什么的?"),
        "before": ("我当{v}之前的职业是什么?", "成为{v}以前,我是做什么工作的?", "做{v}之前我的工作是什么?"),
        "when": ("我什么时候成为{v}的?", "我从什么时候起做{v}的?", "我当{v}多久了?"),
    },
    "has manager": {
        "now": ("我的经理是谁?", "我现在的经理是谁?", "谁是我的经理?", "我的上司现在是谁?"),
        "before": ("{v}之前我的经理是谁?", "在{v}之前,谁是我的经理?", "{v}以前,我的老板是谁?"),
        "when": ("{v}什么时候成为我的经理的?", "{v}是哪天当我的经理的?", "{v}做我的经理多久了?"),
    },
    "drives": {
        "now": ("我现在开什么车?", "我开的是什么车?", "我目前的车是什么牌子?", "我现在驾驶哪款车?"),
        "before": ("{v}之前我开什么车?", "开{v}之前,我的车是什么?", "换{v}之前我开哪款车?"),
        "when": ("我什么时候开始开{v}的?", "我是哪天换成{v}的?", "我开{v}多久了?"),
    },
    "has favourite food": {
        "now": ("我最喜欢的食物是什么?", "我现在最喜欢吃什么?", "我最爱吃什么?", "什么是我最喜欢的食物?"),
        "before": ("{v}之前我最喜欢的食物是什么?", "在{v}之前,我最爱吃什么?", "{v}以前我最喜欢吃什么?"),
        "when": ("{v}什么时候成为我最喜欢的食物的?", "我从什么时候起最爱吃{v}?", "{v}成为我最喜欢的食物多久了?"),
    },
    "is dating": {
        "now": ("我的女朋友是谁?", "我现在和谁谈恋爱?", "我现在的女友是谁?", "我目前和谁在一起?"),
        "before": ("{v}之前我的女朋友是谁?", "在{v}之前,我和谁在一起?", "{v}以前我的女友是谁?"),
        "when": ("我什么时候开始和{v}谈恋爱的?", "我和{v}在一起多久了?", "我是哪天和{v}在一起的?"),
    },
}
