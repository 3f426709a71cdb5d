"""Foreign tools for training, in OpenAI form: those of written/tools*.txt, and thousands composed of what can be done (ACTS) and what to (OBJECTS). A tool is described in the words of one synonym and asked for in those of
another, so that the model learns which words go together, and that the words of the list decide, not a tool that it knows.
"""
import re

from aside import descriptions, folded
from dialogues import word
from rows import cells, written
from values import choice, duration, json_type, pattern

# a thing, what else it is called | German noun, gender
OBJECTS = """
invoice, bill | Rechnung f ; contract, agreement | Vertrag m ; report, write-up | Bericht m ; task, job | Aufgabe f ; project | Projekt n ; customer, client | Kunde m ; order, purchase | Bestellung f ; shipment, delivery, parcel | Lieferung f ; ticket, support request | Ticket n ; meeting, get-together | Besprechung f ; appointment, date | Termin m ; event | Veranstaltung f
booking, reservation | Buchung f ; flight | Flug m ; trip, journey, tour | Reise f ; hotel room, room | Hotelzimmer n ; rental car, car | Mietwagen m ; document, paper | Dokument n ; file | Datei f ; folder, directory | Ordner m ; photo, picture, image | Foto n ; album, photo album | Album n ; video, clip | Video n ; recording | Aufnahme f ; playlist, song list | Playlist f ; song, track, tune | Lied n
podcast, show | Podcast m ; message, text | Nachricht f ; email, mail | E-Mail f ; contact, person | Kontakt m ; group, team | Gruppe f ; channel | Kanal m ; post, entry | Beitrag m ; comment, remark | Kommentar m ; review, rating | Bewertung f ; question | Frage f ; survey, poll | Umfrage f ; quiz, test | Quiz n ; course, class | Kurs m ; lesson | Lektion f ; exam | Prüfung f ; student, pupil | Schüler m ; teacher | Lehrer m ; grade, mark | Note f
book | Buch n ; article, story | Artikel m ; bookmark | Lesezeichen n ; note, memo | Notiz f ; reminder | Erinnerung f ; alarm | Wecker m ; timer, countdown | Timer m ; habit, routine | Gewohnheit f ; goal, target | Ziel n ; workout, exercise, training | Training n ; meal, dish | Mahlzeit f ; recipe | Rezept n ; ingredient | Zutat f ; shopping list, grocery list | Einkaufsliste f ; product, item, article | Produkt n ; coupon, voucher, discount | Gutschein m
gift card | Geschenkkarte f ; subscription, membership, plan | Abo n ; payment | Zahlung f ; refund, money back | Rückerstattung f ; budget | Budget n ; expense, cost | Ausgabe f ; account | Konto n ; savings goal | Sparziel n ; loan, credit | Kredit m ; insurance policy, insurance | Versicherung f ; claim | Schadensmeldung f ; tax form | Steuerformular n ; password | Passwort n ; user, member | Benutzer m ; role | Rolle f ; device | Gerät n
lamp, light | Lampe f ; heater, heating | Heizung f ; fan | Ventilator m ; window, shutter | Fenster n ; door | Tür f ; camera | Kamera f ; scene, mood | Szene f ; robot | Roboter m ; printer | Drucker m ; server, machine | Server m ; database | Datenbank f ; backup | Sicherung f ; branch | Zweig m ; pull request, change request | Änderungsantrag m ; issue, bug, problem | Fehler m ; build | Build m ; release, version | Version f ; log, record | Protokoll n
website, web page, site | Webseite f ; domain | Domain f ; form | Formular n ; chart, diagram, graph | Diagramm n ; table, spreadsheet | Tabelle f ; slide, presentation | Präsentation f ; drawing, sketch | Zeichnung f ; map | Karte f ; route, way | Route f ; address, place | Adresse f ; parking space, parking spot | Parkplatz m ; bus ticket, ticket | Fahrkarte f ; bike, bicycle | Fahrrad n ; scooter | Roller m ; taxi, cab | Taxi n
patient | Patient m ; prescription, medicine | Rezept n ; doctor's visit, check-up | Arzttermin m ; blood test | Bluttest m ; diary entry, journal entry | Tagebucheintrag m ; pet, animal | Haustier n ; plant, flower | Pflanze f ; garden bed | Beet n ; recipe collection, cookbook | Kochbuch n ; game | Spiel n ; player | Spieler m ; character, hero | Figur f ; level, stage | Level n ; tournament, competition | Turnier n ; match | Spiel n
job offer, vacancy, position | Stelle f ; application | Bewerbung f ; candidate, applicant | Bewerber m ; employee, worker | Mitarbeiter m ; shift | Schicht f ; holiday, vacation, leave | Urlaub m ; salary, pay | Gehalt n ; room, meeting room | Raum m ; desk, workplace | Arbeitsplatz m ; visitor, guest | Besucher m ; badge | Ausweis m ; key | Schlüssel m ; warehouse, store | Lager n ; machine, engine | Maschine f ; sensor | Sensor m ; sample, probe | Probe f
translation | Übersetzung f ; vocabulary list, word list | Vokabelliste f ; flashcard, learning card | Lernkarte f ; dictionary entry | Wörterbucheintrag m ; poem | Gedicht n ; caption, subtitle | Untertitel m ; invitation | Einladung f ; wish list | Wunschliste f ; donation, gift | Spende f ; petition | Petition f ; vote | Stimme f ; newsletter | Newsletter m ; campaign, promotion | Kampagne f ; banner, ad, advertisement | Anzeige f ; lead, prospect | Interessent m
"""

# argument names, kind of value, how it is said in English and German
ROLES = {
    "name": ("name, title, label, {o}_name, {o}, {o}, display_name", "titled", "(called|named|with the name|by the name of|titled) {} / : {}", "(namens|mit dem namen|genannt) {} / : {}"),
    "person": ("person, customer, owner, assignee, recipient, contact, user, client, author, member", "person", "for {} / (of|from) {}", "für {} / von {}"),
    "to": ("recipient, to, receiver, person, target_user, contact_name", "person", "to {}", "an {}"),
    "with": ("person, user, colleague, friend, share_with, recipient", "person", "with {}", "mit {}"),
    "id": ("id, {o}_id, {o}, number, reference, key, code", "id", "(number |with the id |no. |id |with number |) {}", "(nummer |mit der nummer |mit der id |) {}"),
    "date": ("date, day, due_date, deadline, start_date, on", "date", "(on|for) {} / {}", "(am|für) {} / {}"),
    "time": ("time, start_time, at, hour", "clock", "at {}", "um {}"),
    "amount": ("amount, price, value, total, sum", "amount", "(over|of|for) {} ( euros| dollars|) / (worth|at) {}", "über {} ( euro|)"),
    "count": ("count, limit, number, max_results, quantity, n", "int", "", ""),
    "text": ("text, message, content, body, comment, description", "quoted", "(saying|that says|with the text) {} / : {}", "mit dem text {} / : {}"),
    "query": ("query, keyword, search_term, {o}, text, topic", "search", "(about|for|with|on) {} / named {}", "(über|zu|nach|mit) {}"),
    "place": ("city, location, place, town", "city", "in {} / near {}", "in {}"),
    "category": ("category, tag, type, label, topic", "tag", "(tagged|in the category|of type|under) {}", "(in der kategorie|mit dem tag) {}"),
    "priority": ("priority, urgency, importance, level", "low/medium/high", "with {} priority / , {} priority / , priority {}", "mit priorität {}"),
    "status": ("status, state, stage", "open/closed/pending/done / active/inactive/archived / new/paid/overdue", "(as|to) {}", "(als|auf) {}"),
    "stars": ("stars, rating, score", "stars", "{} stars / with {} stars", "mit {} sternen"),
    "format": ("format, file_type, output_format", "pdf/csv/json/xlsx / png/jpg/svg / docx/pdf/txt", "(as|in|to) {} / as a {} file", "als {}"),
    "new_name": ("new_name, new_title, name, title", "titled", "(to|into) {}", "(in|zu) {}"),
    "minutes": ("minutes, duration_minutes, duration, length", "int", "for {} minutes", "für {} minuten"),
}

# verbs of the name | verbs of the description | of the request | German infinitive: imperative with what stands at the end | arguments that fit: needed, or needed if one of them is; then optional ones
ACTS = """
create, add, new, make | create, add, make | create, add, make, set up, start, open, I need, I want, put in, enter, write | anlegen: lege _ an, erstelle, mach, füge _ hinzu | name, person | date, amount, priority, category, person, text
delete, remove, erase | delete, remove, erase | delete, remove, get rid of, erase, throw away, trash, I don't need | löschen: lösche, entferne, wirf _ weg | id, name |
list, show, get_all | list, show all, display | list, show me, give me, which are, let me see, what are, display, print | zeigen: zeig mir, liste _ auf, zeige | | date, count, category, person, status, place
get, fetch, read, show | get, show details of, read | show me, get, pull up, what is in, read me, look at, open, tell me about | abrufen: zeig mir, öffne, lies | id, name |
search, find, look_up | search for, find, look up | search for, find, look for, where is, I'm looking for, look up, is there, hunt for | suchen: such, suche, finde | query | place, category, date, count
update, edit, change, set_status | change the status of, update, mark | mark, set, change, put, switch | ändern: setze, ändere, stell | id status, name status |
rename | rename, give another name to | rename, change the name of | umbenennen: benenne _ um, nenne | name new_name, id new_name |
send, deliver | send, deliver | send, mail, forward, pass on, get, hand over | senden: schick, sende, leite _ weiter | to, id to | text, date
share | share, give others access to | share, give access to, let others see | teilen: teile, gib _ frei | with, name with |
cancel, stop, abort | cancel, stop, call off | cancel, call off, stop, drop, withdraw, I no longer want | stornieren: storniere, sag _ ab, beende | id, name | date
book, reserve | book, reserve | book, reserve, get me, I need, arrange, organise | buchen: buche, reserviere | date, place date, name | time, person, count
schedule, plan | schedule, plan | schedule, plan, arrange, put down, fix, set | planen: plane, lege _ fest | date, date time | person, minutes
rate, review, score | rate, review | rate, give, review, score | bewerten: bewerte, gib | name stars, id stars | text
export, download, save_as | export, download, save | export, download, save, give me, turn | exportieren: exportiere, speichere, lade _ herunter | format, name format | date
print | print | print, put on paper, print out | drucken: drucke _ aus, druck | id, name | count
archive, hide | archive, put away | archive, put away, file away, hide, shelve | archivieren: archiviere, leg _ ab | id, name |
approve, accept, confirm | approve, accept, confirm | approve, accept, confirm, say yes to, agree to, sign off | bestätigen: bestätige, genehmige, nimm _ an | id, person | text
reject, decline, refuse | reject, decline, refuse | reject, decline, refuse, say no to, turn down | ablehnen: lehne _ ab, weise _ zurück | id, person | text
assign, give | assign, give to a person | assign, give, hand, pass | zuweisen: weise _ zu, gib | id to, name to |
start, run, begin | start, run, begin | start, run, begin, launch, kick off, fire up | starten: starte, beginne | name, id | minutes
stop, end, finish | stop, end, finish | stop, end, finish, halt, shut down, quit | beenden: beende, stoppe, halte _ an | name, id |
pay, settle | pay, settle | pay, settle, transfer the money for | bezahlen: bezahle, begleiche | id amount, person amount, amount | date
order, buy, purchase | order, buy | order, buy, purchase, get me, I'd like | bestellen: bestelle, kauf, besorge | name, name amount | count, date
count, how_many | count, tell the number of | count, how many are there of, tell me the number of | zählen: zähle | | category, status, person, place
copy, duplicate, clone | copy, duplicate | copy, duplicate, clone, make another | kopieren: kopiere, dupliziere | name, id | new_name
comment, reply | comment on, write a comment on | comment on, reply to, answer, write under | kommentieren: kommentiere, antworte auf | id text, name text |
tag, label | put a label on, tag | tag, label, put a label on, mark | markieren: markiere, beschrifte | id category, name category |
compare | compare two of | compare | vergleichen: vergleiche | |
check, verify, validate | check, verify | check, verify, test, is everything fine with, look over | prüfen: prüfe, kontrolliere | id, name |
open | open | open, show, bring up, load | öffnen: öffne, lade | name, id |
lock, protect | lock, protect | lock, protect, secure, seal | sperren: sperre, schütze | name, id |
reset, clear | reset, clear | reset, clear, empty, start over with | zurücksetzen: setze _ zurück, leere | name, id |
invite | invite a person to | invite to, ask to join, bring to | einladen: lade zu _ ein | person, to | date
sort, order_by | sort, arrange | sort, arrange, put in order | sortieren: sortiere, ordne | |
track, follow | track, follow the progress of | track, follow, where is, keep an eye on, what happened to | verfolgen: verfolge, wo ist | id, name |
"""


OBJECT_LIST = []
for item in re.split("[;\n]", OBJECTS.strip()):
    if item.strip():
        english, german = item.split("|")
        noun, gender = german.strip().rsplit(" ", 1)
        OBJECT_LIST.append(([w.strip() for w in english.split(",")], noun, gender))
ACT_LIST = []
for names, described, asked, german, needed, extra in cells(ACTS):
    split = lambda text: [w.strip() for w in text.split(",") if w.strip()]
    infinitive, orders = german.split(":")
    ACT_LIST.append((split(names), split(described), split(asked), infinitive.strip(), split(orders), [n.split() for n in split(needed)] or [[]], split(extra)))

A = {"m": ("ein", "einen", "den", "der"), "f": ("eine", "eine", "die", "die"), "n": ("ein", "ein", "das", "das")}
article = lambda noun: ("an " if noun[0] in "aeiou" and not noun.startswith("us") else "a ") + noun
plural = lambda noun: noun[:-1] + "ies" if re.search("[^aeiou]y$", noun) else noun + ("es" if re.search("(s|x|ch|sh)$", noun) else "s")
camel = lambda name: re.sub(r"_(\w)", lambda m: m[1].upper(), name)


class Tool:
    """What is listed of a tool, and how it is asked for: `request(rng, german)` → text, arguments; arguments are None where a needed one is missing, which is then `missing`."""

    def __init__(self, name, description, arguments, ask, topic, words=()):
        self.name, self.description, self.arguments, self.ask, self.topic, self.words = name, description, arguments, ask, topic, words

    def schema(self):
        properties = {}
        for name, kind, _ in self.arguments:
            properties[name] = json_type(kind)
            if kind == "clock":
                properties[name]["description"] = "HH:MM"
        return {"name": self.name, "description": self.description, "parameters": {"type": "object", "properties": properties, "required": [name for name, _, optional in self.arguments if not optional]}}


def restyled(rng, name):
    """Names as people write them: snake_case, camelCase, with another word before or behind."""
    r = rng.random()
    if rng.random() < 0.12:
        return word(rng, False).lower() + "_" + word(rng, False).lower()
    name = re.sub(r"(?<=[a-z])([A-Z])", lambda m: "_" + m[1].lower(), name)
    if r < 0.12:
        name = rng.choice(["api", "my", "app", "do", "user", "tool", "home"]) + "_" + name
    elif r < 0.2:
        name += rng.choice(["_v2", "_tool", "_now", "_action", "_function"])
    return camel(name) if rng.random() < 0.4 else name.replace("_", "-") if rng.random() < 0.05 else name


def redescribed(rng, text):
    """'Create an event' → 'Creates an event', 'Create an event.' …"""
    r = rng.random()
    if r < 0.12 and not text.endswith("s") and text.split(" ", 1)[0].isalpha():
        first, _, rest = text.partition(" ")
        text = (first + ("es" if re.search("(s|x|ch|sh)$", first) else "s") + " " + rest) if first[0].isupper() and first.lower() in VERBS else text
    elif r < 0.2:
        text = rng.choice(["Use this to ", "Call this to ", "A tool to ", "Lets you "]) + text[0].lower() + text[1:] if text.split(" ", 1)[0].lower() in VERBS else text
    return text + ("." if rng.random() < 0.2 else "")


VERBS = {verb.split()[0] for act in ACT_LIST for verb in act[1]} | set("get search book reserve call rent translate find send post play start pause skip set turn switch lock open water add remove pay use record order make take resize delete move run assign close merge deploy put block follow publish like submit subscribe change mute invite ask write save look create choose feed charge sound limit draw begin buy convert calculate work show cancel remind count rate transfer".split())

WRITTEN = 0.8  # share of the written tools; the others are composed


def hand_written(rng, row=None):
    row = row or rng.choice(written())
    arguments, asked, gefragt = row.arguments, row.asked, row.gefragt
    # argument names vary: the list says which they are
    renamed = {}
    for argument, _, _ in arguments:
        r = rng.random()
        renamed[argument] = word(rng, False).lower() + argument[:1] if r < 0.12 else camel(argument) if r < 0.2 else rng.choice(["the_", "my_", "target_", "input_", "new_"]) + argument if r < 0.27 else argument
    use_german = bool(gefragt) and rng.random() < 0.3
    listed = [(renamed[a], kind, optional) for a, kind, optional in arguments]

    def ask(rng, in_german):
        text = pattern(rng, rng.choice(gefragt if in_german and gefragt else asked))
        vague = text.startswith("!")
        return text.lstrip("! "), vague, renamed

    title = redescribed(rng, row.described) if not use_german else row.german + ("." if rng.random() < 0.2 else "")
    return Tool(restyled(rng, row.name), title, listed, ask, row.index)


def composed(rng):
    names, described, asked, infinitive, orders, needed, extra = rng.choice(ACT_LIST)
    words, noun, gender = rng.choice(OBJECT_LIST)
    if rng.random() < 0.55:  # a thing that nobody knows: its tool is found by the word alone
        spelled = word(rng, False).lower() + (f" {rng.choice(OBJECT_LIST)[0][0]}" if rng.random() < 0.25 else "")
        words, noun = [spelled], spelled.title()
    key = re.sub(r"[^a-z]+", "_", words[0].lower())
    roles = list(rng.choice(needed))
    optional = [x for x in rng.sample(extra, min(len(extra), rng.choice([0, 0, 1, 1, 2]))) if x not in roles]
    arguments, said = [], []
    for role in roles + optional:
        variants, kinds, english, german = ROLES[role]
        name = rng.choice(variants.split(", ")).replace("{o}", key)
        if rng.random() < 0.3:  # names are read in the list, not known
            name = word(rng, False).lower() if rng.random() < 0.5 else rng.choice(OBJECT_LIST)[0][0].replace(" ", "_").replace("-", "_").replace("'", "")
        while name in [a for a, _, _ in arguments]:
            name += rng.choice(["_2", "_value", "_text"])
        if rng.random() < 0.2:
            name = camel(name)
        kind = rng.choice(kinds.split(" / "))
        arguments.append((name, kind, role in optional))
        said.append((name, role in optional, english.split(" / "), german.split(" / "), role))
    many = names[0] in ("list", "count", "search", "compare", "sort")
    verb = rng.choice(described)
    thing = rng.choice(words)
    object_text = plural(thing) if many else rng.choice([article(thing), article(thing), "the " + thing, article("new " + thing) if names[0] == "create" else article(thing)])
    in_german_list = rng.random() < 0.2
    if in_german_list:
        description = f"{A[gender][1].capitalize()} {noun} {infinitive}"
    else:
        description = redescribed(rng, f"{verb.capitalize()} {object_text}")
    name = rng.choice([f"{rng.choice(names)}_{plural(key) if many else key}"] * 4 + [f"{key}_{rng.choice(names)}", f"{plural(key) if many else key}_{rng.choice(names)}"])

    def ask(rng, in_german):
        text_verb = rng.choice(asked)
        spelled = rng.choice(words)
        if in_german:
            order = rng.choice(orders)
            target = f"{A[gender][1] if names[0] in ('create', 'book', 'order', 'search') else A[gender][2]} {noun}"
            phrases, tail = [], ""
            if " _ " in order:
                order, _, tail = order.partition(" _ ")
            head = f"{order} {'bitte ' if rng.random() < 0.2 else ''}{target}"
        else:
            target = plural(spelled) if many else rng.choice([article(spelled), "the " + spelled, "my " + spelled, "this " + spelled, article("new " + spelled)] if names[0] not in ("create", "book", "order") else [article(spelled), article(spelled), article("new " + spelled), "another " + spelled])
            head, phrases, tail = f"{text_verb} {('all ' if rng.random() < 0.2 else 'the ' if rng.random() < 0.3 else '') if many else ''}{target}", [], ""
        vague = bool(roles) and rng.random() < 0.14
        for argument, optional_one, english, german, role in said:
            if (vague and not optional_one) or (optional_one and rng.random() < 0.5):
                continue
            if role == "count":
                phrases.append(rng.choice([" (the first {} of them)", " (only {} of them)", " , at most {}", " , {} of them"]).replace("(", "").replace(")", "").replace("{}", "{" + argument + "}") if not in_german else f" , höchstens {{{argument}}}")
                continue
            phrase = pattern(rng, rng.choice(german if in_german else english)).replace("{}", "{" + argument + "}")
            phrases.append(" " + phrase)
        if rng.random() < 0.3 and not any(":" in p for p in phrases):
            rng.shuffle(phrases)
        phrases.sort(key=lambda p: ":" in p)  # what follows a colon is a whole text
        body = "".join(phrases)
        return (f"{head} {tail}{body}" if ":" in body or "mit dem text" in body else f"{head}{body} {tail}").strip(), vague, None

    return Tool(restyled(rng, name), description, arguments, ask, (names[0], words[0]), [*words, noun])


def tool(rng):
    while True:
        made = hand_written(rng) if rng.random() < WRITTEN else composed(rng)
        if folded(made.description) not in descriptions():
            return made


FREE = {"quoted", "task"}  # whole texts: what follows belongs to them
TAILS = {"en": ["please", ", please", "thanks", ", thanks", "for me", "now", "right now", "asap", ", thank you", "if you can", ", would you?", "quickly", "pls", ", ok?"], "de": ["bitte", ", bitte", ", danke", "danke", "jetzt", "mal bitte", "für mich", "schnell", ", ok?", "gleich", ", geht das?", "nochmal"]}


def request(rng, given, in_german):
    """(text, arguments of the call or None, the first missing argument or None)"""
    text, vague, renamed = given.ask(rng, in_german)
    kinds = {name: kind for name, kind, _ in given.arguments}
    shown, arguments = {}, {}
    spans = re.search(r"\{(\w+)\} (minutes|minuten)(?!\w)", text)
    if spans and rng.random() < 0.35 and kinds.get((renamed or {}).get(spans[1], spans[1])) == "int":  # 'half an hour' for '30 minutes'
        arguments[(renamed or {}).get(spans[1], spans[1])], length = duration(rng, in_german)
        text = text.replace(spans[0], length)
    for match in re.findall(r"\{(\w+)\}", text):
        name = (renamed or {}).get(match, match)
        value, said = choice(rng, kinds[name], in_german)
        shown[match], arguments[name] = said, value
    begins_with_value = text.startswith("{")
    if "{" in text.split(":")[-1] and not set(kinds.values()) & FREE and rng.random() < 0.1:  # where a value ends
        text = f"{text.rstrip('?')} {rng.choice(TAILS['de' if in_german else 'en'])}"
    text = re.sub(r"\s+([,:.])", r"\1", re.sub(r"\s+", " ", text.format(**shown))).strip()
    text = "\0" * begins_with_value + text  # visits.VALUE
    arguments = {name: arguments[name] for name, _, _ in given.arguments if name in arguments}
    missing = [name for name, _, optional in given.arguments if not optional and name not in arguments]
    if missing:
        return text, None, missing[0]
    return text, arguments, None
