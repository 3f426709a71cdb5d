"""Lists of tools for training dialogues: which tools may stand in one list, so that a request means one of them alone."""
import re

import aside
import foreign
from rows import every, likeness, spoken, words_of

APART = [{"turn_off_device", "toggle_device", "turn_on_light"}, {"add_to_cart", "buy_item", "order_food", "search_products", "filter_products"}, {"search_wikipedia", "get_news", "web_search", "define_word", "get_lyrics", "search_recipes", "get_nutrition"}, {"find_contact", "make_call", "add_contact"},
         {"post_message", "send_sms", "create_post", "submit_feedback"}, {"create_calendar_event", "book_appointment", "book_room", "set_reminder"}, {"get_stock_price", "buy_shares"}, {"track_order", "cancel_order", "return_item"}, {"play_song", "play_playlist", "buy_tickets"}, {"check_spelling", "get_synonyms", "define_word"}]
GROUPS = [{"create", "book", "order", "schedule", "start", "copy", "invite"}, {"list", "get", "search", "open", "track", "check", "count", "print", "export", "compare", "sort"}, {"delete", "cancel", "archive", "stop", "reset", "reject"}, {"update", "rename", "tag", "comment", "rate", "assign", "share", "send", "pay", "lock", "approve"}]
group_of = lambda act: next(i for i, group in enumerate(GROUPS) if act in group)


def vocabulary(tool):
    """Words that may mean this tool."""
    found = spoken(re.sub(r"([a-z])([A-Z])|_", r"\1 \2", tool.name) + " " + tool.description)
    return found | (spoken(" ".join(tool.words)) if isinstance(tool.topic, tuple) else words_of(tool.topic))


ALIKE, IN_FILE, RELATED = 0.18, 0.26, 0.11  # likeness of two written tools above which one request may mean both, in one file less often; and below which they have nothing to do with each other


def compatible(tool, others):
    """Whether no request for the tool can mean one of the others, and no request for these the tool."""
    for other in others:
        if other.name == tool.name or other.topic == tool.topic:
            return False
        a, b = tool.topic, other.topic
        if isinstance(a, tuple) and isinstance(b, tuple) and a[1] == b[1] and group_of(a[0]) == group_of(b[0]):
            return False
        if isinstance(a, int) and isinstance(b, int) and (likeness()[a, b] > (IN_FILE if every()[a].file == every()[b].file else ALIKE) or any({every()[a].name, every()[b].name} <= group for group in APART)):
            return False
        if isinstance(a, int) != isinstance(b, int) and vocabulary(tool) & vocabulary(other) and spoken(tool.description) & spoken(other.description):
            return False
    return True


def neighbour(rng, tool):
    """A tool that stands near in the list of written ones: of the same field."""
    rows, at = every(), tool.topic
    near = [row for row in rows[max(0, at - 6):at + 7] if row.index != at and row.file == rows[at].file and not row.back]
    return foreign.hand_written(rng, rng.choice(near))


def toolbox(rng, size):
    """Tools for a list; in some lists half of them are about the same thing or field."""
    chosen, kin = [], rng.random() < 0.4
    while len(chosen) < size:
        tool = foreign.tool(rng)
        if kin and chosen and rng.random() < 0.5:
            if isinstance(chosen[0].topic, int):
                tool = neighbour(rng, chosen[0])
            else:
                for _ in range(60):
                    tool = foreign.composed(rng)
                    if tool.topic[1] == chosen[0].topic[1]:
                        break
        if aside.folded(tool.description) not in aside.descriptions() and compatible(tool, chosen):
            chosen.append(tool)
    return chosen
