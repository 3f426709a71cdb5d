/**
 * The part of the settings about colours, text size, volume and figures. Tools change these, too, except the figures.
 * They apply at once.
 */
import { element } from './dom';
import { figuresShown, showFigures } from './figures';
import type { ToolRuns } from './tool_runs';

const THEMES = { system: 'System', light: 'Light', dark: 'Dark' };
const SIZES = [80, 90, 100, 110, 125, 150, 175, 200];

export interface Appearance {
  refresh(): void;
}

export function createAppearance(container: HTMLElement, look: ToolRuns['look']): Appearance {
  const option = (value: string, label: string): HTMLOptionElement => element('option', { value }, label);
  const theme = element('select', {}, ...Object.entries(THEMES).map(([value, label]) => option(value, label)));
  const size = element('select');
  const volume = element('input', { type: 'range', min: '0', max: '100', step: '5' });
  const figures = element('input', { type: 'checkbox' });
  figures.addEventListener('change', () => showFigures(figures.checked));
  theme.addEventListener('change', () => look.setTheme(theme.value));
  size.addEventListener('change', () => look.setZoom(Number(size.value)));
  volume.addEventListener('change', () => look.setVolume(Number(volume.value)));
  container.append(
    element(
      'div',
      { className: 'grid' },
      element('label', {}, 'Colours', theme),
      element('label', {}, 'Text size', size),
      element('label', {}, 'Volume of alarms and speech', volume),
    ),
    element('div', { className: 'choice' }, element('label', {}, figures, ' Show the speed of replies')),
  );
  return {
    refresh() {
      // a tool may have set a size in between
      const sizes = [...new Set([...SIZES, look.zoom()])].sort((a, b) => a - b);
      size.replaceChildren(...sizes.map((percent) => option(String(percent), `${percent}\u00a0%`)));
      size.value = String(look.zoom());
      theme.value = look.theme();
      volume.value = String(look.volume());
      figures.checked = figuresShown();
    },
  };
}
