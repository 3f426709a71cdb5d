import { shown } from './check_call';
import { wallClock, zoneOf } from './cities';
import { clock } from './times';
import { define, ToolError, type PageTool } from './tool';

const DAY = 86_400_000;
const minutesOf = (wall: number): number => Math.floor((wall % DAY) / 60_000);

/** '6 hours behind you', with halves of hours where there are some */
function difference(minutes: number): string {
  if (minutes === 0) return 'the same time as yours';
  const size = Math.abs(minutes);
  const [hours, rest] = [Math.floor(size / 60), size % 60];
  const parts = [hours ? `${hours} hour${hours === 1 ? '' : 's'}` : '', rest ? `${rest} minutes` : '']
    .filter(Boolean)
    .join(' ');
  return `${parts} ${minutes > 0 ? 'ahead of' : 'behind'} you`;
}

export const getTime: PageTool = {
  definition: define('get_time', 'Tell the time in a city', {
    city: { type: 'string', description: 'Name of the city' },
  }),
  title: 'World clock',
  icon: 'clock',
  changes: 'none',
  run({ city }, host) {
    const name = String(city).trim();
    const zone = zoneOf(name);
    if (!zone)
      throw new ToolError(
        `The time in ${shown(name).slice(1, -1)} is not known here. Name a larger city in the same time zone.`,
      );
    const now = host.now();
    const there = wallClock(now, zone);
    const here = wallClock(now, host.timeZone());
    const days = Math.floor(there / DAY) - Math.floor(here / DAY);
    const time = clock(minutesOf(there));
    const apart = difference(Math.round((there - here) / 60_000));
    const day = days === 0 ? '' : days > 0 ? ' tomorrow' : ' yesterday';
    const weekday = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', weekday: 'long' }).format(there);
    return {
      value: {
        city: name,
        time,
        date: new Date(there).toISOString().slice(0, 10),
        weekday,
        day: days === 0 ? 'today' : day.trim(),
        difference: apart,
        timeZone: zone,
      },
      brief: time,
      summary: `It is ${time}${day} in ${name}, ${apart}.`,
    };
  },
};
