/** Units of measure by every name they are commonly written with, in English and German. */

export type Quantity = 'length' | 'mass' | 'temperature' | 'volume' | 'area' | 'speed' | 'time' | 'data';

export interface Unit {
  quantity: Quantity;
  /** for the person, in the plural: 'kilometres' */
  name: string;
  /** how many of the quantity's base unit it is */
  factor: number;
  /** added after the factor, of temperatures */
  offset?: number;
}

const SI: [string, string, number][] = [
  ['kilo', 'k', 1e3],
  ['deci', 'd', 0.1],
  ['centi', 'c', 0.01],
  ['milli', 'm', 1e-3],
  ['micro', 'µ', 1e-6],
  ['nano', 'n', 1e-9],
];

/** name in the plural | factor | other names; '=' before a name keeps its capitals */
const TABLE: Record<Quantity, string[]> = {
  length: [
    'metres|1|m,mtr',
    'inches|0.0254|inch,in,",″,zoll',
    "feet|0.3048|foot,ft,',′,fuß,fuss",
    'yards|0.9144|yd',
    'miles|1609.344|mi,meile,meilen',
    'nautical miles|1852|nmi,seemeile,seemeilen',
  ],
  mass: [
    'grams|0.001|g,gr,gramm',
    'metric tons|1000|tonne,ton,t',
    'short tons|907.18474|us ton',
    'long tons|1016.0469088|imperial ton',
    'pounds|0.45359237|lb,lbs,pfund',
    'ounces|0.028349523125|oz,unze,unzen',
    'stone|6.35029318|stones,st',
    'carats|0.0002|ct,karat',
  ],
  temperature: [
    '°C|1|celsius,c,degrees celsius,deg c,grad celsius,grad,centigrade',
    '°F|0.5555555555555556|fahrenheit,f,degrees fahrenheit,deg f,grad fahrenheit',
    'kelvins|1|k,kelvin',
  ],
  volume: [
    'litres|1|l',
    'cubic metres|1000|m3,cubic m,kubikmeter',
    'cubic centimetres|0.001|cm3,cc,cubic cm',
    'US gallons|3.785411784|gallon,gal,gallone,gallonen',
    'imperial gallons|4.54609|uk gallon',
    'US quarts|0.946352946|quart,qt',
    'US pints|0.473176473|pint,pt',
    'imperial pints|0.56826125|uk pint',
    'US cups|0.2365882365|cup,tasse,tassen',
    'US fluid ounces|0.0295735295625|fluid ounce,fl oz,floz',
    'tablespoons|0.01478676478125|tbsp,esslöffel',
    'teaspoons|0.00492892159375|tsp,teelöffel',
    'cubic feet|28.316846592|cubic foot,ft3,cu ft',
    'cubic inches|0.016387064|cubic inch,in3,cu in',
    'barrels|158.987294928|barrel,bbl',
  ],
  area: [
    'square metres|1|sq m,m2,sqm,quadratmeter',
    'square kilometres|1e6|sq km,km2,quadratkilometer',
    'square centimetres|1e-4|sq cm,cm2,quadratzentimeter',
    'square millimetres|1e-6|sq mm,mm2',
    'hectares|10000|ha,hektar',
    'acres|4046.8564224|ac',
    'square feet|0.09290304|square foot,sq ft,ft2,sqft',
    'square inches|0.00064516|square inch,sq in,in2',
    'square yards|0.83612736|sq yd,yd2',
    'square miles|2589988.110336|sq mi,mi2',
  ],
  speed: [
    'metres per second|1|m/s,mps',
    'kilometres per hour|0.2777777777777778|km/h,kph,kmh,kmph,kilometer pro stunde,stundenkilometer',
    'miles per hour|0.44704|mph,mi/h,meilen pro stunde',
    'knots|0.5144444444444445|kn,kt,knoten',
    'feet per second|0.3048|ft/s,fps',
    'mach|340.29|ma',
  ],
  time: [
    'seconds|1|s,sec,sekunde,sekunden',
    'milliseconds|0.001|ms,millisekunde,millisekunden',
    'minutes|60|min,minute,minuten',
    'hours|3600|h,hr,stunde,stunden,std',
    'days|86400|d,tag,tage,tagen',
    'weeks|604800|wk,woche,wochen',
    'months|2629746|month,monat,monate',
    'years|31556952|yr,jahr,jahre',
  ],
  data: [
    'bytes|1|=B',
    'kilobytes|1e3|kb',
    'megabytes|1e6|mb',
    'gigabytes|1e9|gb',
    'terabytes|1e12|tb',
    'petabytes|1e15|pb',
    'kibibytes|1024|kib',
    'mebibytes|1048576|mib',
    'gibibytes|1073741824|gib',
    'tebibytes|1099511627776|tib',
    'bits|0.125|=b',
    'kilobits|125|=Kb,=kbit,kbit',
    'megabits|125e3|=Mb,mbit',
    'gigabits|125e6|=Gb,gbit',
    'terabits|125e9|=Tb,tbit',
  ],
};
const OFFSETS: Record<string, number> = { '°C': 273.15, '°F': 459.67 / 1.8 };

/** One spelling for many: 'Square Metres', 'sq. metres' and 'square meter' are the same. */
const fold = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/[.\s_]+/g, ' ')
    .replace(/°\s*/g, '')
    .replaceAll('²', '2')
    .replaceAll('³', '3')
    .replaceAll('μ', 'µ')
    .replace(/\b(kilo|centi|milli|deci|micro|nano)?(met|lit)re/g, '$1$2er')
    .replace(
      /^(kilo|zenti|milli|dezi|mikro|nano)(gramm|meter|liter)$/,
      (_, prefix: string, base: string) =>
        prefix.replace('zenti', 'centi').replace('dezi', 'deci').replace('mikro', 'micro') +
        base.replace('gramm', 'gram'),
    )
    .replace(/^squared? /, 'square ')
    .trim();

const NAMES = new Map<string, Unit>();
/** names whose capitals tell units apart, such as b and B */
const EXACT = new Map<string, Unit>();

function enter(unit: Unit, others: readonly string[]): void {
  for (const given of [unit.name, ...others]) {
    if (given.startsWith('=')) EXACT.set(given.slice(1), unit);
    const name = fold(given.replace(/^=/, ''));
    if (!NAMES.has(name)) NAMES.set(name, unit);
    if (given === unit.name && /[^s]s$/.test(name) && !NAMES.has(name.slice(0, -1))) NAMES.set(name.slice(0, -1), unit);
  }
}

for (const [quantity, rows] of Object.entries(TABLE) as [Quantity, string[]][]) {
  for (const row of rows) {
    const [name, factor, others] = row.split('|');
    enter({ quantity, name, factor: Number(factor), offset: OFFSETS[name] }, others.split(','));
  }
}
for (const [prefix, short, scale] of SI) {
  enter({ quantity: 'length', name: `${prefix}metres`, factor: scale }, [`${short}m`]);
  enter({ quantity: 'mass', name: `${prefix}grams`, factor: scale / 1000 }, [
    `${short}g`,
    ...(prefix === 'kilo' ? ['kilo', 'kilos'] : []),
  ]);
  enter({ quantity: 'volume', name: `${prefix}litres`, factor: scale }, [`${short}l`]);
}

export function findUnit(given: string): Unit | undefined {
  if (given.length > 60) return undefined;
  const exact = EXACT.get(given.trim());
  if (exact) return exact;
  const name = fold(given);
  const short = [
    name,
    name.replace(/s$/, ''),
    name.replace(/es$/, ''),
    name.replace(/ per hour$/, '/h').replace(/ per second$/, '/s'),
  ];
  return short.map((form) => NAMES.get(form)).find(Boolean);
}

/** Between units of one quantity. */
export function convert(value: number, source: Unit, target: Unit): number {
  if (source.quantity !== 'temperature') return (value * source.factor) / target.factor;
  return (value * source.factor + (source.offset ?? 0) - (target.offset ?? 0)) / target.factor;
}

/** below absolute zero */
export const impossible = (value: number, unit: Unit): boolean =>
  unit.quantity === 'temperature' && value * unit.factor + (unit.offset ?? 0) < -1e-9;
