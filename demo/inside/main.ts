/** The inside view: what the model does with a sentence, layer by layer and token by token. */
import { listModels } from '../../src/index';
import { inspect, type Inspection } from '../../src/inspect/index';
import { leaveWithOthers } from '../chat/delete_all/leave';
import { element, find } from '../chat/dom';
import { figure, gridOf, partsOf, type Grid } from './grid';
import { cellAt, drawHeatMap } from './heat_map';
import { showLegend } from './legend';
import { createSurface, FIRST_EYE, inSight, type Eye, type Surface } from './surface';
import { valueTable } from './value_table';

const EMBEDDED = { name: 'Rivulet tiny', source: './models/rivulet-tiny.gguf' };

const form = find('request', HTMLFormElement);
const text = find('text', HTMLTextAreaElement);
const models = find('model', HTMLSelectElement);
const [look, cancel] = [find('look', HTMLButtonElement), find('cancel', HTMLButtonElement)];
const [status, problem, result] = [
  find('status', HTMLElement),
  find('problem', HTMLElement),
  find('result', HTMLElement),
];
const [layers, parts, forms] = [
  find('layer', HTMLSelectElement),
  find('part', HTMLSelectElement),
  find('form', HTMLSelectElement),
];
const [picture, values, reading, turn] = [
  find('picture', HTMLElement),
  find('values', HTMLElement),
  find('reading', HTMLElement),
  find('turn', HTMLElement),
];
const dark = matchMedia('(prefers-color-scheme: dark)');

leaveWithOthers();
models.append(element('option', { value: EMBEDDED.source }, `${EMBEDDED.name} (6 MB)`));
void listModels()
  .then((all) => {
    for (const { id, bytes, complete } of all)
      if (complete && !id.endsWith(EMBEDDED.source.slice(1)))
        models.append(element('option', { value: id }, `${id} (${Math.round(bytes / 1e6)} MB)`));
  })
  .catch(() => undefined); // the browser's storage is blocked: the embedded model is there

// a canvas keeps its first kind of context, so each form has one of its own
const canvases = { surface: find('surface', HTMLCanvasElement), map: find('map', HTMLCanvasElement) };
type Form = keyof typeof canvases;
const FORM_NAMES: Record<Form, string> = { surface: 'surface', map: 'flat map' };
let surface: Surface | undefined;
let inspection: Inspection | undefined;
let grid: Grid | undefined;
let eye: Eye = { ...FIRST_EYE };
let controller: AbortController | undefined;

const offerForms = (): void =>
  forms.replaceChildren(
    ...(['surface', 'map'] as const)
      .filter((form) => form === 'map' || surface)
      .map((form) => element('option', { value: form }, FORM_NAMES[form])),
  );

async function openSurface(): Promise<void> {
  surface = await createSurface(canvases.surface).catch(() => undefined);
  offerForms();
  // the text may have been read meanwhile
  if (grid) showPart();
  void surface?.lost.then(() => {
    surface = undefined;
    offerForms();
    draw();
  });
}

function options(select: HTMLSelectElement, names: string[]): void {
  const { selectedIndex } = select;
  select.replaceChildren(...names.map((name, i) => element('option', { value: String(i) }, name)));
  select.selectedIndex = Math.min(Math.max(0, selectedIndex), names.length - 1);
}

function showLayer(): void {
  if (!inspection) return;
  const layer = inspection.layers[Number(layers.value)];
  options(parts, partsOf(layer));
  find('part-name', HTMLElement).textContent = layer.kind === 'conv' ? 'Gate' : 'Head';
  showPart();
}

function showPart(): void {
  if (!inspection) return;
  const layer = inspection.layers[Number(layers.value)];
  grid = gridOf(inspection, layer, Number(parts.value));
  const what =
    layer.kind === 'conv'
      ? `Gate ${parts.value === '0' ? 'B' : 'C'} of the short convolution in layer ${layer.layer}: a row for each token, a column for each of ${grid.columns} channels.`
      : `Attention of head ${parts.value} in layer ${layer.layer}: the row of a token shows how much it looks at each token. A row sums to 1.`;
  find('caption', HTMLElement).textContent = what;
  for (const canvas of Object.values(canvases)) canvas.ariaLabel = `${what} The table below has the values.`;
  reading.textContent = '';
  values.replaceChildren(valueTable(grid));
  if (surface && grid.rows > 1) surface.set(grid, dark.matches);
  draw();
}

/** One token has no surface. */
const form3d = (): boolean => surface !== undefined && forms.value === 'surface' && grid !== undefined && grid.rows > 1;

function draw(): void {
  if (!grid) return;
  const three = form3d();
  turn.hidden = canvases.surface.hidden = !three;
  canvases.map.hidden = three;
  const canvas = canvases[three ? 'surface' : 'map'];
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) =>
    Math.max(1, Math.round(size * devicePixelRatio)),
  );
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  showLegend(grid, three, dark.matches);
  if (three) surface!.draw(eye);
  else drawHeatMap(canvas, grid, dark.matches);
}

function move(change: Partial<Eye>): void {
  eye = inSight({
    yaw: eye.yaw + (change.yaw ?? 0),
    pitch: eye.pitch + (change.pitch ?? 0),
    distance: eye.distance * (change.distance ?? 1),
  });
  requestAnimationFrame(draw);
}

const MOVES: Record<string, Partial<Eye>> = {
  ArrowLeft: { yaw: -0.15 },
  ArrowRight: { yaw: 0.15 },
  ArrowUp: { pitch: 0.1 },
  ArrowDown: { pitch: -0.1 },
  '+': { distance: 0.85 },
  '-': { distance: 1.18 },
};
const BUTTONS: [label: string, name: string, key: string][] = [
  ['←', 'Turn left', 'ArrowLeft'],
  ['→', 'Turn right', 'ArrowRight'],
  ['↑', 'Tilt up', 'ArrowUp'],
  ['↓', 'Tilt down', 'ArrowDown'],
  ['+', 'Zoom in', '+'],
  ['−', 'Zoom out', '-'],
];
for (const [label, name, key] of BUTTONS) {
  const button = element('button', { type: 'button', ariaLabel: name, title: name }, label);
  button.addEventListener('click', () => move(MOVES[key]));
  turn.append(button);
}

let held: { x: number; y: number } | undefined;
canvases.surface.addEventListener('keydown', (event) => {
  if (!MOVES[event.key]) return;
  event.preventDefault();
  move(MOVES[event.key]);
});
canvases.surface.addEventListener('pointerdown', (event) => {
  held = { x: event.clientX, y: event.clientY };
  canvases.surface.setPointerCapture(event.pointerId);
});
for (const type of ['pointerup', 'pointercancel']) canvases.surface.addEventListener(type, () => (held = undefined));
canvases.surface.addEventListener('pointermove', ({ clientX: x, clientY: y }) => {
  if (!held) return;
  move({ yaw: (held.x - x) / 150, pitch: (y - held.y) / 200 });
  held = { x, y };
});
// the wheel alone scrolls the page
canvases.surface.addEventListener('wheel', (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  move({ distance: event.deltaY > 0 ? 1.1 : 0.9 });
});
function readCell(event: PointerEvent): void {
  if (!grid) return;
  const { row, column } = cellAt(
    grid,
    event.offsetX,
    event.offsetY,
    canvases.map.clientWidth,
    canvases.map.clientHeight,
  );
  reading.textContent = `Token ${row} (${grid.rowNames[row]}), ${grid.columnNames ? `token ${column} (${grid.columnNames[column]})` : `channel ${column}`}: ${figure(grid.values[row * grid.columns + column])}`;
}
// a finger on the map moves only after it is down
for (const type of ['pointerdown', 'pointermove'] as const) canvases.map.addEventListener(type, readCell);

async function run(): Promise<void> {
  controller?.abort();
  const mine = (controller = new AbortController());
  problem.hidden = true;
  cancel.hidden = false;
  if (document.activeElement === look) cancel.focus();
  look.disabled = true;
  status.textContent = 'Reading the text';
  try {
    const chosen = models.value;
    // a model that another tab has deleted would be downloaded without a question
    if (chosen !== EMBEDDED.source && !(await listModels()).some(({ id, complete }) => id === chosen && complete)) {
      models.selectedOptions[0].remove();
      throw new Error(`${chosen} is no longer stored in this browser. Choose another model.`);
    }
    const found = await inspect(models.value, text.value, {
      signal: mine.signal,
      onProgress({ phase, bytes, total }) {
        // what is told late must not stand beside the result or the error
        if (controller === mine && look.disabled)
          status.textContent =
            phase === 'download' && total ? `Downloading: ${10 * Math.floor((10 * bytes) / total)} %` : 'Computing';
      },
    });
    inspection = found;
    options(
      layers,
      found.layers.map(({ kind, layer }) => `${layer}: ${kind === 'conv' ? 'short convolution' : 'attention'}`),
    );
    result.hidden = false;
    status.textContent = `${found.tokens.length} tokens, ${found.layers.length} layers`;
    showLayer();
  } catch (error) {
    status.textContent = '';
    if ((error as Error).name === 'AbortError') return;
    problem.textContent = (error as Error).message;
    problem.hidden = false;
  } finally {
    if (controller === mine) {
      look.disabled = false;
      if (document.activeElement === cancel) look.focus();
      cancel.hidden = true;
    }
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});
cancel.addEventListener('click', () => controller?.abort());
layers.addEventListener('change', showLayer);
parts.addEventListener('change', showPart);
forms.addEventListener('change', draw);
dark.addEventListener('change', showPart);
new ResizeObserver(draw).observe(picture);
await openSurface();
