/** A picture on the page. */
import { element } from '../dom';
import type { AttachedFile, KeptPicture } from '../history';
import { holdPictures, pictureFile } from './pictures';

/** Loads into an image what is stored; the address is freed when it has been drawn. */
export function pictureImage(file: AttachedFile & { picture: KeptPicture }, className: string): HTMLImageElement {
  const { name, picture } = file;
  // the room is there before the picture
  const image = element('img', { className, alt: name, width: picture.width, height: picture.height });
  void holdPictures([file]).then(() => {
    const stored = pictureFile(picture);
    if (!stored) return image.replaceWith(element('span', { className: 'gone' }, `${name} is not stored any more`));
    const address = URL.createObjectURL(stored);
    image.onload = image.onerror = () => URL.revokeObjectURL(address);
    image.src = address;
  });
  return image;
}
