/** The box for what failed: the cure, and buttons for the ways out. */
import type { EstimateOptions } from '../../src/index';
import { find } from './dom';
import { explain, explained, type Explanation } from './explain';

export interface ErrorBox {
  /**
   * @param retry does again what has failed
   * @param instead stands in place of the error's own explanation
   */
  show(error: unknown, retry: () => void, instead?: Explanation): void;
  /** Shows a problem that has no other way out than the models. */
  tell(problem: Explanation): void;
  hide(): void;
}

export interface ErrorBoxParts {
  /** the backend that was asked for */
  backend(): EstimateOptions['backend'];
  useCpu(): void;
  newChat(): void;
}

export function createErrorBox({ backend, useCpu, newChat }: ErrorBoxParts): ErrorBox {
  const section = find('error', HTMLElement);
  const button = (id: string, shown: boolean, act: () => void): HTMLButtonElement => {
    const found = find(id, HTMLButtonElement);
    found.hidden = !shown;
    found.onclick = () => {
      section.hidden = true;
      act();
    };
    return found;
  };
  const write = (explanation: Explanation): void => {
    find('error-title', HTMLElement).textContent = explanation.title;
    find('error-text', HTMLElement).replaceChildren(...explained(explanation));
  };
  return {
    tell(problem) {
      write(problem);
      for (const id of ['error-retry', 'error-cpu', 'error-new-chat']) button(id, false, () => undefined);
      section.role = 'alert';
      section.classList.remove('calm');
      section.hidden = false;
      section.scrollIntoView({ block: 'nearest' });
    },
    show(error, retry, instead) {
      const name = error instanceof Error ? error.name : '';
      const asked = backend() ?? 'auto';
      write(instead ?? explain(error, asked));
      button('error-retry', name !== 'ContextError', retry);
      button('error-cpu', name === 'DeviceError' && asked === 'webgpu', useCpu);
      button('error-new-chat', name === 'ContextError', newChat);
      const calm = name === 'AbortError';
      section.role = calm ? 'status' : 'alert';
      section.classList.toggle('calm', calm);
      section.hidden = false;
      section.scrollIntoView({ block: 'nearest' });
    },
    hide: () => void (section.hidden = true),
  };
}
