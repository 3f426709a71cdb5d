/** The formats of JSON Schema that are enforced, as regular expressions for the whole text. */

const YEAR_MONTH_DAY =
  String.raw`(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))` +
  String.raw`|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)`;
const OFFSET = String.raw`([zZ]|[+-]([01]\d|2[0-3]):[0-5]\d)`;
const TIME = String.raw`([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?${OFFSET}`;

const LABEL = '[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const HOST = String.raw`${LABEL}(\.${LABEL})*`;

const BYTE = String.raw`(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
const IPV4 = String.raw`${BYTE}(\.${BYTE}){3}`;
const H16 = '[0-9a-fA-F]{1,4}';
const LS32 = `(${H16}:${H16}|${IPV4})`;
const IPV6 = `(${[
  `(${H16}:){6}${LS32}`,
  `::(${H16}:){5}${LS32}`,
  `(${H16})?::(${H16}:){4}${LS32}`,
  `((${H16}:){0,1}${H16})?::(${H16}:){3}${LS32}`,
  `((${H16}:){0,2}${H16})?::(${H16}:){2}${LS32}`,
  `((${H16}:){0,3}${H16})?::${H16}:${LS32}`,
  `((${H16}:){0,4}${H16})?::${LS32}`,
  `((${H16}:){0,5}${H16})?::${H16}`,
  `((${H16}:){0,6}${H16})?::`,
].join('|')})`;

const ATEXT = String.raw`[a-zA-Z0-9!#$%&'*+/=?^_\`{|}~-]+`;

// RFC 3986, appendix A
const UNRESERVED = String.raw`a-zA-Z0-9\-._~`;
const SUB = String.raw`!$&'()*+,;=`;
const ESCAPED = '%[0-9a-fA-F]{2}';
const PCHAR = `([${UNRESERVED}${SUB}:@]|${ESCAPED})`;
const AUTHORITY =
  `(([${UNRESERVED}${SUB}:]|${ESCAPED})*@)?` +
  String.raw`(\[(${IPV6}|[vV][0-9a-fA-F]+\.[${UNRESERVED}${SUB}:]+)\]|([${UNRESERVED}${SUB}]|${ESCAPED})*)(:\d*)?`;
const TAIL = String.raw`(\?(${PCHAR}|[/?])*)?(#(${PCHAR}|[/?])*)?`;
const HIER = `(//${AUTHORITY}(/${PCHAR}*)*|/(${PCHAR}+(/${PCHAR}*)*)?|${PCHAR}+(/${PCHAR}*)*|)`;
const NO_COLON = `([${UNRESERVED}${SUB}@]|${ESCAPED})`;
const RELATIVE = `(//${AUTHORITY}(/${PCHAR}*)*|/(${PCHAR}+(/${PCHAR}*)*)?|${NO_COLON}+(/${PCHAR}*)*|)`;
const URI = `[a-zA-Z][a-zA-Z0-9+.-]*:${HIER}${TAIL}`;

const POINTER = '(/([^~/]|~[01])*)*';

export const FORMATS: Readonly<Record<string, string>> = {
  date: YEAR_MONTH_DAY,
  time: TIME,
  'date-time': `${YEAR_MONTH_DAY}[tT]${TIME}`,
  duration:
    String.raw`P(\d+W|(\d+Y(\d+M(\d+D)?)?|\d+M(\d+D)?|\d+D)(T(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S))?` +
    String.raw`|T(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S))`,
  email: String.raw`${ATEXT}(\.${ATEXT})*@${HOST}`,
  hostname: `(?=.{1,253}$)${HOST}`,
  ipv4: IPV4,
  ipv6: IPV6,
  uuid: '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}',
  uri: URI,
  'uri-reference': `(${URI}|${RELATIVE}${TAIL})`,
  'json-pointer': POINTER,
  'relative-json-pointer': `(0|[1-9][0-9]*)(#|${POINTER})`,
};

/** Formats of the specification that are not enforced. Others are annotations. */
export const OTHER_FORMATS: readonly string[] = [
  'idn-email',
  'idn-hostname',
  'iri',
  'iri-reference',
  'uri-template',
  'regex',
];
