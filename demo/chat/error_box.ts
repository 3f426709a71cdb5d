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
  return {
    show(error, retry, instead) {
      const name = error instanceof Error ? error.name : '';
      const asked = backend() ?? 'auto';
      const explanation = instead ?? explain(error, asked);
      find('error-title', HTMLElement).textContent = explanation.title;
      find('error-text', HTMLElement).replaceChildren(...explained(explanation));
      button('error-retry', name !== 'ContextError', retry).textContent = instead ? 'Resume' : 'Try again';
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
