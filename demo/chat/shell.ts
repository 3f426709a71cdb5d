/**
 * The frame of the page: the side bar, the panel about the model, the footer with the message field, the way to the
 * latest message.
 */
import { find } from './dom';
import { keep, kept } from './history';

/** wide enough for two columns; the style sheet has the same figure */
const WIDE = '(min-width: 60rem)';

export function createShell(): void {
  createSidebar();
  createAboutPanel();
  growPrompt();
  measureFooter();
  createToLatest();
  for (const button of document.querySelectorAll<HTMLElement>('[data-opens]')) {
    button.addEventListener('click', () => document.getElementById(button.dataset.opens ?? '')?.click());
  }
}

/**
 * On a wide screen the toggle shows and hides the first column. On a narrow one it opens a drawer, and the page behind
 * rests.
 */
function createSidebar(): void {
  const sidebar = find('sidebar', HTMLElement);
  const toggle = find('sidebar-toggle', HTMLButtonElement);
  const page = find('page', HTMLElement);
  const wide = matchMedia(WIDE);
  const drawerOpen = (): boolean => sidebar.matches(':popover-open');
  const show = (): void => {
    const closed = document.body.classList.contains('sidebar-closed');
    toggle.ariaExpanded = String(wide.matches ? !closed : drawerOpen());
  };
  document.body.classList.toggle('sidebar-closed', kept('sidebar') === 'closed');

  toggle.addEventListener('click', () => {
    if (wide.matches) {
      const closed = document.body.classList.toggle('sidebar-closed');
      keep('sidebar', closed ? 'closed' : 'open');
      return show();
    }
    sidebar.showPopover();
    find('sidebar-close', HTMLButtonElement).focus();
  });
  find('sidebar-close', HTMLButtonElement).addEventListener('click', () => sidebar.hidePopover());
  // before the page's own listeners, which set the focus in the page
  sidebar.addEventListener(
    'click',
    ({ target }) => {
      if (drawerOpen() && target instanceof Element && target.closest('#new-chat, .conversation-open, [data-opens]'))
        sidebar.hidePopover();
    },
    { capture: true },
  );
  sidebar.addEventListener('beforetoggle', ({ newState }) => (page.inert = newState === 'open'));
  sidebar.addEventListener('toggle', ({ newState }) => {
    show();
    const { activeElement } = document;
    if (newState === 'closed' && (!activeElement || activeElement === document.body || sidebar.contains(activeElement)))
      toggle.focus();
  });
  wide.addEventListener('change', () => {
    if (drawerOpen()) sidebar.hidePopover();
    show();
  });
  show();
}

/** The panel under the word in the header closes as a menu does. */
function createAboutPanel(): void {
  const about = find('about', HTMLDetailsElement);
  document.addEventListener('click', ({ target }) => {
    if (about.open && target instanceof Node && !about.contains(target)) about.open = false;
  });
  about.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !about.open) return;
    event.stopPropagation();
    about.open = false;
    about.querySelector('summary')?.focus();
  });
}

/** The field grows with its text, also in browsers whose style sheets cannot ask for that. */
function growPrompt(): void {
  if (CSS.supports('field-sizing', 'content')) return;
  const prompt = find('prompt', HTMLTextAreaElement);
  const grow = (): void => {
    prompt.style.height = 'auto';
    prompt.style.height = `${prompt.scrollHeight}px`;
  };
  prompt.addEventListener('input', grow);
  // after the listener that empties it
  find('composer', HTMLFormElement).addEventListener('submit', () => requestAnimationFrame(grow));
}

/**
 * The footer covers the end of the page. It grows with downloads and long messages: what is scrolled to stands above
 * it.
 */
function measureFooter(): void {
  const [main, footer] = document.querySelectorAll<HTMLElement>('#page > :is(main, footer)');
  const [firstRun, error] = [find('first-run', HTMLElement), find('error', HTMLElement)];
  let before = 0;
  new ResizeObserver(() => {
    const height = footer.offsetHeight;
    document.documentElement.style.setProperty('--footer', `${height}px`);
    // the end of the conversation stays in sight; a first visit is read from its start
    const endSeen = main.getBoundingClientRect().bottom <= innerHeight - before + 1;
    if (before > 0 && height > before && endSeen && (firstRun.hidden || !error.hidden)) scrollBy(0, height - before);
    before = height;
  }).observe(footer);
}

/** A button that appears when the end of the conversation is out of sight. */
function createToLatest(): void {
  const button = find('to-latest', HTMLButtonElement);
  const firstRun = find('first-run', HTMLElement);
  const scroller = document.scrollingElement ?? document.documentElement;
  const show = (): void =>
    void (button.hidden = !firstRun.hidden || scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 240);
  addEventListener('scroll', show, { passive: true });
  addEventListener('resize', show);
  button.addEventListener('click', () => {
    scroller.scrollTo({ top: scroller.scrollHeight, behavior: 'smooth' });
    find('prompt', HTMLTextAreaElement).focus({ preventScroll: true });
  });
}
