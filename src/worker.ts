/** The worker's side: the engine, behind Comlink. */
import { expose } from 'comlink';
import { createEngine } from './engine/engine';
import { keeper } from './engine/keeper';
import './engine/wire';

expose({ ...createEngine(), ...keeper });
