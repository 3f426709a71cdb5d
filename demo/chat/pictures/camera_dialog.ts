/** The dialog that shows what a camera sees, and takes a photo of it. A closed dialog uses no camera. */
import { element, find } from '../dom';
import { iconButton } from '../icons';

/** What the browser says, in words. */
const PROBLEMS: Partial<Record<string, string>> = {
  NotAllowedError: 'The browser does not let this page use the camera. Allow it in the settings of the page.',
  NotFoundError: 'This device has no camera.',
  NotReadableError: 'Another program uses the camera. Close it, then try again.',
};

export function createCameraDialog(take: (photo: File) => void): { open(): Promise<void> } {
  const video = element('video', { id: 'camera-view', autoplay: true, muted: true, playsInline: true });
  video.ariaLabel = 'What the camera sees';
  const problem = element('p', { className: 'problem', role: 'alert' });
  const accept = element('button', { type: 'button', className: 'primary' }, 'Take the photo');
  const other = element('button', { type: 'button' }, 'Other camera');
  const heading = element('h2', { id: 'camera-title' }, 'Take a photo');
  const dialog = element('dialog', { id: 'camera-dialog' });
  const close = iconButton('x', 'Close', () => dialog.close());
  dialog.append(
    element('div', { className: 'dialog-head' }, heading, close),
    video,
    problem,
    element('div', { className: 'row dialog-foot' }, accept, other),
  );
  dialog.setAttribute('aria-labelledby', heading.id);
  document.body.append(dialog);

  let stream: MediaStream | undefined;
  /** the camera that looks at the user is not the one that photographs a page */
  let facing: 'environment' | 'user' = 'environment';
  const off = (): void => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = undefined;
    video.srcObject = null;
  };
  async function start(): Promise<void> {
    off();
    problem.textContent = '';
    accept.disabled = true;
    try {
      const given = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: facing, width: { ideal: 1920 }, height: { ideal: 1080 } },
      });
      stream = given;
      // it may have been closed while the browser asked
      if (!dialog.open) return off();
      video.srcObject = given;
      await video.play();
      accept.disabled = false;
      const devices = await navigator.mediaDevices.enumerateDevices();
      other.hidden = devices.filter(({ kind }) => kind === 'videoinput').length < 2;
    } catch (error) {
      if (!dialog.open) return;
      off();
      const { name, message } = error as Error;
      problem.textContent = PROBLEMS[name] ?? `The camera does not start: ${message}`;
    }
  }

  accept.addEventListener('click', () => {
    const canvas = element('canvas', { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext('2d')!.drawImage(video, 0, 0);
    canvas.toBlob((photo) => {
      dialog.close();
      if (photo) take(new File([photo], 'Photo.png', { type: 'image/png' }));
      find('prompt', HTMLTextAreaElement).focus();
    }, 'image/png');
  });
  other.addEventListener('click', () => {
    facing = facing === 'user' ? 'environment' : 'user';
    void start();
  });
  dialog.addEventListener('close', off);
  return {
    open() {
      other.hidden = true;
      dialog.showModal();
      return start();
    },
  };
}
