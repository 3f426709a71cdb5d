/** Texts with private items of eight kinds, and with items that look like them, by seed. */
import { seeded } from './hub';

export interface PrivateText {
  text: string;
  /** planted, in order */
  items: { kind: string; value: string }[];
}

export const TERMS = ['Project Falcon', 'Ada Lovelace', 'Nordwind GmbH', 'Müller-Lüdenscheidt'];

type Random = () => number;
const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)];
const digits = (random: Random, n: number): string =>
  Array.from({ length: n }, () => Math.floor(random() * 10)).join('');
const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const ALL = `${LOWER}${LOWER.toUpperCase()}0123456789`;
const letters = (random: Random, n: number, of = ALL): string =>
  Array.from({ length: n }, () => pick(random, [...of])).join('');
const fill = (random: Random, form: string): string =>
  form.replace(/[#Aa*^]/g, (one) =>
    one === '#'
      ? digits(random, 1)
      : one === '^'
        ? String(2 + Math.floor(random() * 8))
        : letters(random, 1, one === 'A' ? LOWER.toUpperCase() : one === 'a' ? LOWER : ALL),
  );

/** With the digit that makes the sum right: an own computation, digit by digit from the right. */
function withLuhn(begin: string): string {
  for (let check = 0; ; check++) {
    let sum = 0;
    [...begin, String(check)].reverse().forEach((one, i) => {
      const doubled = Number(one) * (i % 2 === 1 ? 2 : 1);
      sum += Math.floor(doubled / 10) + (doubled % 10);
    });
    if (sum % 10 === 0) return begin + check;
  }
}

/** With the two digits that make the remainder 1, by whole numbers of any length. */
function withMod97(country: string, account: string): string {
  const numbers = [...`${account}${country}00`].map((one) => parseInt(one, 36)).join('');
  return `${country}${String(98n - (BigInt(numbers) % 97n)).padStart(2, '0')}${account}`;
}

const grouped = (text: string, sizes: readonly number[], by: string): string => {
  const out: string[] = [];
  let at = 0;
  for (let i = 0; at < text.length; i++) {
    const size = sizes[Math.min(i, sizes.length - 1)];
    out.push(text.slice(at, at + size));
    at += size;
  }
  return out.join(by);
};

const NAMES = ['ada.lovelace', 'bob', 'j.o-hara', 'marie_curie', 'x2', 'first.last+news', "o'neil"];
const DOMAINS = ['example.org', 'mail.example.co.uk', 'firma-nord.de', 'uni.example.edu', 'a1.io', 'münchen.example'];

export const MAKE: Record<string, (random: Random) => string> = {
  email: (random) => `${pick(random, NAMES)}${pick(random, ['', digits(random, 2)])}@${pick(random, DOMAINS)}`,
  phone: (random) =>
    fill(
      random,
      pick(random, [
        '+1 ^## ^##-####',
        '+1-^##-^##-####',
        '(^##) ^##-####',
        '^##-^##-####',
        '^##.^##.####',
        '+44 20 #### ####',
        '020 #### ####',
        '+49 30 ######',
        '+49 (0)89 ######-##',
        '030 ######-##',
        '+33 1 ## ## ## ##',
        '06 ## ## ## ##',
        '+81 3-####-####',
        '+91 ^#### #####',
        '0049 171 #######',
        '+4917########',
      ]),
    ),
  card(random) {
    const [begin, length, sizes] = pick(random, [
      ['4', 16, [4]],
      ['52', 16, [4]],
      ['2345', 16, [4]],
      ['37', 15, [4, 6, 5]],
      ['6011', 16, [4]],
      ['36', 14, [4, 6, 4]],
      ['3530', 16, [4]],
      ['62', 16, [4]],
    ] as const);
    const number = withLuhn(begin + digits(random, length - begin.length - 1));
    return grouped(number, sizes, pick(random, ['', ' ', '-']));
  },
  iban(random) {
    const [country, form] = pick(random, [
      ['DE', '##################'],
      ['GB', 'AAAA##############'],
      ['FR', '####################A##'],
      ['NL', 'AAAA##########'],
      ['ES', '####################'],
      ['CH', '#################'],
      ['NO', '###########'],
      ['PL', '########################'],
    ] as const);
    const iban = withMod97(country, fill(random, form));
    return pick(random, [iban, grouped(iban, [4], ' '), iban.toLowerCase()]);
  },
  key: (random) =>
    pick(random, [
      () => `sk-${letters(random, 40)}`,
      () => `sk-proj-${letters(random, 60)}`,
      () => `ghp_${letters(random, 36)}`,
      () => `github_pat_${letters(random, 60)}`,
      () => `AKIA${letters(random, 16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}`,
      () => `AIza${letters(random, 35)}`,
      () => `xoxb-${digits(random, 12)}-${letters(random, 24)}`,
      () => `hf_${letters(random, 34)}`,
      () => `eyJ${letters(random, 30)}.eyJ${letters(random, 60)}.${letters(random, 43)}`,
      () => `glpat-${letters(random, 20)}`,
      () =>
        `-----BEGIN RSA PRIVATE KEY-----\n${letters(random, 64)}\n${letters(random, 50)}\n-----END RSA PRIVATE KEY-----`,
    ])(),
  secret: (random) =>
    pick(random, [
      () => `${letters(random, 8, LOWER)}${digits(random, 2)}!`,
      () => letters(random, 14) + digits(random, 1) + letters(random, 1, LOWER),
      () => `${letters(random, 5, LOWER)}-${letters(random, 5, LOWER)}-${digits(random, 3)}`,
      () => `P@ss${letters(random, 6)}`,
    ])(),
  ip: (random) =>
    pick(random, [
      () =>
        ['10', '192', '203', '85'][Math.floor(random() * 4)] +
        Array.from({ length: 3 }, () => `.${Math.floor(random() * 255)}`).join(''),
      () => Array.from({ length: 8 }, () => (4096 + Math.floor(random() * 61_000)).toString(16)).join(':'),
      () => `2001:db8::${Math.floor(random() * 65_000).toString(16)}`,
      () => `fe80::${Array.from({ length: 4 }, () => (1 + Math.floor(random() * 65_000)).toString(16)).join(':')}`,
    ])(),
  term: (random) => {
    const term = pick(random, TERMS);
    return pick(random, [term, term.toLowerCase(), term.toUpperCase(), term.replace(' ', '\n')]);
  },
};

/** What stands around an item of each kind; a password is told by the words before it alone. */
const AROUND: Record<string, readonly string[]> = {
  email: ['Write to % today', 'mailto:%', '<%>', 'cc: %, please', '"%"', 'My address is %.'],
  phone: ['Call me at %.', 'phone: %', 'Tel. % (office)', 'My mobile is %, thanks', '%', 'number: %'],
  card: ['Card %.', 'Pay with % 12/27', 'card number %, CVC 123', '"%"', 'It is % and it expires soon'],
  iban: ['IBAN %.', 'Send it to % today', 'account: %', '(%)', 'to %, please'],
  key: ['OPENAI_KEY=%', 'token: %', '"%"', 'Use % for that', 'export K="%"'],
  secret: [
    'password: %',
    'My password is %',
    'pwd=%',
    'the api key: "%"',
    '"client_secret": "%"',
    'Das Passwort lautet %',
  ],
  ip: ['from % at night', 'host %, port 22', 'ping %', '[%]', 'http://%/ is down'],
  term: ['about %.', 'the plan of % is late', '"%"', '% said so'],
};

/** They look private and are not. */
const NEGATIVES: readonly ((random: Random) => string)[] = [
  (random) => `on 202${digits(random, 1)}-0${1 + Math.floor(random() * 9)}-1${digits(random, 1)} at 12:30:45`,
  (random) => `due 0${1 + Math.floor(random() * 9)}/11/2026, or 24.12.2026`,
  (random) =>
    `version ${1 + Math.floor(random() * 9)}.${digits(random, 1)}.${digits(random, 1)}.${digits(random, 2)} is out`,
  (random) => `commit ${letters(random, 40, '0123456789abcdef')}`,
  (random) => `id ${[8, 4, 4, 4, 12].map((n) => letters(random, n, '0123456789abcdef')).join('-')}`,
  (random) => `order ${1 + Math.floor(random() * 8)}${digits(random, 15)} was sent`,
  (random) => `timestamp 17${digits(random, 11)}`,
  (random) => `tracking 1Z${digits(random, 16)}`,
  (random) => `ISBN 978-3-16-${digits(random, 6)}-${digits(random, 1)}`,
  (random) => `the icon@2x.png file, and @types/node@2${digits(random, 1)}`,
  (random) => `GB${digits(random, 2)} is a plate, DE${digits(random, 20)} none`,
  () => 'the password is required, and token: string stays',
  (random) => `π is 3.14159265358979, e is 2.718281828${digits(random, 4)}`,
  (random) => `MAC 00:1b:44:11:3a:b${digits(random, 1)}, at 10:15:30`,
  (random) => `it costs 1,299,${digits(random, 3)}.00 or ${1 + Math.floor(random() * 9)} 000 000`,
  (random) => `invoice 2026-${digits(random, 6)}, page 12-34`,
  () => 'std::vector<int> and a::b at 127.0.0.1',
  (random) => `rows ${digits(random, 4)} ${digits(random, 4)} ${digits(random, 4)} ${digits(random, 4)} of the table`,
  () => 'the falcon project, and Lovelace alone',
  (random) => `lot ${digits(random, 3)}-${digits(random, 7)}-${digits(random, 7)}`,
];

const WORDS = 'the model answers when a user asks what is next and then it goes on with some other words'.split(' ');
const words = (random: Random): string =>
  Array.from({ length: 3 + Math.floor(random() * 12) }, () => pick(random, WORDS)).join(' ');

/** Two to five items or negatives among words. */
export function makePrivateText(seed: number): PrivateText {
  const random = seeded(seed);
  const items: PrivateText['items'] = [];
  const kinds = Object.keys(MAKE);
  const parts = Array.from({ length: 2 + Math.floor(random() * 4) }, () => {
    if (random() < 0.45) return pick(random, NEGATIVES)(random);
    const kind = pick(random, kinds);
    const value = MAKE[kind](random);
    items.push({ kind, value });
    return pick(random, AROUND[kind]).replace('%', () => value);
  });
  return { text: parts.map((part) => `${words(random)} ${part}`).join(pick(random, ['. ', '\n', ' ; '])), items };
}
