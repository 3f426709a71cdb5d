/**
 * uPlot formats numbers in `navigator.language` while it loads, and throws where that is no language tag (WebKitGTK
 * says "c" without a locale).
 */
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en' });
}
