"""Ways of saying and asking for reporting only, in the form of knowledge_update_dev.py, on which the rules were written."""

from __future__ import annotations

STATEMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "lives in": {
        "me": (
            "Big news: I have moved to {v}!",
            "I live over in {v} nowadays.",
            "We bought a flat in {v} and moved in.",
            "I've left {o} and live in {v}.",
            "I finally made the move to {v}.",
            "Just so you know, I'm based in {v} now.",
        ),
        "other": (
            "{p} now lives in {v}.",
            "I helped {p} move to {v}.",
            "{p} left {o} and lives in {v} now.",
            "{p} settled in {v}.",
        ),
    },
    "works at": {
        "me": (
            "I now work at {v}.",
            "I switched from {o} to {v}, a better job.",
            "I've been working for {v} lately.",
            "I signed a contract with {v} and started there.",
            "I changed jobs, I'm at {v} now.",
        ),
        "other": (
            "{p} now works for {v}.",
            "{p} is employed at {v}.",
            "{p} moved from {o} to {v}, another job.",
            "{p} has been working at {v} lately.",
        ),
    },
    "works as": {
        "me": (
            "I now work as {v}.",
            "Professionally, I'm {v} these days.",
            "I changed careers and became {v}.",
            "I used to be {o}, but now I'm {v}.",
            "My new profession: {v}.",
        ),
        "other": (
            "{p} now works as {v}.",
            "{p} changed careers and became {v}.",
            "{p} used to be {o} but is {v} now.",
            "{p} is working as {v} these days.",
        ),
    },
    "has manager": {
        "me": (
            "My boss is {v}.",
            "My new boss is {v}.",
            "As of today {v} is my manager.",
            "{v} took over from {o} as my manager.",
            "At work my manager is {v} now.",
        ),
        "other": (
            "{p}'s boss is {v}.",
            "{p}'s manager is now {v}.",
            "{v} took over as {p}'s manager.",
        ),
    },
    "drives": {
        "me": (
            "I own a car again: {v}.",
            "I traded in {o} for {v}.",
            "I'm now driving {v}.",
            "I got myself {v} and drive to work with it.",
            "My current car is {v}.",
        ),
        "other": (
            "{p} drives {v} nowadays.",
            "{p} bought {v}.",
            "{p}'s current car is {v}.",
        ),
    },
    "has favourite food": {
        "me": (
            "{v} is now my favourite food.",
            "My new favourite food is {v}.",
            "Forget {o}, my favourite food is {v} now.",
            "Of all dishes, {v} is my favourite.",
            "My favourite thing to eat is {v}.",
        ),
        "other": (
            "{p}'s new favourite food is {v}.",
            "{v} is {p}'s favourite food now.",
            "{p}'s favourite thing to eat is {v}.",
        ),
    },
    "is dating": {
        "me": (
            "I'm now dating {v}.",
            "{v} is my new girlfriend.",
            "I have a new boyfriend called {v}.",
            "{o} left me, and I'm with {v} now.",
            "{v} and I got together.",
        ),
        "other": (
            "{p} is now dating {v}.",
            "{p} is together with {v} now.",
            "{p} has been dating {v} lately.",
        ),
    },
}

QUESTIONS: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "lives in": {
        "now": {
            "me": (
                "Where is my home?",
                "Which city do I live in these days?",
                "Where have I settled?",
                "What's my current city?",
            ),
            "other": ("Where is {p} living these days?", "What city does {p} live in?", "Where has {p} settled?"),
        },
        "before": {
            "me": (
                "What city was I in before {v}?",
                "Where was I living before I went to {v}?",
                "Where did I live prior to {v}?",
                "Which place did I leave when I moved to {v}?",
            ),
            "other": ("Where was {p} before {v}?", "In which city did {p} live before coming to {v}?"),
        },
        "when": {
            "me": (
                "When exactly did I settle in {v}?",
                "What day did I move to {v}?",
                "Since what date have I lived in {v}?",
            ),
            "other": ("When did {p} settle in {v}?", "What day did {p} move to {v}?"),
        },
    },
    "works at": {
        "now": {
            "me": ("Where am I employed?", "What's the company I work for?", "Who am I working for?"),
            "other": ("Where is {p} employed?", "What company does {p} work for?", "Where's {p} working these days?"),
        },
        "before": {
            "me": (
                "Where was I employed before {v}?",
                "What was my job before I started at {v}, which company?",
                "Who did I work for before {v}?",
            ),
            "other": ("Where was {p} employed before {v}?", "Who did {p} work for before joining {v}?"),
        },
        "when": {
            "me": ("When did {v} hire me?", "What day did I start at {v}?", "Since when do I work for {v}?"),
            "other": ("When did {v} hire {p}?", "When did {p} begin working for {v}?"),
        },
    },
    "works as": {
        "now": {
            "me": ("What do I work as?", "What's my occupation now?", "What is my current profession?"),
            "other": ("What is {p}'s profession?", "What does {p} do for work?", "What's {p}'s line of work?"),
        },
        "before": {
            "me": (
                "What was my occupation before I became {v}?",
                "What was I before I was {v}?",
                "What did I work as before I was {v}?",
            ),
            "other": ("What was {p}'s profession before {p} became {v}?", "What did {p} work as before being {v}?"),
        },
        "when": {
            "me": ("When was it that I became {v}?", "How long have I worked as {v}?"),
            "other": ("What day did {p} become {v}?", "How long has {p} been {v}?"),
        },
    },
    "has manager": {
        "now": {
            "me": ("What is my manager called?", "Who manages me?", "Who's my current boss?"),
            "other": ("What is {p}'s manager called?", "Who manages {p}?", "Who's {p}'s current boss?"),
        },
        "before": {
            "me": ("Who was my boss before {v}?", "Who managed me before {v}?", "Whom did {v} replace as my manager?"),
            "other": ("Who was {p}'s boss before {v}?", "Who managed {p} before {v}?"),
        },
        "when": {
            "me": ("Since when has {v} been my manager?", "When did {v} take over as my manager?"),
            "other": ("Since when has {v} been {p}'s boss?", "When did {v} take over as {p}'s manager?"),
        },
    },
    "drives": {
        "now": {
            "me": ("Which car do I have?", "What am I driving these days?", "What's my current car?"),
            "other": ("Which car does {p} have?", "What is {p} driving these days?"),
        },
        "before": {
            "me": (
                "Which car did I have before {v}?",
                "What was I driving before I got {v}?",
                "What was my car before {v}?",
            ),
            "other": ("Which car did {p} have before {v}?", "What was {p} driving before {v}?"),
        },
        "when": {
            "me": ("What day did I get {v}?", "Since when have I been driving {v}?", "When did I buy {v}?"),
            "other": ("How long has {p} been driving {v}?", "When did {p} buy {v}?"),
        },
    },
    "has favourite food": {
        "now": {
            "me": ("What do I like to eat best?", "Which food is my favourite?", "What is my current favourite food?"),
            "other": ("What does {p} like to eat best?", "Which food is {p}'s favourite?"),
        },
        "before": {
            "me": ("Which food was my favourite before {v}?", "What had been my favourite food before it was {v}?"),
            "other": ("Which food was {p}'s favourite before {v}?", "What was {p}'s favorite food before {v}?"),
        },
        "when": {
            "me": ("When did my favourite food change to {v}?", "Since when has {v} been my favourite food?"),
            "other": ("When did {p}'s favourite food change to {v}?", "When did {v} become {p}'s favorite food?"),
        },
    },
    "is dating": {
        "now": {
            "me": (
                "Who is my girlfriend or boyfriend?",
                "Who am I together with?",
                "What's the name of the person I'm dating?",
            ),
            "other": ("Who is {p} seeing these days?", "Who is {p} together with?"),
        },
        "before": {
            "me": (
                "Who was I seeing before {v}?",
                "Who was I together with before {v}?",
                "Who did I go out with before {v}?",
            ),
            "other": ("Who was {p} seeing before {v}?", "Who did {p} go out with before {v}?"),
        },
        "when": {
            "me": (
                "When did {v} and I get together?",
                "How long have I been dating {v}?",
                "What day did I start seeing {v}?",
            ),
            "other": ("When did {p} and {v} get together?", "When did {p} begin dating {v}?"),
        },
    },
}

CHINESE_STATEMENTS: dict[str, tuple[str, ...]] = {
    "lives in": ("我最近搬去了{v}。", "我现在定居在{v}。", "我离开{o},搬到了{v}。", "我目前住在{v}。"),
    "works at": ("我换工作了,现在在{v}上班。", "我加入了{v}。", "我目前在{v}工作。", "我从{o}跳到了{v}工作。"),
    "works as": ("我转行当了{v}。", "我目前是一名{v}。", "我的新职业是{v}。"),
    "has manager": ("我现在的经理是{v}。", "我的新老板是{v}。", "我们换了经理,现在是{v}。"),
    "drives": ("我的新车是{v}。", "我现在开的车是{v}。", "我换了一辆{v}。"),
    "has favourite food": ("我最喜欢吃{v}。", "我现在最喜欢的菜是{v}。", "我最爱的食物是{v}。"),
    "is dating": ("我在和{v}交往。", "我的新女友是{v}。", "我和{v}开始谈恋爱了。"),
}

CHINESE_QUESTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "lives in": {
        "now": ("我现在住哪里?", "我目前定居在哪个城市?", "我家在哪?"),
        "before": ("我搬去{v}之前住哪里?", "住到{v}以前,我在哪个城市生活?"),
        "when": ("我何时搬到{v}?", "我是哪年哪月搬去{v}的?"),
    },
    "works at": {
        "now": ("我现在在什么公司上班?", "我目前就职于哪里?"),
        "before": ("去{v}上班之前我在哪里工作?", "我加入{v}以前在哪家公司?"),
        "when": ("我何时加入{v}?", "我是哪天去{v}上班的?"),
    },
    "works as": {
        "now": ("我现在的职业是什么?", "我是干什么工作的?"),
        "before": ("我成为{v}之前是什么职业?", "当{v}以前我做什么?"),
        "when": ("我何时当上{v}的?", "我是哪天成为{v}的?"),
    },
    "has manager": {
        "now": ("我现在的老板是谁?", "我经理叫什么?"),
        "before": ("{v}之前谁是我的经理?", "{v}以前我的上司是谁?"),
        "when": ("{v}何时成为我的经理?", "从什么时候起{v}是我的经理?"),
    },
    "drives": {
        "now": ("我现在开的车是什么?", "我的车是什么?"),
        "before": ("我开{v}之前开什么车?", "{v}以前我的车是什么?"),
        "when": ("我何时开始开{v}?", "我是什么时候换{v}的?"),
    },
    "has favourite food": {
        "now": ("我现在最爱吃的是什么?", "我最喜欢的菜是什么?"),
        "before": ("{v}之前我最爱吃什么?", "在{v}以前我最喜欢的食物是什么?"),
        "when": ("我何时开始最喜欢吃{v}的?", "从哪天起{v}是我最喜欢的食物?"),
    },
    "is dating": {
        "now": ("我现在的女朋友叫什么?", "我在和谁交往?"),
        "before": ("{v}之前我和谁交往?", "在{v}以前我的女朋友是谁?"),
        "when": ("我何时开始和{v}交往的?", "我和{v}是哪天在一起的?"),
    },
}
