/** The worker: offers the engine and the model manager through Comlink. */
import { expose } from 'comlink';
import { createEngine } from './engine/engine';
import { modelManager } from './engine/model_manager';
import './engine/comlink_handlers';

expose({ ...createEngine(), ...modelManager });
