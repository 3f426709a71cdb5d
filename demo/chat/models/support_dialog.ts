/** Shows the support report before anything leaves the page: then it can be copied or saved. */
import { version } from '../../../package.json';
import { listModels, type Model } from '../../../src/index';
import { element } from '../dom';
import { explain, seenErrors } from '../explain';
import { icon } from '../icons';
import type { Settings } from '../settings';
import { reportText, type ReportParts } from '../support_report';
import type { ReplyFigures } from './reply_meter';

interface NavigatorData {
  deviceMemory?: number;
  connection?: { saveData?: boolean };
  userAgentData?: { getHighEntropyValues(hints: string[]): Promise<unknown> };
}

/** some browsers never answer */
const within = <T>(ms: number, work: Promise<T>): Promise<T | undefined> =>
  Promise.race([work.catch(() => undefined), new Promise<undefined>((go) => setTimeout(go, ms, undefined))]);

async function gpu(): Promise<unknown> {
  const adapter = await within(2000, Promise.resolve(navigator.gpu?.requestAdapter()));
  if (!adapter) return undefined;
  const { vendor, architecture, device, description } = adapter.info;
  const limits: Record<string, number> = {};
  // the limits are properties of the prototype
  for (const name in adapter.limits) limits[name] = (adapter.limits as unknown as Record<string, number>)[name];
  return { vendor, architecture, device, description, features: [...adapter.features].sort(), limits };
}

async function storage(): Promise<ReportParts['storage']> {
  const { quota, usage } = (await within(2000, Promise.resolve(navigator.storage?.estimate?.()))) ?? {};
  const persisted = await within(2000, Promise.resolve(navigator.storage?.persisted?.()));
  try {
    const models = (await listModels()).map(({ id, bytes, storedBytes, complete, pinned }) => ({
      id,
      bytes,
      storedBytes,
      complete,
      pinned,
    }));
    return { quota, usage, persisted, models };
  } catch (error) {
    const { title, text } = explain(error);
    return { quota, usage, persisted, models: [], problem: `${title}. ${text}` };
  }
}

export interface SupportParts {
  model(): Model | undefined;
  settings(): Settings;
  replies(): ReplyFigures[];
  announce(text: string): void;
}

export function createSupportDialog({ model, settings, replies, announce }: SupportParts): { open(): Promise<void> } {
  const text = element('pre', { tabIndex: 0, ariaLabel: 'Support report' });
  const close = element('button', { className: 'close icon-button', ariaLabel: 'Close' }, icon('x'));
  const title = element('h2', { id: 'support-title' }, 'Support report');
  const copy = element('button', { type: 'button', className: 'primary' }, icon('copy'), 'Copy');
  const save = element('button', { type: 'button' }, icon('download'), 'Save as a file');
  const status = element('span', { role: 'status' });
  const dialog = element(
    'dialog',
    { id: 'support' },
    element('form', { method: 'dialog', className: 'dialog-head' }, title, close),
    element(
      'p',
      {},
      'This is what the report says of the page, the browser and the device. It holds no message of your conversations, and it is not sent anywhere.',
    ),
    text,
    element('div', { className: 'actions' }, copy, save, status),
  );
  dialog.setAttribute('aria-labelledby', title.id);
  document.body.append(dialog);

  copy.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text.textContent ?? '');
      status.textContent = 'Copied.';
    } catch {
      status.textContent = 'The browser does not allow this page to copy. Select the text, or save it as a file.';
    }
  });
  save.addEventListener('click', () => {
    const href = URL.createObjectURL(new Blob([text.textContent ?? ''], { type: 'application/json' }));
    element('a', { href, download: 'rivulet-support.json' }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
    status.textContent = 'The browser saves rivulet-support.json.';
  });

  const write = async (): Promise<void> => {
    const hints = navigator as Navigator & NavigatorData;
    const { backend, contextLength, threads } = settings();
    const [found, stored, data] = await Promise.all([
      gpu(),
      storage(),
      within(
        1000,
        Promise.resolve(
          hints.userAgentData?.getHighEntropyValues([
            'architecture',
            'bitness',
            'fullVersionList',
            'model',
            'platformVersion',
          ]),
        ),
      ),
    ]);
    text.textContent = reportText({
      version,
      now: new Date(),
      page: {
        address: location.href,
        secure: isSecureContext,
        isolated: crossOriginIsolated,
        installed: matchMedia('(display-mode: standalone)').matches,
        serviceWorker: Boolean(navigator.serviceWorker?.controller),
      },
      browser: { userAgent: navigator.userAgent, ...(data !== undefined && { data }), online: navigator.onLine },
      device: {
        ...(hints.deviceMemory && { memory: hints.deviceMemory }),
        cores: navigator.hardwareConcurrency,
        saveData: hints.connection?.saveData ?? false,
        screen: `${innerWidth}×${innerHeight}, ${devicePixelRatio} pixels a point`,
      },
      gpu: found,
      model: model()?.info,
      settings: { backend, ...(contextLength && { contextLength }), ...(threads && { threads }) },
      replies: replies(),
      storage: stored,
      errors: seenErrors(),
    });
  };

  const open = async (): Promise<void> => {
    status.textContent = '';
    text.textContent = 'Collecting…';
    dialog.showModal();
    await write();
    announce('The support report is ready.');
  };
  return { open };
}
