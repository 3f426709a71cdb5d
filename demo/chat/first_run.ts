/** What stands in an empty conversation, and the offer of a larger model under a reply of the demo model. */
import { element, find } from './dom';
import type { OfferReason } from './history';
import type { IconName } from './icon_names';
import { icon } from './icons';
import type { PageTool } from './tools/index';

/** The demo model acts rightly on each of these; a test asks it. */
const EXAMPLES: Record<string, IconName> = {
  'Set a timer for 10 minutes': 'timer',
  'What time is it in Tokyo?': 'clock',
  'Convert 12 miles to kilometres': 'ruler',
  'What is 17 * 23?': 'calculator',
  'Add call the dentist to my to-do list': 'list-checks',
  'Switch to dark mode': 'sun-moon',
};

export function createFirstRun(ask: (request: string) => void, choose: () => void): { show(empty: boolean, ready: boolean): void } {
  const section = find('first-run', HTMLElement);
  const buttons = Object.entries(EXAMPLES).map(([example, name]) => {
    const button = element('button', { type: 'button' }, icon(name), example);
    button.addEventListener('click', () => ask(example));
    return button;
  });
  find('first-run-examples', HTMLUListElement).append(...buttons.map((button) => element('li', {}, button)));
  find('first-run-choose', HTMLButtonElement).addEventListener('click', choose);
  return {
    show(empty, ready) {
      section.hidden = !empty;
      for (const button of buttons) button.disabled = !ready;
    },
  };
}

const lower = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

/** @param tools those that are switched on */
export function offerOf(reason: OfferReason, tools: readonly PageTool[], choose: () => void): HTMLElement {
  const button = element('button', { type: 'button', className: 'primary' }, 'Choose a larger model');
  button.ariaHasPopup = 'dialog';
  button.addEventListener('click', choose);
  const abilities = tools.map(({ definition }) => lower(definition.description)).join(', ');
  const misunderstood = [`${abilities ? `It can do this: ${abilities}.` : 'All its tools are switched off.'} A larger model understands more.`];
  const text = reason === 'misunderstood' ? misunderstood : ['The demo model cannot answer questions. A larger model can.'];
  return element('div', { className: 'offer' }, element('p', {}, ...text), button);
}
