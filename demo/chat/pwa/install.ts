/** The button that installs the page as an app, in browsers that offer it. */
interface InstallEvent extends Event {
  prompt(): Promise<unknown>;
}

let offered: InstallEvent | undefined;
const buttons = new Set<HTMLButtonElement>();

function offer(event: InstallEvent | undefined): void {
  offered = event;
  for (const button of buttons) button.hidden = !offered;
}

// the browser says it once, soon after the page has loaded
if (typeof window !== 'undefined') {
  window.addEventListener('beforeinstallprompt', (event) => {
    event.preventDefault();
    offer(event as InstallEvent);
  });
  window.addEventListener('appinstalled', () => offer(undefined));
}

/** The button is hidden while the browser offers no installation. */
export function bindInstallButton(button: HTMLButtonElement): void {
  button.addEventListener('click', () => {
    void offered?.prompt();
    // an offer can be used once; the browser makes a new one if the user declines
    offer(undefined);
  });
  buttons.add(button);
  button.hidden = !offered;
}
