"""What is said in the simulated chats of junk.py. `DEV` is what rules may be written on; `TEST` is for reporting alone.

``{v}`` is the value that is told, ``{p}`` a friend; ``{town}``, ``{firm}``, ``{thing}``, ``{stranger}`` and ``{n}`` are
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Forms = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Sayings:
    """Everything that is said.

    Attributes:
        told: by relation, what the user truly says of himself; ``of_friends`` of others.
        talk: what the user says that tells nothing of the relations.
        boilerplate: system prompts, heartbeats and scheduled messages that reach the memory as the user's.
        replies: the assistant's: it repeats, guesses, invents people, writes in the first person.
        tools: tool output.
        pastes: other people's words, fiction and jokes in the user's messages.
        sent_back: how the user pastes a reply: {all} of it, or {one} sentence.
    """

    told: Forms
    of_friends: Forms
    talk: tuple[str, ...]
    boilerplate: tuple[str, ...]
    replies: tuple[str, ...]
    tools: tuple[str, ...]
    pastes: tuple[str, ...]
    sent_back: tuple[str, ...]


DEV = Sayings(
    told={
        "lives in": (
            "I live in {v}.",
            "I moved to {v}.",
            "I'm living in {v} now, the flat is tiny.",
            "We moved to {v} last week.",
        ),
        "works at": ("I work at {v}.", "I started working at {v}.", "I got a job at {v}, wish me luck."),
        "works as": ("I work as {v}.", "I'm working as {v} now.", "I became {v}."),
        "likes": ("I like {v}.", "I really love {v}.", "I enjoy {v} a lot."),
    },
    of_friends={
        "lives in": ("{p} lives in {v}.", "My friend {p} lives in {v}.", "{p} moved to {v}."),
        "works at": ("{p} works at {v}.", "{p} started working for {v}."),
    },
    talk=(
        "The weather is awful today.",
        "Can you help me with a crossword?",
        "I slept badly and the coffee machine is broken.",
        "Thanks, that was helpful!",
        "Do you know whether {town} has an airport?",
        "What would you cook with three eggs and some rice?",
        "I am tired and a bit annoyed.",
        "If I lived in {town}, I would take the tram every day.",
        "Would you say that {stranger} is a nice name?",
        "I wish I worked at {firm}.",
        "I was reading about {town} all evening.",
        "My neighbour says he works at {firm}.",
        "Imagine I live in {town} and plan my Sunday.",
        "I almost moved to {town} once, but never did.",
        "Someone on the train told me: I live in {town} and hate it.",
    ),
    boilerplate=(
        "You are a helpful assistant called Nova. You live in the cloud and work for {firm}. Answer briefly.",
        "You are {stranger}, an expert travel planner. I am your client and I live in {town}. Be polite.",
        "System: the user lives in {town} and works at {firm}. Use this profile.",
        "HEARTBEAT: read HEARTBEAT.md. I work at node {n}. If nothing needs attention, reply HEARTBEAT_OK.",
        "[cron 0{n}:00] Daily check. I live in rack {n} and I like uptime. Report anything unusual.",
        "Check {n}: I am the watcher of the backup job, I live in Frankfurt and I work at Datacorp. Disk at {n}%.",
        "This is an automated message from {firm}. I work as a notifier. Do not reply.",
        "Reminder {n}: stand-up at nine. I work as a calendar bot and I like punctual people.",
        "Session started. Model: nova-{n}. Memory: on. The user's name is {stranger} and {stranger} lives in {town}.",
    ),
    replies=(
        "Got it! So you live in {town} now.",
        "I see. As you told me, you work at {firm} and your friend {stranger} lives in {town}.",
        "Noted. I live in the cloud, and I like helping you.",
        "Of course. {stranger} lives in {town}, and {stranger} works at {firm}.",
        "You mentioned that you like {thing}. I love {thing} too.",
        "Here is a bio you could use: I live in {town} and bake bread for a living. I work at {firm} as a consultant.",
        "Sure. A sample answer: I moved to {town} because I like {thing}. I work as a diver.",
        "Here is a story. {stranger} lives in {town}. {stranger} works at {firm} and likes {thing}.",
    ),
    tools=(
        'search_people -> {{"name": "{stranger}", "lives in": "{town}"}}\n{stranger} lives in {town}. I live in {town}.',
        "web page: My name is {stranger}. I live in {town} and I work at {firm}.",
        "calendar: lunch with {stranger}, who works at {firm}",
    ),
    pastes=(
        "Please correct this email:\n\nDear all,\nI moved to {town} and I work at {firm} now.\nBest, {stranger}",
        '"I live in {town} and I work at {firm}," says {stranger} in the book.',
        "> {stranger} wrote: I live in {town}.\n\nWhat shall I answer?",
        "Summarise the following article:\n{stranger} lives in {town}. {stranger} works at {firm}.\nThe end.",
        "Write a story about {stranger}. {stranger} lives in {town} and works at {firm}.",
        "Translate into German: I live in {town} and work as a sailor.",
        "```\nuser: I live in {town}\n```\nWhy does this log line appear?",
        "In my novel {stranger} lives in {town}.",
        "I live in {town}! Just kidding.",
        "{stranger} said: I work at {firm} and I like {thing}.",
    ),
    sent_back=("{all}", "{one}", "ok. {one}", "Use this: {one}"),
)

TEST = Sayings(
    told={
        "lives in": (
            "I've been living in {v} since last week.",
            "My home is in {v} now.",
            "I finally moved to {v}, boxes everywhere.",
            "I'm based in {v} these days.",
        ),
        "works at": ("I'm now working for {v}.", "I have a job at {v}.", "I joined {v} today, everyone is nice."),
        "works as": ("I earn my living as {v}.", "I'm {v} by trade.", "I work as {v} these days."),
        "likes": ("I'm fond of {v}.", "I love {v}!", "I'm really into {v}."),
    },
    of_friends={
        "lives in": (
            "{p} now lives in {v}.",
            "You know {p}, my friend? {p} has moved to {v}.",
            "{p} is living in {v}.",
        ),
        "works at": ("{p} got a job at {v}.", "{p} is working for {v} now."),
    },
    talk=(
        "It has been raining since dawn.",
        "How do I get wine out of a carpet?",
        "My back hurts after all that gardening.",
        "You really saved my day.",
        "Is {town} far from the sea?",
        "I could imagine living in {town} some day.",
        "Maybe I will apply at {firm}.",
        "They asked me to join {firm}, and I said no.",
        "I had a dream in which I lived in {town}.",
        "Everybody thinks I work for {firm}.",
        "My uncle always says that {town} is where people live well.",
        "I'd love to live in {town} if it were cheaper.",
        "A woman called {stranger} rang at the wrong door.",
        "I never lived in {town}.",
        "The crossword asks for a company like {firm}, five letters.",
    ),
    boilerplate=(
        "Act as a senior recruiter named {stranger}. I work at {firm}. Interview me.",
        "Your role: concierge of {firm}. Context about me: I live in {town}.",
        "<system>The user works at {firm}. Never reveal this.</system>",
        "*** keepalive {n} *** I am the sync agent and I live in {town}.",
        "NOTICE ({n}): scheduled maintenance. I work for {firm} IT and I love order.",
        "Backup report {n}: everything is in place, I work at the storage cluster, next run in {n} hours.",
        "You will be {stranger} from now on. {stranger} lives in {town} and works at {firm}.",
        "Tick {n}. The queue worker says hello again: I live in {town} and there are {n} jobs left to do.",
        "Auto-reply: I am out of office. I work at {firm} and will be back on day {n}.",
    ),
    replies=(
        "Great, {town} it is. People who live in {town} often like {thing}.",
        "Thanks for sharing! Your colleague {stranger} works at {firm}, right?",
        "As an assistant I work at all hours, and I enjoy {thing}.",
        "You asked about {stranger}. {stranger} is living in {town} and is working for {firm} now.",
        "A profile text for you. I'm based in {town}. I love {thing} and I'm a gardener by trade.",
        "Example of a cover letter. I have a job at {firm} and I live in {town} with two cats. I'm fond of {thing}.",
        "Once upon a time {stranger} moved to {town}. There {stranger} got a job at {firm}.",
        "Let me recap: you love {thing}, you live in {town}, you work for {firm}.",
    ),
    tools=(
        "contacts.lookup: {stranger} lives in {town}; {stranger} works at {firm}.",
        "retrieved memory: I moved to {town}. I work at {firm}. I love {thing}.",
        "page 3 of 7. I'm {stranger}, I live in {town}, I'm a baker by trade.",
    ),
    pastes=(
        "Can you polish my cover letter?\n\nDear Sir,\n\nI live in {town} and I work at {firm}.\n\nYours, {stranger}",
        "From a forum: “I moved to {town} and I love {thing}.” Is that common?",
        "My flatmate texted me: I got a job at {firm}, drinks on me!",
        "{stranger}: I live in {town}\nme: cool\n{stranger}: I work at {firm}",
        "Let's play a game. You are the detective and I am {stranger}. I live in {town}.",
        "Make up a character: {stranger} lives in {town}, {stranger} works at {firm}.",
        "Continue this: The old man sighed. I live in {town}, he thought.",
        "How do you say 'I live in {town}' in Dutch?",
        "I work at {firm}. Haha, just joking.",
        "The tenant, {stranger}, writes that I live in {town} is what the form says.",
    ),
    sent_back=("{all}", "{one}", "Thanks. {one}", "Is this fine? {one}", "{one} Shorter please."),
)
