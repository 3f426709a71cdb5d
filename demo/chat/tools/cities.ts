/**
 * City → time zone, from the names that the browser's own zone list has, and a few well-known cities that name no zone.
 */

/** zone, then cities that are in it and name no zone of their own */
const OTHERS: Record<string, string> = {
  'Europe/Berlin':
    'munich,münchen,hamburg,cologne,köln,frankfurt,stuttgart,düsseldorf,leipzig,dresden,hanover,hannover,nuremberg,nürnberg,bremen,germany,deutschland',
  'Europe/Zurich': 'zürich,geneva,genf,basel,bern,lausanne,switzerland',
  'Europe/Vienna': 'wien,salzburg,graz,innsbruck,linz,austria',
  'Europe/Rome':
    'rom,roma,milan,mailand,milano,naples,neapel,napoli,turin,florence,florenz,firenze,venice,venedig,venezia,bologna,palermo,italy',
  'Europe/Madrid': 'barcelona,seville,sevilla,valencia,bilbao,malaga,málaga,granada,spain',
  'Europe/Paris': 'marseille,lyon,nice,nizza,toulouse,bordeaux,lille,strasbourg,straßburg,france',
  'Europe/London':
    'manchester,birmingham,liverpool,edinburgh,glasgow,cardiff,belfast,bristol,leeds,oxford,cambridge,england,scotland,uk',
  'Europe/Dublin': 'cork,galway,ireland',
  'Europe/Brussels': 'brüssel,bruxelles,antwerp,antwerpen,bruges,brügge,ghent,gent,belgium',
  'Europe/Amsterdam': 'rotterdam,the hague,den haag,utrecht,eindhoven,netherlands',
  'Europe/Lisbon': 'lissabon,lisboa,porto,portugal',
  'Europe/Warsaw': 'warschau,krakow,kraków,krakau,gdansk,danzig,wroclaw,breslau,poznan,posen,poland',
  'Europe/Prague': 'prag,praha,brno,brünn',
  'Europe/Athens': 'athen,thessaloniki,greece',
  'Europe/Copenhagen': 'kopenhagen,aarhus,denmark',
  'Europe/Oslo': 'bergen,trondheim,norway',
  'Europe/Stockholm': 'gothenburg,göteborg,malmö,sweden',
  'Europe/Helsinki': 'tampere,turku,finland',
  'Europe/Moscow': 'moskau,saint petersburg,st petersburg,sankt petersburg',
  'Europe/Kiev': 'kyiv,kiew,lviv,odesa,odessa,ukraine',
  'Europe/Bucharest': 'bukarest,romania',
  'Europe/Belgrade': 'belgrad',
  'Europe/Istanbul': 'ankara,izmir,turkey',
  'Atlantic/Reykjavik': 'iceland',
  'Africa/Cairo': 'kairo,alexandria,egypt',
  'Africa/Johannesburg': 'cape town,kapstadt,pretoria,durban,south africa',
  'Africa/Lagos': 'abuja',
  'Africa/Casablanca': 'marrakesh,marrakech,rabat,morocco',
  'Asia/Calcutta':
    'kolkata,mumbai,bombay,delhi,new delhi,bangalore,bengaluru,chennai,madras,hyderabad,pune,ahmedabad,india',
  'Asia/Shanghai': 'beijing,peking,shenzhen,guangzhou,chengdu,wuhan,hangzhou,china',
  'Asia/Tokyo': 'tokio,osaka,kyoto,yokohama,nagoya,sapporo,hiroshima,japan',
  'Asia/Seoul': 'busan,incheon,south korea',
  'Asia/Saigon': 'ho chi minh city,hanoi,da nang,vietnam',
  'Asia/Bangkok': 'phuket,chiang mai,thailand',
  'Asia/Jakarta': 'bandung',
  'Asia/Makassar': 'bali,denpasar',
  'Asia/Dubai': 'abu dhabi,sharjah',
  'Asia/Riyadh': 'mecca,mekka,jeddah,medina',
  'Asia/Jerusalem': 'tel aviv,haifa,israel',
  'Asia/Qatar': 'doha',
  'Asia/Rangoon': 'yangon',
  'Asia/Katmandu': 'kathmandu,nepal',
  'Asia/Karachi': 'lahore,islamabad,pakistan',
  'Asia/Tehran': 'teheran',
  'Asia/Ulaanbaatar': 'ulan bator',
  'Asia/Macau': 'macao',
  'Asia/Colombo': 'sri lanka',
  'Asia/Almaty': 'astana',
  'Australia/Sydney': 'canberra,newcastle',
  'Australia/Brisbane': 'gold coast,cairns',
  'Pacific/Auckland': 'wellington,christchurch,new zealand',
  'Pacific/Honolulu': 'hawaii',
  'America/New_York':
    'washington,washington dc,washington d c,boston,philadelphia,miami,atlanta,orlando,pittsburgh,baltimore,cleveland,charlotte,nyc,new york city',
  'America/Chicago':
    'houston,dallas,austin,san antonio,new orleans,minneapolis,milwaukee,nashville,memphis,kansas city,st louis',
  'America/Denver': 'salt lake city,albuquerque,el paso',
  'America/Phoenix': 'tucson',
  'America/Los_Angeles':
    'san francisco,san diego,san jose,seattle,las vegas,portland,sacramento,la,oakland,palo alto,silicon valley',
  'America/Toronto': 'montreal,montréal,ottawa,quebec',
  'America/Edmonton': 'calgary',
  'America/Vancouver': 'victoria',
  'America/Mexico_City': 'guadalajara,puebla',
  'America/Sao_Paulo': 'são paulo,rio de janeiro,rio,brasilia,brasília',
  'America/Argentina/Buenos_Aires': 'buenos aires,argentina',
  'America/Bogota': 'medellin,medellín,cali',
  'America/Guayaquil': 'quito',
  'America/Santiago': 'valparaiso,valparaíso,chile',
  'America/Havana': 'havanna',
  'America/Lima': 'cusco,cuzco,peru',
  UTC: 'gmt,utc',
};

const folded = (name: string): string =>
  name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replaceAll('ß', 'ss')
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

let byName: Map<string, string> | undefined;

function table(): Map<string, string> {
  if (byName) return byName;
  byName = new Map();
  // older browsers have no list: the hand-made table and full zone names are left
  const zones = typeof Intl.supportedValuesOf === 'function' ? Intl.supportedValuesOf('timeZone') : [];
  for (const zone of zones) byName.set(folded(zone.split('/').at(-1)!), zone);
  for (const [zone, cities] of Object.entries(OTHERS)) {
    byName.set(folded(zone.split('/').at(-1)!), zone);
    for (const city of cities.split(',')) byName.set(folded(city), zone);
  }
  return byName;
}

/** The IANA zone of a city, of 'City, Country', or of a zone's own name; undefined if it is not known here. */
export function zoneOf(city: string): string | undefined {
  if (city.length > 100) return undefined;
  const names = table();
  const short = folded(city.split(',')[0]).replace(/^(?:the )?city of /, '');
  const found = names.get(folded(city)) ?? names.get(short) ?? names.get(short.replace(/ city$/, ''));
  if (found) return found;
  if (!/^[A-Za-z]+(?:[/_+-][A-Za-z0-9]+)*$/.test(city.trim()) || !city.includes('/')) return undefined;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: city.trim() }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/** Wall-clock time of a zone, as the milliseconds that UTC would have then. */
export function wallClock(now: number, timeZone: string): number {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(now);
  const part = (type: string): number => Number(parts.find((each) => each.type === type)!.value);
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
}
