/** Draws TeX as MathML. This file and its library are loaded with the first formula. */
import DOMPurify from 'dompurify';
import temml from 'temml';
import sheet from 'temml/dist/Temml-Local.css?url';
import { element } from '../dom';

document.head.append(element('link', { rel: 'stylesheet', href: sheet }));

const purify = DOMPurify(window);
// styles come from the library alone, and only what sets a formula is let through
purify.addHook('uponSanitizeAttribute', (_, data) => {
  if (data.attrName === 'style' && /url|position|@|\\|expression/i.test(data.attrValue)) data.keepAttr = false;
});

/** @returns undefined where the source is not TeX */
export function formula(tex: string, display: boolean): DocumentFragment | undefined {
  try {
    const markup = temml.renderToString(tex, {
      displayMode: display,
      throwOnError: true,
      trust: false,
      maxExpand: 200,
      maxSize: [20, 200],
    });
    return purify.sanitize(markup, {
      USE_PROFILES: { mathMl: true },
      ADD_ATTR: [
        'class',
        'style',
        'fence',
        'form',
        'largeop',
        'lspace',
        'movablelimits',
        'rspace',
        'scriptlevel',
        'separator',
        'stretchy',
        'symmetric',
      ],
      ALLOW_DATA_ATTR: false,
      ALLOW_ARIA_ATTR: false,
      RETURN_DOM_FRAGMENT: true,
    });
  } catch {
    return undefined;
  }
}
