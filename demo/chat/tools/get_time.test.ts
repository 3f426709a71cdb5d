import { expect, test } from 'vitest';
import { wallClock, zoneOf } from './cities';
import { getTime } from './get_time';
import { memoryHost } from './memory_host';

test.each<[string, string]>([
  ['Paris', 'Europe/Paris'],
  ['new york', 'America/New_York'],
  ['New-York', 'America/New_York'],
  ['Munich', 'Europe/Berlin'],
  ['München', 'Europe/Berlin'],
  ['Mumbai', 'Asia/Calcutta'],
  ['San Francisco', 'America/Los_Angeles'],
  ['Beijing', 'Asia/Shanghai'],
  ['Washington, D.C.', 'America/New_York'],
  ['Washington', 'America/New_York'],
  ['Barcelona', 'Europe/Madrid'],
  ['Cape Town', 'Africa/Johannesburg'],
  ['Buenos Aires', 'America/Argentina/Buenos_Aires'],
  ['São Paulo', 'America/Sao_Paulo'],
  ['Boston, USA', 'America/New_York'],
  ['Kyiv', 'Europe/Kiev'],
  ['Los Angeles', 'America/Los_Angeles'],
  ['Mexico City', 'America/Mexico_City'],
  ['Kathmandu', 'Asia/Katmandu'],
  ['  TOKYO ', 'Asia/Tokyo'],
  ['Europe/Rome', 'Europe/Rome'],
])('%s is in %s', (city, zone) => expect(zoneOf(city)).toBe(zone));

test.each([
  'Atlantis',
  '',
  '__proto__',
  'constructor',
  'toString',
  'x'.repeat(10_000),
  'Mars/Crater',
  '../etc',
  'a/b/c',
])('%s is not known', (city) => expect(zoneOf(city)).toBeUndefined());

test('every city of the table names a zone that this browser has', () => {
  // all cities that the demo model was trained on are known
  for (const city of 'Paris,London,Tokyo,Berlin,Madrid,New York,Cairo,Rome,Oslo,Lima,Delhi,Vienna,Prague,Nairobi,Lisbon,Toronto,Athens,Warsaw,Dublin,Boston,Chicago,Sydney,Mumbai,Seoul,Hamburg,Munich,Milan,Geneva,Zurich,Kyoto,Havana,Bogota,San Francisco,Los Angeles,Buenos Aires,Cape Town,Hong Kong,Stockholm,Budapest'.split(
    ',',
  ))
    expect(() => wallClock(0, zoneOf(city)!), city).not.toThrow();
});

const at = (utc: string) => memoryHost(Date.parse(utc));

test.each<[string, string, string]>([
  ['Paris', '2025-03-04T11:00:00Z', 'It is 12:00 in Paris, the same time as yours.'],
  ['New York', '2025-03-04T11:00:00Z', 'It is 06:00 in New York, 6 hours behind you.'],
  ['Tokyo', '2025-03-04T20:30:00Z', 'It is 05:30 tomorrow in Tokyo, 8 hours ahead of you.'],
  ['Los Angeles', '2025-03-04T01:00:00Z', 'It is 17:00 yesterday in Los Angeles, 9 hours behind you.'],
  ['Mumbai', '2025-03-04T11:00:00Z', 'It is 16:30 in Mumbai, 4 hours 30 minutes ahead of you.'],
  ['London', '2025-07-04T23:30:00Z', 'It is 00:30 in London, 1 hour behind you.'],
])('the time in %s at %s', (city, utc, summary) => expect(getTime.run({ city }, at(utc))).toMatchObject({ summary }));

test('the model gets time, date and difference', () =>
  expect(getTime.run({ city: 'Tokyo' }, at('2025-12-31T20:30:00Z'))).toEqual({
    value: {
      city: 'Tokyo',
      time: '05:30',
      date: '2026-01-01',
      weekday: 'Thursday',
      day: 'tomorrow',
      difference: '8 hours ahead of you',
      timeZone: 'Asia/Tokyo',
    },
    brief: '05:30',
    summary: 'It is 05:30 tomorrow in Tokyo, 8 hours ahead of you.',
  }));

test('an unknown city is told', () =>
  expect(() => getTime.run({ city: 'Gasthullq' }, memoryHost())).toThrow(
    'The time in Gasthullq is not known here. Name a larger city in the same time zone.',
  ));
