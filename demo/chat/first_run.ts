/** What stands in an empty conversation, and the offer of a larger model under a reply of the demo model. */
import { element, find } from './dom';
import type { OfferReason } from './history';
import type { IconName } from './icon_names';
import { icon } from './icons';
import type { PageTool } from './tools/index';

/**
 * The demo model acts rightly on each of these; a test asks it. An example that would change nothing is hidden by the
 * style sheet.
 */
const EXAMPLES: [request: string, icon: IconName, shown?: 'in-light' | 'in-dark'][] = [
  ['Set a timer for 10 minutes', 'timer'],
  ['What time is it in Tokyo?', 'clock'],
  ['Convert 12 miles to kilometres', 'ruler'],
  ['What is 17 * 23?', 'calculator'],
  ['Add milk to my to-do list', 'list-checks'],
  ['Switch to dark mode', 'sun-moon', 'in-light'],
  ['Switch to light mode', 'sun-moon', 'in-dark'],
];

export interface FirstRun {
  /** @param other name of the model that answers, if it is not the demo model: then no larger one is offered */
  show(empty: boolean, ready: boolean, other?: string): void;
}

/** @param offer makes the offer of the recommended model */
export function createFirstRun(ask: (request: string) => void, offer: (intro: string) => HTMLElement): FirstRun {
  const section = find('first-run', HTMLElement);
  const intro = find('first-run-intro', HTMLElement);
  const ofDemo = intro.textContent;
  const buttons = EXAMPLES.map(([example, name, shown = '']) => {
    const button = element('button', { type: 'button' }, icon(name), example);
    button.addEventListener('click', () => ask(example));
    find('first-run-examples', HTMLUListElement).append(element('li', { className: shown }, button));
    return button;
  });
  const offered = offer(
    'The demo model knows only its tools. A larger model answers other questions and writes texts.',
  );
  offered.id = 'first-run-offer';
  section.append(offered);
  return {
    show(empty, ready, other) {
      section.hidden = !empty;
      offered.hidden = other !== undefined;
      intro.textContent =
        other === undefined
          ? ofDemo
          : `${other} answers here, and can use the tools of this page. Nothing that you write leaves this device.`;
      for (const button of buttons) button.disabled = !ready;
    },
  };
}

const lower = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

/**
 * @param tools those that are switched on
 * @param offer makes the offer of the recommended model
 */
export function offerOf(
  reason: OfferReason,
  tools: readonly PageTool[],
  offer: (intro: string) => HTMLElement,
): HTMLElement {
  if (reason === 'unanswered')
    return offer('The demo model knows only its tools. A larger model answers other questions, too.');
  const abilities = tools.map(({ definition }) => lower(definition.description)).join(', ');
  return offer(
    `${abilities ? `It can do this: ${abilities}.` : 'All its tools are switched off.'} A larger model understands more.`,
  );
}
