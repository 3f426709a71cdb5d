/** The worker: offers the engine and the model manager through Comlink. */
import { expose } from 'comlink';
import { createEngine } from './engine/engine';
import { workerModelCalls } from './engine/worker_model_calls';
import './engine/comlink_handlers';

expose({ ...createEngine(), ...workerModelCalls });
