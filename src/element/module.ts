/** The element as a module: `import 'rivulet/element'`, or a module script beside rivulet.mjs. */
import { setEngineLoader } from './engine';
import { RivuletChat } from './rivulet_chat';

export { RivuletChat };
export type { ChatTool, ToolCallDetail, ToolParameters } from './rivulet_chat';

setEngineLoader(() => import('../index'));
if (globalThis.customElements && !customElements.get('rivulet-chat'))
  customElements.define('rivulet-chat', RivuletChat);

declare global {
  interface HTMLElementTagNameMap {
    'rivulet-chat': RivuletChat;
  }
}
