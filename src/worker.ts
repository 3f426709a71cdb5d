/** The worker: offers the engine and the model manager through Comlink, and exports its parts to side files. */
import { expose } from 'comlink';
import './engine/comlink_handlers';
import { workerCalls } from './engine/worker_calls';
import './engine/exports';

expose(workerCalls);
