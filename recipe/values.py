"""Values of arguments as people write them: `choice` draws (the argument, what is said). Times, lengths, numbers and shares may be said in other words than the argument has; all else is copied."""
import functools
import re

import words
from dialogues import HELD_VALUES, word

CHOICE = re.compile(r"\(([^()]*)\)")
SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
KLEIN = "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn".split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
ZEHN = "_ _ zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()


def pattern(rng, text):
    """One of the forms of a pattern: (a|b|) is a choice."""
    while "(" in text:
        text = CHOICE.sub(lambda m: rng.choice(m[1].split("|")), text)
    return re.sub(r" +([,:?])", r"\1", re.sub(r"  +", " ", text)).strip()


def in_words(n, german):
    if n < 20:
        return (KLEIN if german else SMALL)[n]
    if n == 100:
        return "hundert" if german else "a hundred"
    tens, ones = divmod(n, 10)
    if german:
        return (("ein" if ones == 1 else KLEIN[ones]) + "und" if ones else "") + ZEHN[tens]
    return TENS[tens] + (f"-{SMALL[ones]}" if ones else "")


QUOTES = ['"{}"', '"{}"', '"{}"', "'{}'", "“{}”", "“{}”", "„{}“", "‘{}’", "«{}»"]


def quoted(rng, text, share=0.4):
    """Some write a value in quotation marks."""
    if rng.random() >= share:
        return text
    mark = rng.choice(QUOTES)
    return text if "'" in text and "'" in mark or '"' in text else mark.format(text)


def known(value):
    return not any(w in HELD_VALUES for w in re.findall(r"\w+", str(value)))


def one_of(rng, values):
    while True:
        value = rng.choice(values)
        if known(value):
            return value


def made(rng):
    return word(rng, False)


def name_case(rng, text):
    """Few write names with small letters."""
    return text.lower() if rng.random() < 0.12 else text


def person(rng, german):
    r = rng.random()
    if r < 0.15:
        return made(rng).capitalize()
    if r < 0.27:
        return one_of(rng, words.listed(words.ROLES["de" if german else "en"]))
    first = one_of(rng, words.EN["person"])
    if r < 0.5:
        return name_case(rng, f"{first} {made(rng).capitalize() if rng.random() < 0.3 else one_of(rng, words.listed(words.LAST))}")
    if r < 0.57:
        return f"{rng.choice(['Mr.', 'Mrs.', 'Ms', 'Dr.', 'Herr', 'Frau', 'Professor'])} {one_of(rng, words.listed(words.LAST))}"
    return name_case(rng, first)


def city(rng, german):
    r = rng.random()
    if r < 0.15:
        return made(rng).capitalize() + ("" if rng.random() < 0.8 else " " + made(rng).capitalize())
    return name_case(rng, one_of(rng, words.DE["city"] if german and r < 0.6 else words.EN["city"]))


def titled(rng, german):
    r = rng.random()
    if r < 0.45:
        return name_case(rng, one_of(rng, words.EN["title"]))
    if r < 0.6:
        return " ".join(made(rng).capitalize() for _ in range(rng.choice([1, 2, 2, 3])))
    if r < 0.8:
        return f"{one_of(rng, ADJECTIVES)} {one_of(rng, words.EN['item'])}"
    return rng.choice(["{} with {}", "{} {}", "{} for {}"]).format(one_of(rng, ["dinner", "lunch", "coffee", "call", "workshop", "Meeting", "review of", "Trip", "party", "training", "Essen", "interview"]), person(rng, german))


ADJECTIVES = words.listed(words.ADJECTIVES)


def product(rng, german):
    r = rng.random()
    if r < 0.2:
        return made(rng) if r < 0.12 else f"{one_of(rng, ADJECTIVES)} {made(rng)}"
    if german and r < 0.7:
        return one_of(rng, words.DE["item"])
    item = one_of(rng, words.EN["item"])
    return f"{one_of(rng, ADJECTIVES)} {item}" if rng.random() < 0.45 else item


def code(rng):
    r = rng.random()
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTXYZ") for _ in range(rng.randint(1, 4)))
    return f"{letters}{rng.choice(['', '-', '-', '_'])}{rng.randint(1, 99999)}" if r < 0.6 else str(rng.randint(10, 99999)) if r < 0.85 else letters + made(rng).upper()[:5] + str(rng.randint(1, 99))


def fact(rng, german):
    """The text of a note or message."""
    language = "de" if german else "en"
    r = rng.random()
    if r < 0.3:
        return task(rng, german)
    if r < 0.42:
        return " ".join(made(rng) for _ in range(rng.randint(1, 5)))
    if r < 0.52:
        return rng.choice([lambda: f"{made(rng)} is {one_of(rng, ADJECTIVES)}", lambda: f"the {made(rng)} {made(rng)} at {rng.randint(1, 12)}", lambda: f"{person(rng, german)}: {code(rng)}", lambda: f"{product(rng, german)}, {product(rng, german)}",
                           lambda: f"I am {one_of(rng, ['late', 'on my way', 'ill', 'at home', 'in a meeting', 'ready', 'stuck in traffic', 'here'])}", lambda: f"see you {one_of(rng, DAYS['en'])}", lambda: f"{one_of(rng, ['thanks', 'sorry', 'congratulations', 'happy birthday', 'hello', 'good luck'])} {person(rng, german)}"])()
    text = rng.choice(words.listed(words.FACTS[language]))
    text = text.format(code=code(rng), person=person(rng, german), date=rng.choice((words.DE if german else words.EN)["date"]), day=rng.choice((words.DE if german else words.EN)["day"]),
                       count=rng.randint(2, 90), time=f"{rng.randint(1, 23)}:{rng.randint(0, 59):02d}", thing=one_of(rng, (words.DE if german else words.EN)["thing"]), place=one_of(rng, (words.DE if german else words.EN)["place"]), city=city(rng, german))
    return text[0].upper() + text[1:] if rng.random() < 0.35 else text


def task(rng, german):
    language = "de" if german else "en"
    r = rng.random()
    goods = lambda: one_of(rng, words.listed(words.GROCERIES[language])) if rng.random() < 0.7 else product(rng, german)
    both = " und " if german else " and "
    what = goods() + (both + goods() if rng.random() < 0.4 else "")
    who = person(rng, german)
    if r < 0.25:
        return f"{what} {rng.choice(['kaufen', 'besorgen', 'bestellen', 'holen'])}" if german else f"{rng.choice(['buy', 'get', 'order', 'buy', 'pick up'])} {what}"
    if r < 0.45:
        return f"{who} {rng.choice(['anrufen', 'schreiben', 'fragen', 'einladen', 'antworten'])}" if german else f"{rng.choice(['call', 'email', 'text', 'ring', 'write to', 'meet', 'ask', 'thank', 'invite'])} {who}"
    if r < 0.6:
        return f"{rng.choice(['den', 'die', 'das'])} {made(rng).capitalize()} {rng.choice(['putzen', 'reparieren', 'bringen', 'suchen'])}" if german else f"{rng.choice(['fix', 'clean', 'sell', 'find', 'bring', 'check', made(rng), 'return', 'paint'])} the {made(rng)}"
    return one_of(rng, words.listed(words.DUTIES[language]))


DAYS = {k: words.listed(v) for k, v in words.DAYS.items()}


def date(rng, german):
    r = rng.random()
    if r < 0.15:
        return f"{rng.randint(2024, 2027)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    if r < 0.25:
        return f"{rng.randint(1, 28)}. {rng.choice(['Januar', 'Februar', 'März', 'April', 'Mai', 'Juni', 'Juli', 'August', 'September', 'Oktober', 'November', 'Dezember'])}" if german else f"{rng.choice(['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'])} {rng.randint(1, 28)}"
    return one_of(rng, DAYS["de" if german else "en"])


def clock(rng, german):
    """(HH:MM, how it is said)"""
    hour, minute = rng.randint(0, 23), rng.choice([0, 0, 15, 30, 30, 45, 5, 10, 20, 25, 35, 40, 50, 55, rng.randint(0, 59)])
    if rng.random() < 0.4:
        hour = rng.choice([5, 6, 7, 7, 8, 9])
    r = rng.random()
    value = f"{hour:02d}:{minute:02d}"
    twelve, part = (hour - 1) % 12 + 1, "am" if hour < 12 else "pm"
    if german:
        if r < 0.3:
            return value, f"{hour}{rng.choice([':', ':', '.'])}{minute:02d}" + rng.choice(["", " Uhr", " Uhr", " uhr"])
        if r < 0.4:
            return value, value
        if r < 0.6:
            said = f"{hour} Uhr" + (f" {minute}" if minute else "")
            return value, said.lower() if rng.random() < 0.2 else said
        hour = hour if 1 <= hour <= 12 else rng.randint(5, 11)
        if r < 0.7:
            minute = rng.choice([0, 0, 30])
            return f"{hour:02d}:{minute:02d}", f"{KLEIN[hour].rstrip('s') if hour == 1 else KLEIN[hour]} Uhr" + (" dreißig" if minute else "") if minute == 0 or rng.random() < 0.5 else f"halb {KLEIN[hour % 12 + 1]}"
        past = rng.choice([30, 30, 30, 15, 45, 5, 10, 20, 50, 55])
        nxt = KLEIN[hour % 12 + 1]
        said = f"halb {nxt}" if past == 30 else f"viertel nach {KLEIN[hour]}" if past == 15 else rng.choice([f"viertel vor {nxt}", f"dreiviertel {nxt}"]) if past == 45 else f"{KLEIN[past]} nach {KLEIN[hour]}" if past < 30 and past != 20 else f"zwanzig nach {KLEIN[hour]}" if past == 20 else f"{KLEIN[60 - past]} vor {nxt}"
        return f"{hour:02d}:{past:02d}", said
    if r < 0.28:
        return value, f"{hour}{rng.choice([':', ':', ':', '.'])}{minute:02d}"
    if r < 0.36:
        return value, value
    if r < 0.58:
        gap = rng.choice([" ", "", " "])
        marks = {"am": ["am", "am", "a.m.", "AM", "in the morning"], "pm": ["pm", "pm", "p.m.", "PM", "in the evening" if hour >= 17 else "in the afternoon"]}[part]
        mark = rng.choice(marks)
        return value, f"{twelve}{f':{minute:02d}' if minute or rng.random() < 0.2 else ''}{' ' if len(mark) > 4 else gap}{mark}"
    hour = hour if 1 <= hour <= 12 else rng.randint(5, 11)
    if r < 0.68:
        return f"{hour:02d}:00", f"{hour if rng.random() < 0.6 else SMALL[hour]} {rng.choice(['oclock', 'o’clock', chr(111) + chr(39) + 'clock', chr(111) + chr(39) + 'clock'])}"
    if r < 0.76:
        return f"{hour:02d}:00", str(hour) if rng.random() < 0.6 else SMALL[hour]
    past = rng.choice([30, 30, 30, 15, 15, 45, 45, 5, 10, 20, 50, 55, 40])
    nxt = hour % 12 + 1
    name = lambda h: SMALL[h] if rng.random() < 0.75 else str(h)
    few = {5: "five", 10: "ten", 20: "twenty"}
    said = f"half past {name(hour)}" if past == 30 else rng.choice(["quarter past", "a quarter past"]) + f" {name(hour)}" if past == 15 else rng.choice(["quarter to", "a quarter to"]) + f" {name(nxt)}" if past == 45 else f"{few[past]} past {name(hour)}" if past < 30 else f"{few[60 - past]} to {name(nxt)}"
    if past == 30 and rng.random() < 0.15:
        said = f"{SMALL[hour]} thirty"
    return f"{hour:02d}:{past:02d}", said


def duration(rng, german):
    """(minutes, how it is said)"""
    r = rng.random()
    n = rng.choice([1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 15, 18, 20, 22, 25, 30, 35, 40, 45, 50, 55, 60, 70, 75, 80, 90, 100, 120, rng.randint(1, 180)])
    if r < 0.45:
        unit = rng.choice(["Minuten", "Minuten", "minuten", "Min", "min"]) if german else rng.choice(["minutes", "minutes", "minutes", "min", "mins"])
        if n == 1:
            unit = "Minute" if german else "minute"
        return n, f"{n}{rng.choice([' ', ' ', ' ', '']) if len(unit) < 5 else ' '}{unit}"
    if r < 0.65:
        n = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 20, 25, 30, 35, 40, 45, 50, 60, 90])
        if n == 1:
            return 1, "eine Minute" if german else rng.choice(["one minute", "a minute"])
        return n, f"{in_words(n, german)} {'Minuten' if german else 'minutes'}"
    table = ([(30, "eine halbe Stunde"), (30, "halbe Stunde"), (60, "eine Stunde"), (90, "anderthalb Stunden"), (90, "eineinhalb Stunden"), (15, "eine Viertelstunde"), (45, "eine Dreiviertelstunde"), (120, "zwei Stunden"), (180, "drei Stunden"), (150, "zweieinhalb Stunden"), (240, "vier Stunden"), (300, "fünf Stunden"), (480, "acht Stunden")] if german else
             [(30, "half an hour"), (30, "half an hour"), (30, "a half hour"), (60, "an hour"), (60, "one hour"), (90, "an hour and a half"), (90, "one and a half hours"), (90, "1.5 hours"), (15, "a quarter of an hour"), (15, "quarter of an hour"), (45, "three quarters of an hour"), (120, "two hours"), (180, "three hours"), (150, "two and a half hours"), (240, "four hours"), (300, "five hours"), (600, "ten hours")])
    if r < 0.85:
        return rng.choice(table)
    hours = rng.randint(1, 5)
    if r < 0.93:
        unit = ("Stunde" if hours == 1 else "Stunden") if german else rng.choice(["hour", "h", "hr"]) if hours == 1 else rng.choice(["hours", "hours", "h", "hrs"])
        return hours * 60, f"{hours} {unit}"
    rest = rng.choice([10, 15, 20, 30, 40, 45])
    return hours * 60 + rest, (f"{hours} Stunde{'n' if hours > 1 else ''} und {rest} Minuten" if german else rng.choice([f"{hours} hour{'s' if hours > 1 else ''} and {rest} minutes", f"{hours} hour{'s' if hours > 1 else ''} {rest} minutes", f"{hours}h {rest}min"]))


def bare(rng, german):
    """(number of minutes, without the unit)"""
    n = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 45, 50, 60, 90, rng.randint(1, 120)])
    return n, in_words(n, german) if rng.random() < 0.3 and n <= 20 else str(n)


def percent(rng, german, most=100):
    r = rng.random()
    n = rng.choice([5, 10, 15, 20, 25, 30, 33, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100, rng.randint(1, 100)])
    if most > 100:
        n = rng.choice([50, 60, 70, 75, 80, 90, 100, 110, 115, 120, 125, 130, 135, 140, 150, 160, 170, 175, 180, 190, 200, rng.randint(50, 200)])
    elif r < 0.06:
        return rng.choice([(50, "die Hälfte"), (100, "Maximum"), (0, "stumm"), (0, "null")] if german else [(50, "half"), (100, "max"), (100, "maximum"), (100, "full"), (0, "zero"), (0, "mute")])
    if r < 0.3:
        return n, str(n)
    if r < 0.55:
        return n, f"{n}{rng.choice(['', '', ' '])}%"
    if r < 0.85 or n > 100:
        return n, f"{n} {rng.choice(['Prozent', 'Prozent', 'prozent']) if german else rng.choice(['percent', 'percent', 'per cent'])}"
    return n, f"{in_words(n, german)} {'Prozent' if german else 'percent'}"


def figure(rng):
    r = rng.random()
    return rng.randint(1, 20) if r < 0.35 else rng.randint(1, 999) if r < 0.7 else round(rng.uniform(0.1, 99), 1) if r < 0.9 else rng.randint(1000, 99999)


def amount(rng, german):
    n = figure(rng)
    said = str(n).replace(".", ",") if german and rng.random() < 0.8 else str(n)
    return n, in_words(n, german) if isinstance(n, int) and n <= 12 and rng.random() < 0.15 else said


def whole(rng, german):
    n = rng.choice([rng.randint(1, 12), rng.randint(1, 12), rng.randint(2, 60), rng.randint(1, 500), rng.choice([100, 200, 250, 500, 1000, 5000, 8000, 10000])])
    return n, in_words(n, german) if 1 < n <= 12 and rng.random() < 0.35 else str(n)


def expression(rng, german):
    n = lambda: str(rng.choice([rng.randint(2, 20), rng.randint(2, 99), rng.randint(2, 999), round(rng.uniform(0.5, 50), 1)])) if rng.random() < 0.9 else str(rng.randint(1000, 99999))
    r, gap = rng.random(), rng.choice([" ", " ", ""])
    sign = lambda: rng.choice("++--**//") if rng.random() < 0.8 else rng.choice("×÷x^")
    if r < 0.34:
        return f"{n()}{gap}{sign()}{gap}{n()}"
    if r < 0.42:
        return f"{n()}{gap}{sign()}{gap}{n()}{gap}{sign()}{gap}{n()}"
    if r < 0.52:
        return rng.choice(["({0}{4}{3}{4}{1}){4}{5}{4}{2}", "{2}{4}{5}{4}({0}{4}{3}{4}{1})"]).format(n(), n(), n(), rng.choice("+-"), gap, rng.choice("*/"))
    if german:
        return rng.choice([f"{n()} {rng.choice(['mal', 'plus', 'minus', 'geteilt durch', 'durch', 'hoch', 'mal', 'plus'])} {n()}"] * 4 + [f"{n()} plus {n()} {rng.choice(['minus', 'plus', 'mal'])} {n()}", f"{rng.randint(1, 99)} Prozent von {n()}", f"{rng.randint(1, 99)}% von {n()}", f"die Wurzel aus {n()}", f"{in_words(rng.randint(2, 90), True)} mal {in_words(rng.randint(2, 12), True)}"])
    return rng.choice([f"{n()} {rng.choice(['times', 'plus', 'minus', 'divided by', 'multiplied by', 'over', 'to the power of', 'times', 'plus', 'divided by'])} {n()}"] * 4 + [f"{n()} plus {n()} {rng.choice(['minus', 'plus', 'times'])} {n()}"] + [f"{rng.randint(1, 99)}{rng.choice(['%', '%', ' percent'])} of {n()}"] * 3 +
                      [f"the square root of {n()}", f"sqrt({n()})", f"{n()} squared", f"{in_words(rng.randint(2, 90), False)} {rng.choice(['times', 'plus', 'minus'])} {in_words(rng.randint(2, 30), False)}", f"{n()} + {rng.randint(1, 30)}%"])


def units(rng, german):
    pool = words.listed(words.UNITS["de" if german and rng.random() < 0.8 else "en"])
    first = made(rng) if rng.random() < 0.15 else one_of(rng, pool)
    second = first
    while second == first:
        second = made(rng) if rng.random() < 0.15 else one_of(rng, pool)
    return first, second


def file(rng):
    stem = rng.choice([made(rng), "report", "notes", "budget", "photo", "invoice", "draft", "readme", "index", "data", "cv", "plan"]) + rng.choice(["", "", f"_{rng.randint(1, 2026)}", "-" + made(rng), "_final", "2"])
    return stem + rng.choice([".pdf", ".txt", ".docx", ".jpg", ".png", ".csv", ".xlsx", ".md", ".mp3", ".py", ".zip", ".json"])


def email(rng):
    return f"{rng.choice([made(rng), one_of(rng, words.EN['person']).lower()])}{rng.choice(['', '.' + made(rng), str(rng.randint(1, 99))])}@{rng.choice(['example', 'mail', 'gmail', 'web', made(rng)])}.{rng.choice(['com', 'org', 'de', 'net', 'io'])}"


def rare(rng, values, share=0.25):
    return made(rng) if rng.random() < share else one_of(rng, values)


L = words.listed
FOODS = L("chicken, broccoli, rice, beans, lentils, tofu, salmon, tuna, beef, pork, eggs, cheese, yoghurt, oats, quinoa, avocado, spinach, carrots, pumpkin, zucchini, potatoes, sweet potatoes, mushrooms, bananas, apples, blueberries, almonds, walnuts, peanut butter, dark chocolate, Kartoffeln, Linsen, Hähnchen, Spinat, Kürbis, Pilze, Lachs, Nudeln")
SUBJECTS = L("climate change, football, the election, electric cars, the stock market, space travel, artificial intelligence, Ancient Rome, volcanoes, jazz, world history, algebra, dinosaurs, the Olympics, renewable energy, movies, technology, health, fashion, local politics, biology, Fußball, Politik, Klimawandel, Raumfahrt, Technik, Wirtschaft, geography, gardening, chemistry, the Middle Ages, photography, bees, tea, vikings")
TEXTUAL = L("hello, good morning, see you soon, thank you, how are you, where is the station, I love you, bread and butter, the quick brown fox, guten Tag, bis bald, ich habe Hunger, cheese, the house, water please, good luck, happy birthday, excuse me, my name is Tom, what time is it, Schmetterling, Hausaufgaben, one coffee please, never again")

INSTRUMENTS = L("guitar, violin, piano, cello, ukulele, harp, bass, drum, flute, Gitarre, Geige, Klavier, Bass, Harfe")
PARTS = L("windscreen, brake, clutch, bumper, headlight, gearbox, screen, exhaust, mirror, door handle, Auspuff, Scheinwerfer, Spiegel, Motor, Bildschirm, battery")
SYMPTOMS = L("headache, fever, sore throat, cough, rash, back pain, dizziness, runny nose, stomach ache, Kopfschmerzen, Fieber, Husten, Ausschlag, Bauchschmerzen, Schwindel")
TEAMS = L("Arsenal, Bayern, Real Madrid, Liverpool, Juventus, Dortmund, the Lakers, the Yankees, Ajax, Team Blue, the Red Foxes, Werder Bremen, Chelsea, the Bulls, Schalke, the Eagles")

# kind → (JSON type, draw(rng, german) → value or (value, said))
KINDS = {
    "city": ("string", city), "person": ("string", person), "recipient": ("string", lambda rng, g: email(rng) if rng.random() < 0.4 else person(rng, g)), "email": ("string", lambda rng, g: email(rng)), "first": ("string", lambda rng, g: rare(rng, words.EN["person"]).capitalize()),
    "titled": ("string", lambda rng, g: marked(rng, titled(rng, g), 0.35)), "quoted": ("string", lambda rng, g: marked(rng, fact(rng, g) if rng.random() < 0.75 else rng.choice(TEXTUAL), 0.5)), "task": ("string", task), "date": ("string", date), "clock": ("string", clock),
    "int": ("integer", whole), "number": ("number", amount), "amount": ("number", amount), "percent": ("integer", lambda rng, g: (lambda n: (n, str(n)))(rng.randint(1, 100))), "degrees": ("number", lambda rng, g: (lambda n: (n, str(n).replace(".", ",") if g else str(n)))(rng.choice([16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 19.5, 20.5, 21.5, 28]))),
    "level": ("integer", lambda rng, g: (lambda n: (n, str(n)))(rng.randint(1, 100))), "stars": ("integer", lambda rng, g: (lambda n: (n, in_words(n, g) if n > 1 and rng.random() < 0.3 else str(n)))(rng.randint(1, 5))), "year": ("integer", lambda rng, g: (lambda n: (n, str(n)))(rng.randint(1930, 2026))),
    "bool": ("boolean", lambda rng, g: rng.choice([(True, "an" if g else "on"), (False, "aus" if g else "off")])), "name": ("string", lambda rng, g: marked(rng, " ".join(made(rng).capitalize() for _ in range(rng.choice([1, 1, 2]))) if rng.random() < 0.5 else rng.choice(L("Luigi's, Golden Dragon, Blue Lagoon, Zum Löwen, The Crown, Sakura, Bella Vista, Green Garden Café, Adler, Pizza Palace, Chez Marie, Taj Mahal, Brauhaus, The Red Lion, Acme, Globex, Stadtwerke, Northern Power, AquaTel, Vodafone, City Gym")), 0.12)),
    "address": ("string", lambda rng, g: rng.choice([f"{rng.randint(1, 300)} {rng.choice([made(rng).capitalize(), 'Baker', 'High', 'Park', 'Station', 'Church', 'Main', 'Mill'])} {rng.choice(['Street', 'Road', 'Avenue', 'Lane'])}", f"{rng.choice([made(rng).capitalize(), 'Haupt', 'Bahnhof', 'Garten', 'Schul', 'Berg'])}{rng.choice(['straße', 'weg', 'platz', 'gasse'])} {rng.randint(1, 200)}", "the airport", "the station", "the museum", "the city hall", made(rng).capitalize()])),
    "language": ("string", lambda rng, g: rare(rng, L(words.LANGUAGES["de" if g else "en"]), 0.2) if rng.random() < 0.85 else made(rng).capitalize()), "phone": ("string", lambda rng, g: rng.choice([f"0{rng.randint(100, 999)} {rng.randint(10000, 999999)}", f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 99999)}", f"{rng.randint(100, 999)}-{rng.randint(1000, 9999)}", f"0{rng.randint(10, 999)}{rng.randint(10000, 999999)}"])),
    "channel": ("string", lambda rng, g: rare(rng, L("general, random, engineering, design, marketing, sales, support, announcements, dev, music, team-berlin, news, help, watercooler"))), "room": ("string", lambda rng, g: rare(rng, (words.DE if g else words.EN)["place"])), "place": ("string", lambda rng, g: rare(rng, L("front yard, backyard, greenhouse, terrace, balcony, roof, north bed, rose bed, lawn, Gewächshaus, Terrasse, Beet"))),
    "device": ("string", lambda rng, g: rare(rng, L(words.GERAETE if g else words.DEVICES))), "colour": ("string", lambda rng, g: rare(rng, L(words.COLOURS), 0.15)), "door": ("string", lambda rng, g: rare(rng, L("front door, back door, garage door, cellar door, balcony door, side gate, safe, Haustür, Hintertür, Kellertür, gate, office door"))), "product": ("string", lambda rng, g: marked(rng, product(rng, g), 0.12)),
    "code": ("string", lambda rng, g: code(rng)), "id": ("string", lambda rng, g: code(rng)), "reason": ("string", lambda rng, g: rng.choice(L("it is too small, it is broken, wrong colour, I changed my mind, it arrived too late, it does not fit, ordered twice, zu klein, falsche Farbe, kaputt, es passt nicht, too expensive, bad quality, it is damaged"))), "ticker": ("string", lambda rng, g: "".join(rng.choice("ABCDEFGHIJKLMNOPRSTUVWXZ") for _ in range(rng.randint(2, 5))) if rng.random() < 0.6 else rng.choice(L("AAPL, MSFT, Tesla, Siemens, Apple, NVDA, SAP, Volkswagen, IBM, Nestlé"))),
    "currency": ("string", lambda rng, g: rare(rng, L(words.CURRENCIES), 0.15)), "food": ("string", lambda rng, g: rare(rng, FOODS)), "doctor": ("string", lambda rng, g: rng.choice([f"Dr. {one_of(rng, L(words.LAST))}", "the dentist", "the eye doctor", f"Doctor {made(rng).capitalize()}", "my GP", "Frau Dr. Weiß", "the dermatologist"])), "medicine": ("string", lambda rng, g: rare(rng, L("ibuprofen, insulin, aspirin, vitamin D, paracetamol, eye drops, cough syrup, Ibuprofen, Insulin"), 0.4)),
    "place_kind": ("string", lambda rng, g: rare(rng, L("pharmacy, bakery, supermarket, gas station, cinema, bank, playground, hospital, post office, coffee shop, Apotheke, Bäckerei, Tankstelle, Supermarkt, charging station, bookstore, museum, gym"))), "road": ("string", lambda rng, g: rng.choice([f"A{rng.randint(1, 99)}", f"Highway {rng.randint(1, 400)}", f"Route {rng.randint(1, 99)}", f"B{rng.randint(1, 300)}", "Main Street", "the ring road", f"M{rng.randint(1, 60)}"])), "subject": ("string", lambda rng, g: marked(rng, rare(rng, SUBJECTS), 0.15)),
    "search": ("string", lambda rng, g: marked(rng, rng.choice([lambda: rare(rng, L(words.QUERIES)), lambda: titled(rng, g), lambda: f"{made(rng)} {made(rng)}", lambda: product(rng, g), lambda: one_of(rng, SUBJECTS)])(), 0.3)), "word": ("string", lambda rng, g: marked(rng, rare(rng, L("serendipity, ubiquitous, melancholy, entropy, gratitude, resilience, ambiguous, eloquent, Schadenfreude, Fernweh, necessary, rhythm, definitely, Rhythmus, Standard, separate, happy, angry, beautiful, cunning"), 0.4), 0.4)),
    "url": ("string", lambda rng, g: f"{rng.choice(['https://', 'https://www.', '', 'www.', 'http://'])}{rng.choice([made(rng), 'example', 'wikipedia', 'github'])}.{rng.choice(['com', 'org', 'de', 'io', 'net'])}{rng.choice(['', '', '/' + made(rng), f'/{made(rng)}/{rng.randint(1, 99)}'])}"), "file": ("string", lambda rng, g: marked(rng, file(rng), 0.15)),
    "folder": ("string", lambda rng, g: marked(rng, rare(rng, L("Documents, Pictures, invoices, holiday, work, Backup, Downloads, taxes, Projekte, Fotos, Musik, recipes, Old Files, summer 2025, client data"), 0.35), 0.25)), "genre": ("string", lambda rng, g: rare(rng, L("comedy, horror, drama, western, thriller, romance, science fiction, animation, documentary, fantasy, crime, action, Komödie, Krimi, musical"), 0.15)), "branch": ("string", lambda rng, g: rng.choice([made(rng), f"feature/{made(rng)}", f"fix-{rng.randint(1, 999)}", "main", "develop", "release"])),
    "version": ("string", lambda rng, g: f"{rng.choice(['', 'v'])}{rng.randint(0, 20)}.{rng.randint(0, 20)}{rng.choice(['', f'.{rng.randint(0, 30)}'])}"), "host": ("string", lambda rng, g: rng.choice([made(rng), f"web-{rng.randint(1, 40)}", f"{made(rng)}.example.com", "mail", "database", "api", f"db{rng.randint(1, 9)}"])), "handle": ("string", lambda rng, g: rng.choice(["@", "", "@"]) + made(rng) + rng.choice(["", str(rng.randint(1, 99)), "_" + made(rng)])),
    "instrument": ("string", lambda rng, g: rare(rng, INSTRUMENTS)), "part": ("string", lambda rng, g: rare(rng, PARTS)), "symptom": ("string", lambda rng, g: rare(rng, SYMPTOMS)), "team": ("string", lambda rng, g: rare(rng, TEAMS)), "class": ("string", lambda rng, g: f"{rng.randint(1, 12)}{rng.choice(['a', 'b', 'c', 'A', 'B', 'd'])}"),
    "weapon": ("string", lambda rng, g: rare(rng, L("long sword, bow, axe, dagger, magic staff, hammer, spear, crossbow, silver blade, Schwert, Bogen, Axt"))), "tag": ("string", lambda rng, g: marked(rng, rare(rng, L("urgent, private, work, travel, family, finance, health, ideas, school, music, sports, design, legal, Arbeit, privat, Reise"), 0.35), 0.12)),
}


def marked(rng, text, share):
    return text, quoted(rng, text, share)


def json_type(kind):
    """The JSON schema of an argument of this kind, but for descriptions."""
    if kind[0] == "=":
        return {"type": "string"}
    return {"type": "string", "enum": kind.split("/")} if "/" in kind else {"type": KINDS[kind][0]}


@functools.cache
def own(kind):
    """The values of a kind that lists them, without held-out words."""
    values = tuple(v.strip() for v in kind[1:].split("+"))
    LISTED.extend(v for v in values if known(v))
    return tuple(v for v in values if known(v)) or values


LISTED = []  # values of all such kinds


def listed_value(rng, kind):
    """A value of the kind's list; or of another's, or with a made-up word in it, or all made up: what can be remembered is not copied. It keeps the shape of a value of the list: how many words, and which have capitals."""
    value, r = rng.choice(own(kind)), rng.random()
    shaped = lambda w: (lambda m: m[0].upper() + m[1:] if w[0].isupper() else m)(made(rng))
    if r < 0.12:
        value = rng.choice(LISTED)
    elif r < 0.24:
        parts = value.split(" ")
        spot = rng.randrange(len(parts))
        parts[spot] = shaped(parts[spot])
        value = " ".join(parts)
    elif r < 0.34:
        value = " ".join(w if len(w) < 4 and rng.random() < 0.7 else shaped(w) for w in value.split(" "))
    elif r < 0.42 and not value[0].isdigit():
        value = " ".join([*value.split(" "), rng.choice(LISTED).split(" ")[-1]])
    if rng.random() < 0.07:
        value = value.lower()
    return value, quoted(rng, value, 0.13)


def choice(rng, kind, german):
    """(the argument, what is said)"""
    if kind[0] == "=":
        return listed_value(rng, kind)
    if "/" in kind:
        value = rng.choice(kind.split("/"))
        return value, value
    while True:
        drawn = KINDS[kind][1](rng, german)
        value, said = drawn if isinstance(drawn, tuple) else (drawn, str(drawn))
        if kind in ("clock",) or known(value):
            return value, said
