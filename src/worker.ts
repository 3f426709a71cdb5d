/** The worker's side: the engine, behind Comlink. */
import { expose } from 'comlink';
import { createEngine } from './engine/engine';
import './engine/wire';

expose(createEngine());
