/** The button of the message field that takes a photo, for models that see. */
import type { Model } from '../../../src/index';
import { find } from '../dom';
import { iconButton } from '../icons';
import { lazy } from '../lazy';

/** @returns shows the button for a model that sees, and hides it for others */
export function createCameraButton(take: (photo: File) => void): (model: Model | undefined) => void {
  let dialog: { open(): Promise<void> } | undefined;
  const button = iconButton('camera', 'Take a photo', async () => {
    dialog ??= (await lazy(() => import('./camera_dialog')))?.createCameraDialog(take);
    await dialog?.open();
  });
  button.id = 'camera';
  button.ariaHasPopup = 'dialog';
  button.hidden = true;
  find('attach', HTMLButtonElement).after(button);
  return (model) => {
    // a page without a secure address has no cameras
    button.hidden = !model?.info.vision || !navigator.mediaDevices;
  };
}
