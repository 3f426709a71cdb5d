/**
 * What the page and the worker both hold. Both import it first: so the two copies stand side by side in rivulet.js,
 * where gzip writes the second one in terms of the first (PERF.md).
 */
import 'comlink';
import './engine/comlink_handlers';
import './store/cached_models';
