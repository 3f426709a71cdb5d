import { calls } from './store_calls';

export type StoreWindow = Window & { store: typeof calls };
(window as unknown as StoreWindow).store = calls;
